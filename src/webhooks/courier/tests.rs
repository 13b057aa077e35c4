use api::event::{Data, EventType};
use serde_json::json;

use super::*;

/// A courier in virtual time, an endpoint that answers at once, and a store that takes everything.
struct Post {
    courier: Courier,
    now: Timestamp,
    /// By the number of its event, how each attempt is answered; nothing left: 204.
    answers: BTreeMap<u64, VecDeque<u16>>,
    /// What was sent, and when: seconds since the start, number of the event.
    sent: Vec<(i64, u64)>,
    stored: BTreeMap<DeliveryId, KeptDelivery>,
    cursor: Option<Document>,
    disabled: Option<DisabledReason>,
    /// Attempts are not answered.
    is_silent: bool,
    silent: Vec<DeliveryId>,
}

fn webhook() -> WebhookId {
    WebhookId::new(1, 1)
}

fn settings() -> Settings {
    Settings { at_once: 4, disable_after: Duration::from_hours(120), seed: 7 }
}

fn post() -> Post {
    post_with(settings(), Unfinished::default())
}

fn post_with(settings: Settings, unfinished: Unfinished) -> Post {
    let now = Timestamp::UNIX_EPOCH;
    let courier = Courier::new((webhook(), 0), settings, unfinished, now);
    Post {
        courier,
        now,
        answers: BTreeMap::new(),
        sent: Vec::new(),
        stored: BTreeMap::new(),
        cursor: None,
        disabled: None,
        is_silent: false,
        silent: Vec::new(),
    }
}

/// Event number `seq` of the room of this number; 0: of no room.
fn event(seq: u64, room: u128) -> Arc<Event> {
    Arc::new(Event {
        id: EventId::new(0, seq.into()),
        seq,
        kind: EventType::RoomUpdated,
        time: Timestamp::UNIX_EPOCH,
        room: (room > 0).then(|| RoomId::new(0, room)),
        leg: None,
        call: None,
        data: Data::of(&json!({})),
        moved_out_of: None,
    })
}

impl Post {
    fn input(&mut self, input: Input) -> Option<Timestamp> {
        self.courier.handle_input(self.now, input);
        loop {
            match self.courier.poll_output() {
                Output::Attempt(errand) => self.attempt(&errand),
                Output::Save(progress) => {
                    self.cursor = progress.cursor;
                    let kept = progress.deliveries.into_iter();
                    self.stored.extend(kept.map(|kept| (kept.delivery.id, kept)));
                    self.courier.handle_input(self.now, Input::Saved(true));
                }
                Output::Disable(reason) => self.disabled = Some(reason),
                Output::WaitUntil(at) if self.courier.outputs.is_empty() => return at,
                Output::Count(_) | Output::WaitUntil(_) => {}
            }
        }
    }

    fn attempt(&mut self, errand: &Errand) {
        let seq = self.seq_of(errand.delivery);
        self.sent.push((self.now.as_second(), seq));
        if self.is_silent {
            return self.silent.push(errand.delivery);
        }
        self.answer(errand.delivery);
    }

    fn answer(&mut self, id: DeliveryId) {
        let seq = self.seq_of(id);
        let status = self.answers.get_mut(&seq).and_then(VecDeque::pop_front).unwrap_or(204);
        let (began, response) = (self.now, String::new());
        let answered = Answered { began, took: Duration::ZERO, status: Ok(status), response };
        self.courier.handle_input(self.now, Input::Answered(id, answered));
    }

    fn seq_of(&self, id: DeliveryId) -> u64 {
        self.courier.open[&id].kept.delivery.seq.unwrap()
    }

    fn take(&mut self, events: impl IntoIterator<Item = Arc<Event>>) {
        for event in events {
            self.input(Input::Event(event));
        }
    }

    /// The endpoint answers so to the attempts of this event.
    fn refuses(&mut self, seq: u64, statuses: impl IntoIterator<Item = u16>) {
        self.answers.insert(seq, statuses.into_iter().collect());
    }

    /// Lets time pass, stopping whenever the courier wants to.
    fn wait(&mut self, time: Duration) {
        let end = later(self.now, time);
        loop {
            let wake = self.input(Input::Timeout).filter(|wake| *wake <= end);
            let Some(wake) = wake else { break };
            self.now = wake.max(later(self.now, Duration::from_millis(1)));
        }
        self.now = end;
    }

    fn delivery(&self, seq: u64) -> &Delivery {
        let found = self.stored.values().find(|kept| kept.delivery.seq == Some(seq));
        &found.unwrap().delivery
    }

