//! The judge over changes that are put together by hand.

use super::*;
use crate::load::stream::{LoadAction, LoadEvent};

/// Somebody with a device, who spends enough with the first event.
fn purchase(number: u64, cents: u32) -> LoadEvent {
    LoadEvent { number, at_ms: 1_000_000, device: 1, user: Some(1), what: LoadAction::Purchase { cents } }
}

fn view(number: u64, at_ms: u64) -> LoadEvent {
    LoadEvent { number, at_ms, device: 2, user: None, what: LoadAction::View }
}

struct Court {
    judge: Judge,
    due: Instant,
}

impl Court {
    fn new() -> Self {
        let steps: Arc<[RateStep]> = Arc::new([RateStep::new(1_000)]);
        let judge = Judge::new(LaneNames { run: "r".into(), has_regulars: false }, 1, Duration::from_secs(1), steps);
        Court { judge, due: Instant::now() }
    }

    fn acked(&mut self, tick: u64, events: Vec<LoadEvent>) {
        self.acked_after(tick, tick, events);
    }

    fn acked_after(&mut self, earliest: u64, tick: u64, events: Vec<LoadEvent>) {
        let cause = Cause { due: self.due, step: 0, counts: true };
        self.judge.acked(Acked { lane: 0, events, earliest, tick, cause });
    }

    fn received(&mut self, action: ReceivedAction, audience: &str, identifiers: &[&str], as_of: u64, after_ms: u64) {
        let identifiers = identifiers.iter().map(|of| (*of).to_owned()).collect();
        let change =
            ReceivedChange { audience: audience.into(), action, identifiers, traits: serde_json::Map::new(), as_of };
        self.judge.received(&change, self.due + Duration::from_millis(after_ms));
    }

    /// `expected received cancelled missing extra late`, then the first complaint.
    #[track_caller]
    fn check(mut self, expected: &str, complaint: &str) {
        self.judge.close();
        let ChangeCounts { expected: e, received, cancelled, missing, extra, late } = self.judge.counts(0);
        assert_eq!(format!("{e} {received} {cancelled} {missing} {extra} {late}"), expected);
        assert_eq!(self.judge.complaints().first().map_or("", String::as_str), complaint);
    }
}

const BOTH: [&str; 2] = ["anonymous_id:r-0-1", "user_id:r-0-1"];

#[test]
fn what_comes_as_expected_is_right() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![purchase(0, 50_000)]);
    court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 7);
    court.received(ReceivedAction::Add, "big_ticket", &BOTH, 1_000_005, 7);
    let delivered = court.judge.steps[0].histogram(LoadStage::Delivered);
    assert_eq!((delivered.len(), delivered.max() / 1_000_000), (4, 7));
    court.check("4 4 0 0 0 0", "");
}

#[test]
fn a_call_may_be_faster_than_the_answer() {
    let mut court = Court::new();
    court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 3);
    court.received(ReceivedAction::Add, "big_ticket", &BOTH, 1_000_005, 3);
    court.acked(1_000_005, vec![purchase(0, 50_000)]);
    court.check("4 4 0 0 0 0", "");
}

#[test]
fn what_does_not_come_is_missing() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![purchase(0, 50_000)]);
    court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 7);
    court.received(ReceivedAction::Add, "big_ticket", &BOTH[..1], 1_000_005, 7);
    court.check("4 3 0 1 0 0", "add big_ticket user_id:r-0-1 as of 1000005 did not come");
}

#[test]
fn what_comes_twice_or_at_another_tick_is_extra() {
    for (audience, as_of) in [("spenders", 1_000_005), ("berliners", 1_000_005), ("spenders", 1_000_004)] {
        let mut court = Court::new();
        court.acked(1_000_005, vec![purchase(0, 50_000)]);
        court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 7);
        court.received(ReceivedAction::Add, "big_ticket", &BOTH, 1_000_005, 7);
        court.received(ReceivedAction::Add, audience, &BOTH[1..], as_of, 8);
        court.check("4 4 0 0 1 0", &format!("add {audience} user_id:r-0-1 as of {as_of} came and was not expected"));
    }
}

#[test]
fn what_comes_late_is_late() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![purchase(0, 50_000)]);
    court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 7);
    court.received(ReceivedAction::Add, "big_ticket", &BOTH, 1_000_005, 1_001);
    court.check("4 4 0 0 0 2", "add big_ticket anonymous_id:r-0-1 as of 1000005 came late");
}

#[test]
fn an_entry_and_an_exit_may_cancel() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![view(0, 1_000_000), view(1, 1_000_000)]);
    court.judge.advance(1_010_000);
    court.check("2 0 2 0 0 0", "");
}

#[test]
fn an_exit_alone_may_not() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![view(0, 1_000_000), view(1, 1_000_000)]);
    court.judge.advance(1_010_000);
    court.received(ReceivedAction::Delete, "hot", &["anonymous_id:r-0-2"], 1_003_000, 9);
    court.check("2 1 0 1 0 0", "add hot anonymous_id:r-0-2 as of 1003000 did not come, but what follows it did");
}

#[test]
fn the_final_states_are_compared_member_by_member() {
    let mut court = Court::new();
    court.acked(1_000_005, vec![purchase(0, 50_000)]);
    court.received(ReceivedAction::Add, "spenders", &BOTH, 1_000_005, 7);
    court.received(ReceivedAction::Add, "berliners", &BOTH[1..], 1_000_005, 7);
    court.judge.close();
    assert_eq!(court.judge.compare(), FinalComparison { members: 4, different: 3 });
}

#[test]
fn people_of_other_runs_are_nobodys_business() {
    let mut court = Court::new();
    court.received(ReceivedAction::Delete, "keen", &["user_id:other-0-1"], 5, 7);
    assert!(!court.judge.is_settled(3));
    court.received(ReceivedAction::Add, "fence", &["user_id:r-fence3"], 6, 7);
    assert!(court.judge.is_settled(3));
    court.check("0 0 0 0 0 0", "");
}

#[test]
fn an_answer_that_was_unclear_leaves_room_for_the_tick() {
    for add in [1_003_001, 1_003_400, 1_003_500, 1_003_501] {
        let mut court = Court::new();
        court.acked(1_000_005, vec![view(0, 1_000_000), view(1, 1_000_000)]);
        court.received(ReceivedAction::Add, "hot", &["anonymous_id:r-0-2"], 1_000_005, 9);
        court.acked_after(1_000_006, 1_003_500, vec![view(2, 1_003_000), view(3, 1_003_000)]);
        court.judge.advance(1_004_000);
        court.received(ReceivedAction::Delete, "hot", &["anonymous_id:r-0-2"], 1_003_000, 9);
        court.received(ReceivedAction::Add, "hot", &["anonymous_id:r-0-2"], add, 9);
        court.judge.close();
        let counts = court.judge.counts(0);
        // Of a device a later tick may be right.
        assert_eq!((counts.received, counts.missing, counts.extra), (3, 0, 0), "{add}");
    }
}
