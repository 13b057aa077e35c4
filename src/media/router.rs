//! Which worker owns which leg and which part of a mix, as far as the commands tell.
//!
//! A mix lives on the worker of its first leg. A leg that joins a mix elsewhere moves there, sockets and slot:
//! its old worker gets a [`Order::Move`], the new one an [`Order::Expect`], after which it keeps the leg's commands
//! until the leg has come. So commands for one leg take effect in order wherever it is.
//!
//! Once that worker has many legs and another has clearly fewer, whoever joins is seated there, in a part of the mix of its
//! own that is linked with the others. So rooms that grow level the load, and nobody who is seated has to move.

use std::collections::BTreeMap;

use mixer::room::PartId;

use std::time::Instant;

use super::command::{Audience, Command, MediaKey, MixKey, TapeKey};
use super::parts::{Link, link};
use super::tape::{Reel, Tape, tape};

/// What a worker is told.
#[derive(Debug, PartialEq)]
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
    /// A part of a mix is to hear another.
    Link(Box<Link>),
    /// Record.
    Tape {
        /// Whose voice.
        of: Audience,
        /// Where to.
        tape: Tape,
        /// The other end, on its way out of here.
        reel: Option<Reel>,
    },
}

/// Follows the commands.
#[derive(Debug)]
pub(super) struct Router {
    workers: Vec<Worker>,
    /// Legs of a worker beyond which mixes are not kept together.
    spread_above: usize,
    legs: BTreeMap<MediaKey, (usize, Option<MixKey>)>,
    mixes: BTreeMap<MixKey, Seated>,
    /// What is recorded of mixes, and since when.
    recorded: BTreeMap<MixKey, Vec<(TapeKey, Instant)>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    legs: usize,
    /// As many legs as would make it so busy as it is, at an assumed cost.
    busy_for: usize,
}

/// Who sits where in a mix.
#[derive(Debug, Default)]
struct Seated {
    parts: Vec<Part>,
    begun: u64,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    id: PartId,
    worker: usize,
    legs: usize,
}

impl Router {
    /// Routes to `workers` workers, of which one that has up to `spread_above` legs keeps its mixes together.
    pub(super) fn new(workers: usize, spread_above: usize) -> Self {
        let workers = vec![Worker::default(); workers];
        let (legs, mixes, recorded) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { workers, spread_above, legs, mixes, recorded }
    }