    /// What a courier after a kill finds.
    fn unfinished(&self) -> Unfinished {
        let pending = |kept: &&KeptDelivery| kept.delivery.state == DeliveryState::Pending;
        let deliveries = self.stored.values().filter(pending).cloned().collect();
        Unfinished { cursor: self.cursor.clone(), deliveries }
    }

    fn cursor(&self) -> u64 {
        self.cursor.as_ref().unwrap().revision
    }

    fn numbers(&self) -> Vec<u64> {
        self.sent.iter().map(|(_, seq)| *seq).collect()
    }
}

#[test]
fn an_event_is_sent_at_once_and_its_delivery_stored() {
    let mut post = post();

    post.take([event(5, 1)]);

    assert_eq!(post.sent, [(0, 5)]);
    assert_eq!(post.delivery(5).state, DeliveryState::Delivered);
    assert_eq!(post.delivery(5).attempts.len(), 1);
    assert_eq!((post.cursor(), post.courier.backlog()), (5, 0));
}

#[test]
fn what_is_refused_is_tried_ten_times_over_three_days_and_given_up() {
    let mut post = post();
    post.refuses(1, [500; 20]);
    post.take([event(1, 1)]);

    post.wait(Duration::from_hours(24 * 5));

    let at: Vec<i64> = post.sent.iter().map(|(at, _)| *at).collect();
    let expected = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let waited: Vec<i64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(waited.len(), expected.len(), "{waited:?}");
    for (waited, expected) in waited.iter().zip(expected) {
        let is_near = (expected..=expected + expected / 10 + 1).contains(waited);
        assert!(is_near, "{waited} s instead of {expected} s");
    }
    assert_ne!(waited, expected, "there is jitter");
    assert_eq!(post.delivery(1).state, DeliveryState::Failed);
    assert_eq!(post.courier.backlog(), 0);
}

#[test]
fn a_redirection_is_no_success() {
    let mut post = post();
    post.refuses(1, [302]);

    post.take([event(1, 1)]);

    assert_eq!(post.delivery(1).state, DeliveryState::Pending);
    assert!(post.delivery(1).next_attempt_at.is_some());
}

#[test]
fn who_answers_410_is_disabled_and_sent_nothing_more() {
    let mut post = post();
    post.refuses(1, [410]);

    post.take([event(1, 1), event(2, 2)]);
    post.wait(Duration::from_hours(24));

    assert_eq!(post.disabled, Some(DisabledReason::Gone));
    assert_eq!(post.numbers(), [1]);
    assert!(!post.courier.wants_more());
}

#[test]
fn events_of_a_room_wait_for_each_other_and_for_no_other_room() {
    let mut post = post();
    post.is_silent = true;

    post.take([event(1, 1), event(2, 1), event(3, 2), event(4, 0), event(5, 0)]);
    let before = post.numbers();
    let first = post.silent.remove(0);
    post.answer(first);
    post.input(Input::Timeout);

    assert_eq!(before, [1, 3, 4, 5]);
    assert_eq!(post.numbers(), [1, 3, 4, 5, 2]);
}

#[test]
fn an_event_that_has_failed_twice_holds_its_room_up_no_more() {
    let mut post = post();
    post.refuses(1, [500; 3]);

    post.take([event(1, 1), event(2, 1)]);
    let at_first = post.numbers();
    post.wait(Duration::from_secs(10));

    assert_eq!(at_first, [1]);
    assert_eq!(post.numbers(), [1, 1, 2]);
}

#[test]
fn no_more_are_under_way_than_may_be() {
    let mut post = post();
    post.is_silent = true;

    post.take((1..=10).map(|seq| event(seq, seq.into())));

    assert_eq!(post.sent.len(), 4);
}

#[test]
fn events_are_not_taken_far_ahead() {
    let mut post = post();
    post.is_silent = true;

    let mut seq = 0;
    while post.courier.wants_more() {
        seq += 1;
        post.take([event(seq, 1)]);
    }

    assert_eq!(seq, u64::try_from(AHEAD).unwrap());
}

#[test]
fn after_a_kill_what_was_not_delivered_is() {
    let mut post = post();
    post.refuses(1, [500]);
    post.take([event(1, 1), event(2, 2)]);
    post.is_silent = true;
    post.take([event(3, 3), event(4, 3)]);
    assert_eq!(post.cursor(), 2);

    let mut again = post_with(settings(), post.unfinished());
    let place = again.courier.place();
    again.take((place + 1..=4).map(|seq| event(seq, 3)));
    again.wait(Duration::from_mins(1));

    assert_eq!(again.numbers(), [3, 4, 1]);
    assert_eq!(again.delivery(1).attempts.len(), 2);
    assert_eq!(again.delivery(3).id, delivery_id(webhook(), &event(3, 3)));
}

