//! The judge over messages that are put together by hand.

use serde_json::{Value, json};

use super::*;
use crate::load::judge::{Acked, Cause};
use crate::load::stream::{LoadAction, LoadEvent};
use crate::receive::event::MessageCause;

/// Regulars 2 and 4 buy and add something at a time.
fn event(number: u64, user: u32, at_ms: u64, what: LoadAction) -> LoadEvent {
    LoadEvent { number, at_ms, device: 2 * user, user: Some(user), what }
}

fn purchase(number: u64, user: u32, cents: u32) -> LoadEvent {
    event(number, user, 1_000_000, LoadAction::Purchase { cents })
}

struct MessageCourt {
    judge: MessageJudge,
    due: Instant,
}

impl MessageCourt {
    fn new() -> Self {
        let steps: Arc<[RateStep]> = Arc::new([RateStep::new(1_000)]);
        let names = LaneNames { run: "r".into(), has_regulars: true };
        let due = Instant::now();
        let base = (due, SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000));
        let lanes = MessageJudge::lanes(1, LoadTrigger::ALL.len());
        MessageCourt { judge: MessageJudge::new(names, Duration::from_secs(1), base, steps, lanes), due }
    }

    fn acked(&mut self, ticks: (u64, u64), events: Vec<LoadEvent>) {
        let cause = Cause { due: self.due, step: 0, counts: true };
        self.judge.acked(&Acked { lane: 0, events, earliest: ticks.0, tick: ticks.1, cause });
    }

    fn told(&mut self, message: &TriggerMessage, after_ms: u64) {
        self.judge.received(message.clone(), self.due + Duration::from_millis(after_ms));
    }

    /// `expected received missing extra wrong late unclear` of all triggers, then the first complaint.
    #[track_caller]
    fn check(mut self, expected: &str, complaint: &str) {
        self.judge.close();
        let all = self.judge.counts(0).into_iter().fold(MessageCounts::default(), MessageCounts::and);
        let MessageCounts { expected: e, received, missing, extra, wrong, late, unclear } = all;
        assert_eq!(format!("{e} {received} {missing} {extra} {wrong} {late} {unclear}"), expected);
        assert_eq!(self.judge.complaints.first().map_or("", String::as_str), complaint);
    }
}

fn message(id: &str, on: (&str, u64, u64), payload: Value, user: u32, ticks: (u64, u64)) -> TriggerMessage {
    TriggerMessage {
        trigger: id.split('/').next().unwrap().into(),
        message_id: id.into(),
        payload: payload.as_object().unwrap().clone(),
        cause: MessageCause { on: on.0.into(), first: on.1, last: on.2 },
        profile_id: Some("p".into()),
        identifiers: vec![format!("user_id:r-0-{user}"), format!("anonymous_id:r-0-{}", 2 * user)],
        requires_consent: None,
        decided: ticks.0,
        as_of: ticks.1,
        index: 0,
    }
}

/// The order with number 7 of regular 2, for 60.50, which came at tick 1,000,005.
fn order() -> TriggerMessage {
    let (id, on) = ("order/1000000-1000005.0.3", ("Order Completed", 1_000_000, 1_000_000));
    message(id, on, json!({"order": "o-7", "total": 60.5}), 2, (1_000_005, 1_000_006))
}

#[test]
fn what_comes_as_expected_is_right() {
    let mut court = MessageCourt::new();
    court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050), purchase(8, 4, 5_000)]);
    court.judge.advance(1_000_006);
    assert!(!court.judge.is_settled());
    court.told(&order(), 9);
    assert!(court.judge.is_settled());
    let latency = court.judge.steps[0].messages();
    assert_eq!((latency.len(), latency.max() / 1_000_000), (1, 9));
    court.check("1 1 0 0 0 0 0", "");
}

#[test]
fn a_call_may_be_faster_than_the_answer() {
    let mut court = MessageCourt::new();
    court.told(&order(), 9);
    court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050)]);
    court.judge.advance(1_000_006);
    court.check("1 1 0 0 0 0 0", "");
}

#[test]
fn what_does_not_come_is_missing() {
    let mut court = MessageCourt::new();
    court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050)]);
    court.check("1 0 1 0 0 0 0", "message order of 7 in lane 0, due at 1000005, did not come");
}