    /// Takes the share of its time that a worker works, 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates"
    )]
    pub(super) fn note_load(&mut self, worker: usize, busy: f32) {
        self.workers[worker].busy_for = (busy / USUAL_COST) as usize;
    }

    /// The orders that a command makes, with the worker of each. Call [`Self::apply`] once they are on their way.
    pub(super) fn plan(&self, command: &Command) -> Vec<(usize, Order)> {
        let order = || Order::Command(command.clone());
        match command {
            Command::Open { .. } => vec![(self.lightest(), order())],
            Command::Meters { .. } => {
                (0..self.workers.len()).map(|worker| (worker, order())).collect()
            }
            Command::Contributors { mix, .. } | Command::Duck { mix, .. } => {
                self.parts(*mix).iter().map(|part| (part.worker, order())).collect()
            }
            // The oldest part plays, for all of them to hear. Which one that was is not remembered.
            Command::Play { to: Audience::Mix(mix), .. } => {
                self.parts(*mix).first().map(|part| (part.worker, order())).into_iter().collect()
            }
            Command::Record { of: of @ Audience::Mix(mix), tape, since } => {
                let parts = self.parts(*mix).iter();
                parts.map(|part| (part.worker, record(*of, *tape, *since))).collect()
            }
            Command::Record { of: of @ Audience::Leg(leg), tape, since } => {
                let worker = self.legs.get(leg).map(|&(worker, _)| worker);
                worker.map(|worker| (worker, record(*of, *tape, *since))).into_iter().collect()
            }
            Command::Steer { to: Audience::Mix(mix), .. }
            | Command::Unrecord { of: Audience::Mix(mix), .. } => {
                self.parts(*mix).iter().map(|part| (part.worker, order())).collect()
            }
            Command::Join { leg, mix, .. } => self.plan_join(*leg, *mix, order()),
            Command::Configure { leg, .. }
            | Command::Leave { leg }
            | Command::Seat { leg, .. }
            | Command::SendDigits { leg, .. }
            | Command::Play { to: Audience::Leg(leg), .. }
            | Command::Steer { to: Audience::Leg(leg), .. }
            | Command::Unrecord { of: Audience::Leg(leg), .. }
            | Command::Close { leg } => {
                self.legs.get(leg).map(|&(worker, _)| (worker, order())).into_iter().collect()
            }
        }
    }

    fn plan_join(&self, leg: MediaKey, mix: MixKey, order: Order) -> Vec<(usize, Order)> {
        let Some(&(from, _)) = self.legs.get(&leg) else { return Vec::new() };
        if self.is_in(leg, mix) {
            return vec![(from, order)];
        }
        let to = self.place(from, mix);
        let mut orders = self.plan_links(mix, to);
        if from == to {
            orders.push((to, order));
        } else {
            let moving = Order::Move { leg, to };
            orders.extend([(to, Order::Expect(leg)), (to, order), (from, moving)]);
        }
        if !self.parts(mix).iter().any(|part| part.worker == to) {
            orders.extend(self.recorded.get(&mix).into_iter().flatten().map(|&(tape, since)| {
                let of = Audience::Mix(mix);
                (to, record(of, tape, since))
            }));
        }
        orders
    }

    /// The ways from a part that begins on `worker` to all others.
    fn plan_links(&self, mix: MixKey, worker: usize) -> Vec<(usize, Order)> {
        let Some(seated) = self.mixes.get(&mix) else { return Vec::new() };
        if seated.parts.iter().any(|part| part.worker == worker) {
            return Vec::new();
        }
        let new = (PartId(seated.begun), worker);
        let ways = seated.parts.iter().flat_map(|part| {
            let [there, here] = link(mix, (part.id, part.worker), new);
            [(part.worker, there), (worker, here)]
        });
        ways.map(|(worker, link)| (worker, Order::Link(Box::new(link)))).collect()
    }

    /// The worker on which a leg of `from` joins a mix.
    fn place(&self, from: usize, mix: MixKey) -> usize {
        let parts = self.parts(mix);
        let Some(first) = parts.first() else { return from };
        let lightest = self.load(self.lightest());
        let is_light = |&worker: &usize| self.load(worker) <= lightest + self.spread_above / UNEVEN;
        if parts.len() == 1 && self.load(first.worker) < self.spread_above {
            return first.worker;
        }
        let mut workers = std::iter::once(from).chain(parts.iter().map(|part| part.worker));
        workers.find(is_light).unwrap_or_else(|| self.lightest())
    }

    /// Remembers a command whose orders were sent.
    pub(super) fn apply(&mut self, command: &Command) {
        match command {
            Command::Open { leg, .. } => {
                let worker = self.lightest();
                self.workers[worker].legs += 1;
                self.legs.insert(*leg, (worker, None));
            }
            Command::Join { leg, mix, .. } => self.join(*leg, *mix),
            Command::Leave { leg } => self.leave(*leg),
            Command::Close { leg } => self.forget(*leg),
            Command::Record { of: Audience::Mix(mix), tape, since } => {
                self.recorded.entry(*mix).or_default().push((*tape, *since));
            }
            Command::Unrecord { of: Audience::Mix(mix), tape } => {
                if let Some(tapes) = self.recorded.get_mut(mix) {
                    tapes.retain(|(recorded, _)| recorded != tape);
                    if tapes.is_empty() {
                        self.recorded.remove(mix);
                    }
                }
            }
            Command::Configure { .. }
            | Command::Seat { .. }
            | Command::SendDigits { .. }
            | Command::Play { .. }
            | Command::Steer { .. }
            | Command::Duck { .. }
            | Command::Record { of: Audience::Leg(_), .. }
            | Command::Unrecord { of: Audience::Leg(_), .. }
            | Command::Contributors { .. }
            | Command::Meters { .. } => {}
        }
    }

    fn join(&mut self, leg: MediaKey, mix: MixKey) {
        let Some(&(from, _)) = self.legs.get(&leg) else { return };
        if self.is_in(leg, mix) {
            return;
        }
        let to = self.place(from, mix);
        self.leave(leg);
        self.mixes.entry(mix).or_default().add(to);
        self.workers[from].legs -= 1;
        self.workers[to].legs += 1;
        self.legs.insert(leg, (to, Some(mix)));
    }

    fn leave(&mut self, leg: MediaKey) {
        let Some((worker, mix)) = self.legs.get_mut(&leg) else { return };
        let Some(mix) = mix.take() else { return };
        let Some(seated) = self.mixes.get_mut(&mix) else { return };
        seated.remove(*worker);
        if seated.parts.is_empty() {
            self.mixes.remove(&mix);
        }
    }

    /// Forgets a leg that is closed or could not be opened.
    pub(super) fn forget(&mut self, leg: MediaKey) {
        self.leave(leg);
        if let Some((worker, _)) = self.legs.remove(&leg) {
            self.workers[worker].legs -= 1;
        }
    }

    fn is_in(&self, leg: MediaKey, mix: MixKey) -> bool {
        self.legs.get(&leg).is_some_and(|&(_, seat)| seat == Some(mix))
    }

    fn parts(&self, mix: MixKey) -> &[Part] {
        self.mixes.get(&mix).map_or(&[], |seated| &seated.parts)
    }

    fn load(&self, worker: usize) -> usize {
        let Worker { legs, busy_for } = self.workers[worker];
        legs.max(busy_for)
    }

    fn lightest(&self) -> usize {
        (0..self.workers.len()).min_by_key(|&worker| self.load(worker)).unwrap_or(0)
    }
}