#[test]
fn the_cursor_stays_before_what_only_memory_knows() {
    let mut post = post();
    post.is_silent = true;
    post.take([event(1, 1), event(2, 2)]);

    let second = post.silent.remove(1);
    post.answer(second);
    post.input(Input::Timeout);

    assert_eq!(post.delivery(2).state, DeliveryState::Delivered);
    assert_eq!(post.cursor(), 0);
}

#[test]
fn what_could_not_be_stored_is_stored_later() {
    let mut courier =
        Courier::new((webhook(), 0), settings(), Unfinished::default(), Timestamp::MIN);
    let now = Timestamp::UNIX_EPOCH;
    let kept = {
        let mut post = post();
        post.refuses(1, [500]);
        post.take([event(1, 1)]);
        post.stored.into_values().next().unwrap()
    };
    courier.stopped = true; // nothing is sent here
    courier.handle_input(now, Input::Errand(Box::new(kept)));
    let is_save = |output: Output| matches!(output, Output::Save(_));
    assert!(is_save(courier.poll_output()));
    assert!(!courier.is_done());

    courier.handle_input(now, Input::Saved(false));
    while !matches!(courier.poll_output(), Output::WaitUntil(Some(at)) if at > now) {}
    courier.handle_input(later(now, SAVE_PAUSE), Input::Timeout);

    assert!(is_save(courier.poll_output()));
    courier.handle_input(later(now, SAVE_PAUSE), Input::Saved(true));
    assert!(courier.is_done());
}

#[test]
fn who_takes_nothing_for_days_is_disabled() {
    let mut post = post();
    for seq in 1..=30 {
        post.refuses(seq, [503; 20]);
    }

    for seq in 1..=30 {
        post.take([event(seq, seq.into())]);
        post.wait(Duration::from_hours(6));
    }

    assert_eq!(post.disabled, Some(DisabledReason::Failing));
    let last = post.sent.last().unwrap().0;
    let days_5 = 120 * 3600;
    assert!((days_5..days_5 + 6 * 3600).contains(&last), "{last}");
}

#[test]
fn once_it_takes_events_again_it_is_sent_what_waits() {
    let mut post = post();
    for seq in 1..=3 {
        post.refuses(seq, [500; 5]);
        post.take([event(seq, seq.into())]);
    }
    post.wait(Duration::from_hours(3)); // the next try is hours away

    post.answers.clear();
    post.take([event(4, 4)]);
    post.wait(Duration::from_secs(1));

    assert_eq!(post.numbers()[post.sent.len() - 4..], [4, 1, 2, 3]);
    assert_eq!(post.courier.backlog(), 0);
}

#[test]
fn an_event_that_alone_is_refused_keeps_its_times() {
    let mut post = post();
    post.refuses(1, [500; 5]);
    post.take([event(1, 1)]);

    for seq in 2..=10 {
        post.take([event(seq, seq.into())]);
        post.wait(Duration::from_mins(1));
    }

    let tries = post.numbers().into_iter().filter(|seq| *seq == 1).count();
    assert_eq!(tries, 3); // at once, after 5 s and after 5 min
}

#[test]
fn one_who_has_as_much_waiting_as_may_is_tried_every_few_minutes() {
    let mut post = post();
    let count = u64::try_from(MOST_OPEN).unwrap();
    for seq in 1..=count {
        post.refuses(seq, [500; 7]);
        post.take([event(seq, seq.into())]);
    }
    assert!(!post.courier.wants_more());
    post.wait(Duration::from_hours(20)); // all have hours to go

    post.answers.clear();
    post.wait(Duration::from_mins(6));

    assert_eq!(post.courier.backlog(), 0);
    assert!(post.courier.wants_more());
}

#[test]
fn what_is_asked_for_again_is_sent_at_once() {
    let mut post = post();
    post.refuses(1, [500; 3]);
    post.take([event(1, 1)]);
    post.wait(Duration::from_secs(10));
    let mut kept = post.stored.values().next().unwrap().clone();
    kept.tries = 0;

    post.answers.clear();
    post.input(Input::Errand(Box::new(kept)));

    assert_eq!(post.numbers(), [1, 1, 1]);
    assert_eq!(post.delivery(1).state, DeliveryState::Delivered);
}

#[test]
fn where_nothing_is_wanted_the_cursor_follows_from_time_to_time() {
    let mut post = post();

    post.input(Input::Passed(STRIDE - 1));
    let at_first = post.cursor.is_some();
    post.wait(STRIDE_TIME);
    post.input(Input::Timeout);

    assert!(!at_first);
    assert_eq!(post.cursor(), STRIDE - 1);
}