#[test]
fn what_comes_twice_is_extra() {
    let again = TriggerMessage { message_id: "order/1000000-1000005.0.4".into(), ..order() };
    for (second, complaint) in [
        (order(), "message order/1000000-1000005.0.3 as of 1000006 came twice"),
        (again, "message order/1000000-1000005.0.4 as of 1000006 came and was not expected"),
    ] {
        let mut court = MessageCourt::new();
        court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050)]);
        court.judge.advance(1_000_010);
        court.told(&order(), 9);
        court.told(&second, 9);
        court.check("1 1 0 1 0 0 0", complaint);
    }
}

#[test]
fn what_nothing_is_known_of_is_extra() {
    let other = |payload| TriggerMessage { payload: json!(payload).as_object().unwrap().clone(), ..order() };
    let unknown = TriggerMessage { trigger: "parcel".into(), ..order() };
    let too_little = other(json!({"order": "o-8", "total": 50}));
    let nobodys = TriggerMessage { identifiers: Vec::new(), ..order() };
    for message in [unknown, too_little, nobodys] {
        let mut court = MessageCourt::new();
        court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050), purchase(8, 2, 5_000)]);
        court.judge.advance(1_000_010);
        court.told(&TriggerMessage { message_id: "order/1000000-1000005.0.9".into(), ..message }, 9);
        court.told(&order(), 9);
        let counts = court.judge.counts(0)[0];
        assert_eq!((counts.received, counts.extra, counts.missing), (1, 1, 0), "{:?}", court.judge.complaints);
    }
}

#[test]
fn people_of_other_runs_are_nobodys_business() {
    let mut court = MessageCourt::new();
    court.told(&TriggerMessage { identifiers: vec!["user_id:other-0-2".into()], ..order() }, 9);
    court.check("0 0 0 0 0 0 0", "");
}

#[test]
fn what_says_something_else_is_wrong() {
    let payload = |of: Value| of.as_object().unwrap().clone();
    let cause = |on: &str, first, last| MessageCause { on: on.into(), first, last };
    for (what, wrong) in [
        ("payload", TriggerMessage { payload: payload(json!({"order": "o-7", "total": 60.51})), ..order() }),
        ("payload", TriggerMessage { payload: payload(json!({"order": "o-7"})), ..order() }),
        ("payload", TriggerMessage { payload: payload(json!({"order": "o-7", "total": 60.5, "x": 1})), ..order() }),
        ("cause", TriggerMessage { cause: cause("Order Completed", 999_999, 1_000_000), ..order() }),
        ("cause", TriggerMessage { cause: cause("order fired", 1_000_000, 1_000_000), ..order() }),
        ("tick of its decision", TriggerMessage { decided: 1_000_004, ..order() }),
        ("tick of its decision", TriggerMessage { decided: 1_000_006, as_of: 1_000_007, ..order() }),
        ("person", TriggerMessage { identifiers: vec!["user_id:r-0-2".into()], ..order() }),
        ("person", TriggerMessage { profile_id: None, ..order() }),
        ("id", TriggerMessage { message_id: "order/1000000-1000006.0.3".into(), ..order() }),
        ("consent", TriggerMessage { requires_consent: Some("marketing".into()), ..order() }),
    ] {
        let mut court = MessageCourt::new();
        court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050)]);
        court.judge.advance(1_000_010);
        court.told(&wrong, 9);
        let (id, as_of) = (&wrong.message_id, wrong.as_of);
        let complaint = format!("message {id} as of {as_of} has another {what} than expected");
        court.check("1 1 0 0 1 0 0", &complaint);
    }
}

#[test]
fn what_comes_late_is_late() {
    let mut court = MessageCourt::new();
    court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050)]);
    court.judge.advance(1_000_010);
    court.told(&order(), 1_001);
    court.check("1 1 0 0 0 1 0", "message order/1000000-1000005.0.3 as of 1000006 came late");
}