fn record(of: Audience, key: TapeKey, since: Instant) -> Order {
    let (tape, reel) = tape(key, since);
    Order::Tape { of, tape, reel: Some(reel) }
}

impl Seated {
    fn add(&mut self, worker: usize) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.worker == worker) {
            part.legs += 1;
            return;
        }
        self.parts.push(Part { id: PartId(self.begun), worker, legs: 1 });
        self.begun += 1;
    }

    fn remove(&mut self, worker: usize) {
        if let Some(at) = self.parts.iter().position(|part| part.worker == worker) {
            self.parts[at].legs -= 1;
            if self.parts[at].legs == 0 {
                self.parts.remove(at);
            }
        }
    }
}

/// What a leg is taken to cost, as a share of a worker's time.
const USUAL_COST: f32 = 0.000_3;
/// By this part of [`Router::spread_above`] workers may differ: a part of its own costs a wake-up in each tick, as much as
/// some legs.
const UNEVEN: usize = 16;

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
        let mut router = Router::new(2, 160);
        for command in commands {
            router.apply(command);
        }
        router
    }

    fn legs(router: &Router) -> [usize; 2] {
        [router.workers[0].legs, router.workers[1].legs]
    }

    #[test]
    fn legs_spread_over_the_workers() {
        let router = router(&[open(1), open(2), open(3), open(4)]);

        assert_eq!(legs(&router), [2, 2]);
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
        assert_eq!(legs(&router), [1, 0]);
        router.forget(MediaKey(2));
        router.forget(MediaKey(2));
        assert_eq!(legs(&router), [0, 0]);
    }

    #[test]
    fn commands_for_unknown_legs_go_nowhere() {
        let router = router(&[]);

        assert_eq!(router.plan(&join(1, 1)), []);
        assert_eq!(router.plan(&Command::Close { leg: MediaKey(1) }), []);
    }

    /// A mix of many legs, opened before or one after the other.
    fn crowd(router: &mut Router, legs: std::ops::Range<u64>, mix: u64) -> Vec<(usize, Order)> {
        legs.flat_map(|leg| {
            router.apply(&open(leg));
            let orders = router.plan(&join(leg, mix));
            router.apply(&join(leg, mix));
            orders
        })
        .collect()
    }

    #[test]
    fn a_mix_spreads_once_its_worker_has_many_legs_and_another_few() {
        let mut router = router(&[]);
        let orders = crowd(&mut router, 0..160, 9);
        assert_eq!(legs(&router), [160, 0]);
        assert!(!orders.iter().any(|(_, order)| matches!(order, Order::Link(_))));

        let orders = crowd(&mut router, 160..340, 9);

        let ways = orders.iter().filter(|(_, order)| matches!(order, Order::Link(_)));
        assert_eq!(
            ways.map(|&(worker, _)| worker).collect::<Vec<_>>(),
            [0, 1],
            "one way, each end once"
        );
        let [first, second] = legs(&router);
        assert_eq!(first + second, 340);
        assert!(first.abs_diff(second) <= 10, "{first} {second}");
    }

    #[test]
    fn the_other_part_goes_on_where_one_ends_and_a_new_one_has_a_new_name() {
        let mut router = router(&[]);
        crowd(&mut router, 0..170, 9);
        let parts: Vec<_> = router.parts(MixKey(9)).iter().map(|part| part.id).collect();
        assert_eq!(parts, [PartId(0), PartId(1)]);

        for leg in 0..160 {
            router.apply(&Command::Leave { leg: MediaKey(leg) });
        }
        router.note_load(1, 0.5);
        router.apply(&join(0, 9));

        let parts: Vec<_> = router.parts(MixKey(9)).iter().map(|part| part.id).collect();
        assert_eq!(parts, [PartId(1), PartId(2)]);
        let everywhere = router.plan(&Command::Contributors { mix: MixKey(9), contributors: 2 });
        assert_eq!(everywhere.len(), 2);
    }

    #[test]
    fn what_is_open_goes_to_the_worker_that_is_less_busy_not_only_less_full() {
        let mut router = router(&[open(1), open(2), open(3)]);
        router.note_load(1, 0.6);

        router.apply(&open(4));

        assert_eq!(legs(&router), [3, 1]);
    }

    #[test]
    fn who_sits_in_a_mix_stays_where_they_are_when_told_to_join_it() {
        let mut router = router(&[open(1), open(2), join(1, 9)]);

        assert_eq!(router.plan(&join(1, 9)), [(0, Order::Command(join(1, 9)))]);
        router.apply(&join(1, 9));

        assert_eq!(router.parts(MixKey(9)).len(), 1);
        assert_eq!(router.parts(MixKey(9))[0].legs, 1);
    }
}
