//! Which worker owns which leg and mix, as far as the commands tell.
//!
//! A mix lives on the worker of its first leg. A leg that joins a mix elsewhere moves there, sockets and slot:
//! its old worker gets a [`Order::Move`], the new one an [`Order::Expect`], after which it keeps the leg's commands
//! until the leg has come. So commands for one leg take effect in order wherever it is.

use std::collections::BTreeMap;

use super::command::{Command, MediaKey, MixKey};

/// What a worker is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// As the bridge asked.
    Command(Command),
    /// This leg is on its way from another worker.
    Expect(MediaKey),
    /// Hand this leg over.
    Move {
        /// The leg.
        leg: MediaKey,
        /// Index of its new worker.
        to: usize,
    },
}

/// Follows the commands.
#[derive(Debug)]
pub(super) struct Router {
    /// Legs of each worker.
    loads: Vec<usize>,
    legs: BTreeMap<MediaKey, (usize, Option<MixKey>)>,
    mixes: BTreeMap<MixKey, Seated>,
}

#[derive(Clone, Copy, Debug)]
struct Seated {
    worker: usize,
    legs: usize,
}

impl Router {
    /// Routes to `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { loads: vec![0; workers], legs: BTreeMap::new(), mixes: BTreeMap::new() }
    }

    /// The orders that a command makes, with the worker of each. Call [`Self::apply`] once they are on their way.
    pub(super) fn plan(&self, command: &Command) -> Vec<(usize, Order)> {
        let order = Order::Command(command.clone());
        match command {
            Command::Open { .. } => vec![(self.least_loaded(), order)],
            Command::Meters { .. } => {
                (0..self.loads.len()).map(|worker| (worker, order.clone())).collect()
            }
            Command::Contributors { mix, .. } => {
                self.mixes.get(mix).map(|seated| (seated.worker, order)).into_iter().collect()
            }
            Command::Join { leg, mix, .. } => self.plan_join(*leg, *mix, order),
            Command::Configure { leg, .. }
            | Command::Leave { leg }
            | Command::Seat { leg, .. }
            | Command::SendDigits { leg, .. }
            | Command::Close { leg } => {
                self.legs.get(leg).map(|&(worker, _)| (worker, order)).into_iter().collect()
            }
        }
    }

    fn plan_join(&self, leg: MediaKey, mix: MixKey, order: Order) -> Vec<(usize, Order)> {
        let Some(&(from, _)) = self.legs.get(&leg) else { return Vec::new() };
        let to = self.mixes.get(&mix).map_or(from, |seated| seated.worker);
        if from == to {
            return vec![(to, order)];
        }
        vec![(to, Order::Expect(leg)), (to, order), (from, Order::Move { leg, to })]
    }

    /// Remembers a command whose orders were sent.
    pub(super) fn apply(&mut self, command: &Command) {
        match command {
            Command::Open { leg, .. } => {
                let worker = self.least_loaded();
                self.loads[worker] += 1;
                self.legs.insert(*leg, (worker, None));
            }
            Command::Join { leg, mix, .. } => self.join(*leg, *mix),
            Command::Leave { leg } => self.leave(*leg),
            Command::Close { leg } => self.forget(*leg),
            Command::Configure { .. }
            | Command::Seat { .. }
            | Command::SendDigits { .. }
            | Command::Contributors { .. }
            | Command::Meters { .. } => {}
        }
    }

    fn join(&mut self, leg: MediaKey, mix: MixKey) {
        self.leave(leg);
        let Some((worker, seat)) = self.legs.get_mut(&leg) else { return };
        let seated = self.mixes.entry(mix).or_insert(Seated { worker: *worker, legs: 0 });
        seated.legs += 1;
        self.loads[*worker] -= 1;
        self.loads[seated.worker] += 1;
        (*worker, *seat) = (seated.worker, Some(mix));
    }

    fn leave(&mut self, leg: MediaKey) {
        let Some(mix) = self.legs.get_mut(&leg).and_then(|(_, mix)| mix.take()) else { return };
        if let Some(seated) = self.mixes.get_mut(&mix) {
            seated.legs -= 1;
            if seated.legs == 0 {
                self.mixes.remove(&mix);
            }
        }
    }

    /// Forgets a leg that is closed or could not be opened.
    pub(super) fn forget(&mut self, leg: MediaKey) {
        self.leave(leg);
        if let Some((worker, _)) = self.legs.remove(&leg) {
            self.loads[worker] -= 1;
        }
    }

    fn least_loaded(&self) -> usize {
        let lightest = self.loads.iter().enumerate().min_by_key(|&(_, load)| load);
        lightest.map_or(0, |(worker, _)| worker)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn open(leg: u64) -> Command {
        Command::Open { leg: MediaKey(leg), local: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }

    fn join(leg: u64, mix: u64) -> Command {
        Command::Join { leg: MediaKey(leg), mix: MixKey(mix), contributors: 3 }
    }

    fn router(commands: &[Command]) -> Router {
        let mut router = Router::new(2);
        for command in commands {
            router.apply(command);
        }
        router
    }

    #[test]
    fn legs_spread_over_the_workers() {
        let router = router(&[open(1), open(2), open(3), open(4)]);

        assert_eq!(router.loads, [2, 2]);
    }

    #[test]
    fn a_leg_moves_to_the_mix_it_joins() {
        let router = router(&[open(1), open(2), join(1, 9)]);

        let orders = router.plan(&join(2, 9));

        let leg = MediaKey(2);
        let expected = [
            (0, Order::Expect(leg)),
            (0, Order::Command(join(2, 9))),
            (1, Order::Move { leg, to: 0 }),
        ];
        assert_eq!(orders, expected);
    }

    #[test]
    fn a_mix_ends_with_its_last_leg_and_may_begin_elsewhere() {
        let mut router = router(&[open(1), open(2), join(1, 9), join(2, 9)]);

        router.apply(&Command::Close { leg: MediaKey(1) });
        router.apply(&Command::Leave { leg: MediaKey(2) });

        assert!(router.mixes.is_empty());
        assert_eq!(router.loads, [1, 0]);
        router.forget(MediaKey(2));
        router.forget(MediaKey(2));
        assert_eq!(router.loads, [0, 0]);
    }

    #[test]
    fn commands_for_unknown_legs_go_nowhere() {
        let router = router(&[]);

        assert_eq!(router.plan(&join(1, 1)), []);
        assert_eq!(router.plan(&Command::Close { leg: MediaKey(1) }), []);
    }
}