/// The second of two orders of a person waits for the record of the first one.
#[test]
fn one_comes_after_the_other() {
    for (decided, expected) in [(1_000_006, "2 2 0 0 0 0 0"), (1_000_005, "2 2 0 0 1 0 0")] {
        let mut court = MessageCourt::new();
        court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 6_050), purchase(8, 2, 6_000)]);
        court.judge.advance(1_000_010);
        court.told(&order(), 9);
        let on = ("Order Completed", 1_000_000, 1_000_000);
        let payload = json!({"order": "o-8", "total": 60});
        court.told(&message("order/1000000-1000005.0.4", on, payload, 2, (decided, 1_000_008)), 9);
        let complaint =
            "message order/1000000-1000005.0.4 as of 1000008 has another tick of its decision than expected";
        court.check(expected, if decided == 1_000_006 { "" } else { complaint });
    }
}

/// What is on a firing has the time of that firing, and comes after it.
#[test]
fn what_is_on_a_firing_follows_it() {
    let big = |ticks: (u64, u64)| {
        let (id, on) = ("big_order/1000005-1000006.0.0", ("order fired", 1_000_005, 1_000_005));
        message(id, on, json!({"order": "o-7", "total": 80}), 2, ticks)
    };
    let first = TriggerMessage { payload: big((0, 0)).payload, ..order() };
    for (ticks, expected) in [((1_000_006, 1_000_007), "2 2 0 0 0 0 0"), ((1_000_005, 1_000_007), "2 2 0 0 1 0 0")] {
        let mut court = MessageCourt::new();
        court.acked((1_000_005, 1_000_005), vec![purchase(7, 2, 8_000)]);
        // What is on it is decided after the last tick that is known of.
        court.judge.advance(1_000_005);
        court.told(&first, 9);
        court.told(&big(ticks), 10);
        let is_right = expected.ends_with("0 0 0");
        let complaint =
            "message big_order/1000005-1000006.0.0 as of 1000007 has another tick of its decision than expected";
        court.check(expected, if is_right { "" } else { complaint });
    }
}

fn reminder(decided: u64, as_of: u64) -> TriggerMessage {
    let payload = json!({"club": 7, "product": "p-7", "orders": 0});
    let on = ("Product Added", 1_000_000, 1_000_000);
    message("reminder/1000000-1000005.0.3", on, payload, 2, (decided, as_of))
}

#[test]
fn what_waits_is_due_when_that_is_over() {
    let mut court = MessageCourt::new();
    court.acked((1_000_005, 1_000_005), vec![event(7, 2, 1_000_000, LoadAction::Cart)]);
    court.judge.advance(1_000_999);
    assert!(court.judge.is_settled());
    court.judge.advance(1_001_010);
    court.told(&reminder(1_001_000, 1_001_003), 1_004);
    let latency = court.judge.steps[0].message_histogram(LoadTrigger::Reminder);
    assert_eq!(latency.max() / 1_000_000, 4);
    court.check("1 1 0 0 0 0 0", "");
}

/// What waits for a record that takes longer than `at_most` may fire after all.
#[test]
fn what_cannot_be_known_is_unclear() {
    let mut court = MessageCourt::new();
    let carts = |number, at_ms| vec![event(number, 2, at_ms, LoadAction::Cart)];
    court.acked((1_000_005, 1_000_005), carts(7, 1_000_000));
    court.acked((1_006_000, 1_006_000), carts(8, 1_006_000));
    court.judge.advance(1_008_000);
    court.told(&reminder(1_001_000, 1_007_500), 9);
    let on = ("Product Added", 1_006_000, 1_006_000);
    let payload = json!({"club": 8, "product": "p-8", "orders": 0});
    court.told(&message("reminder/1006000-1006000.0.3", on, payload, 2, (1_007_500, 1_007_600)), 9);
    court.check("1 1 0 0 0 0 1", "");
}

/// So may what has a tick that nobody was told.
#[test]
fn an_answer_that_was_lost_leaves_its_people_unclear() {
    let mut court = MessageCourt::new();
    court.acked((1_000_003, 1_000_005), vec![purchase(7, 2, 6_050)]);
    court.judge.advance(1_000_010);
    court.told(&order(), 9);
    court.acked((1_000_020, 1_000_020), vec![purchase(8, 4, 6_000)]);
    court.check("1 0 1 0 0 0 1", "message order of 8 in lane 0, due at 1000020, did not come");
}
