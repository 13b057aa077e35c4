//! Which gateway is tried when: by priority, and among equals by weight (in the manner of RFC 2782).

use rand_core::Rng;

/// The order in which to try `gateways`, given as priority and weight of each: the lowest priority first, among equal ones drawn
/// by their weights.
pub(super) fn order(gateways: &[(u16, u16)], dice: &mut impl Rng) -> Vec<usize> {
    let mut left: Vec<usize> = (0..gateways.len()).collect();
    left.sort_by_key(|&at| (gateways[at].0, gateways[at].1 != 0));
    let mut order = Vec::with_capacity(left.len());
    while let Some(&first) = left.first() {
        let equal = left.iter().take_while(|&&at| gateways[at].0 == gateways[first].0).count();
        let sum: u32 = left[..equal].iter().map(|&at| u32::from(gateways[at].1)).sum();
        // One weighted 0 has the least chance, not none.
        let mut drawn = (u64::from(dice.next_u32()) * (u64::from(sum) + 1)) >> 32;
        let at = left[..equal].iter().position(|&at| {
            let weight = u64::from(gateways[at].1);
            let is_it = drawn <= weight;
            drawn = drawn.saturating_sub(weight);
            is_it
        });
        order.push(left.remove(at.unwrap_or(0)));
    }
    order
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn priority_decides_before_weight_and_weight_by_its_share() {
        let gateways = [(10, 60), (10, 20), (10, 20), (5, 0), (20, 1)];
        let mut dice = ChaCha12Rng::from_seed([7; 32]);
        let mut second = [0_u32; 5];

        for _ in 0..10_000 {
            let order = order(&gateways, &mut dice);
            assert_eq!((order.len(), order[0], order[4]), (5, 3, 4));
            second[order[1]] += 1;
        }

        let share = |at: usize| f64::from(second[at]) / 10_000.0;
        assert!((share(0) - 0.6).abs() < 0.02, "{second:?}");
        assert!((share(1) - 0.2).abs() < 0.02, "{second:?}");
        assert!((share(2) - 0.2).abs() < 0.02, "{second:?}");
    }

    #[test]
    fn a_list_of_different_priorities_is_tried_in_its_order() {
        let mut dice = ChaCha12Rng::from_seed([7; 32]);

        assert_eq!(order(&[(0, 1), (1, 1), (2, 1)], &mut dice), [0, 1, 2]);
        assert_eq!(order(&[], &mut dice), Vec::<usize>::new());
    }
}
