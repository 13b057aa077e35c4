//! The order in which the servers of a service are tried: RFC 2782, "Usage rules".

use rand_chacha::ChaCha12Rng;
use rand_core::Rng as _;

use super::record::Srv;

/// By priority; among equals at random, but each in proportion to its weight.
///
/// Costs O(n²) for servers of one priority.
pub(super) fn by_weight(mut servers: Vec<Srv>, random: &mut ChaCha12Rng) -> Vec<Srv> {
    // Those without weight stand first, which leaves them a very small chance.
    servers.sort_by_key(|server| (server.priority, server.weight != 0));
    let mut ordered = Vec::with_capacity(servers.len());
    while let Some(first) = servers.first() {
        let priority = first.priority;
        let equals = servers.iter().take_while(|server| server.priority == priority);
        let sum: u64 = equals.map(|server| u64::from(server.weight)).sum();
        let wanted = random.next_u64() % (sum + 1);
        let mut running = 0;
        let chosen = servers.iter().position(|server| {
            running += u64::from(server.weight);
            running >= wanted
        });
        ordered.push(servers.remove(chosen.unwrap_or_default()));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn priority_comes_before_weight() {
        let given = vec![server(20, 100, 1), server(10, 0, 2), server(10, 1, 3), server(5, 0, 4)];

        for seed in 0..50 {
            let ordered = by_weight(given.clone(), &mut ChaCha12Rng::seed_from_u64(seed));
            let priorities: Vec<u16> = ordered.iter().map(|server| server.priority).collect();
            assert_eq!(priorities, [5, 10, 10, 20]);
        }
    }

    #[test]
    fn weights_are_shares_and_who_has_none_is_rarely_first() {
        let given = vec![server(0, 60, 1), server(0, 30, 2), server(0, 10, 3), server(0, 0, 4)];
        let mut random = ChaCha12Rng::seed_from_u64(1);
        let mut first = [0; 4];

        for _ in 0..10_000 {
            let ordered = by_weight(given.clone(), &mut random);
            first[usize::from(ordered[0].port) - 1] += 1;
        }

        for (count, expected) in first.into_iter().zip([6000_i32, 3000, 1000, 100]) {
            assert!((count - expected).abs() < 200, "{first:?}");
        }
    }

    fn server(priority: u16, weight: u16, port: u16) -> Srv {
        Srv { priority, weight, port, target: "h".into() }
    }
}
