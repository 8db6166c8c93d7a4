//! People with many devices, each of which says something of them: what is kept of these people from change to change is what a plain
//! recomputation says, while devices come, speak and go.

use dataflows::limits::KEPT_FROM;
use dataflows::model::{Event, Tick};

use super::dataflow::{Dataflow, Restored};
use super::{Subject, compare, some_cases, told};
use crate::histories::{Case, Draft, When};

/// Devices, so many that those of one person are kept, and that they are not when half of them left.
fn devices() -> Vec<&'static str> {
    (0..KEPT_FROM + 4).map(|n| &*format!("anonymous_id:d{n:03}").leak()).collect()
}

/// A random history of a person who has all of these devices before, and loses most of them, and has them again.
fn case_of_many(seed: u64) -> Case {
    let devices = devices();
    let mut random = some_cases(seed, 12, 16);
    let own = random.pop().expect("there is one");
    let said: Vec<Draft> = random.into_iter().flat_map(|case| case.drafts).collect();
    let mut said = said.iter().cycle();
    let mut speaks = |device: &'static str, gap_ms| Draft {
        gap_ms,
        who: vec![device],
        // Each time of its own is a tick at which windows end and all is recomputed.
        when: When::Now,
        ..said.next().expect("something is said").clone()
    };
    let logs_in =
        |user, device, gap_ms| Draft { gap_ms, who: vec![user, device], when: When::Now, ..own.drafts[0].clone() };
    let mut drafts = Vec::new();
    for (device, n) in devices.iter().zip(0u64..) {
        // Half of them speak before they are that person's, and one by one they become it at few ticks.
        let gap_ms = u64::from(n.is_multiple_of(30));
        if n.is_multiple_of(2) {
            drafts.extend([speaks(device, gap_ms), logs_in("user_id:1", device, 0)]);
        } else {
            drafts.extend([logs_in("user_id:1", device, gap_ms), speaks(device, 0)]);
        }
    }
    drafts.extend(own.drafts.iter().cloned());
    for (device, n) in devices.iter().zip(0u64..).filter(|(_, n)| n % 4 > 0) {
        drafts.push(logs_in("user_id:2", device, u64::from(n.is_multiple_of(20))));
    }
    drafts.extend([speaks(devices[0], 1), speaks(devices[1], 1)]);
    drafts.extend(devices.iter().map(|device| logs_in("user_id:1", device, 0)));
    drafts.extend(devices.iter().zip(1..6).map(|(device, gap_ms)| speaks(device, gap_ms)));
    Case { drafts, without_order: own.without_order, rules: own.rules }
}

#[track_caller]
fn check(subject: &dyn Subject, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let case = case_of_many(seed);
        let history: Vec<(Tick, Event)> = case.history();
        if let Err(reason) = compare(subject, &case.definitions(), &history) {
            panic!("seed {seed}: {}\n{reason}", told(&case));
        }
    }
}

#[test]
fn many_devices_of_one_person_come_speak_and_go() {
    let dataflow = Dataflow::of;
    check(&dataflow(1), 0..1);
    check(&Restored { before: dataflow(3), after: dataflow(1) }, 1..3);
}
