//! Ten thousand people leave a window: their events end at one tick, or at many that pass at once. That is worked off a little at a time,
//! and what is asked in between is answered in between. Counted in what comes out, not in time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use dataflows::definitions::{
    Audience, AudienceId, Definitions, EvaluationStep, MeasureId, MeasureShape, PersonTerm, Window,
};
use dataflows::expression::{Comparison, Expression};
use dataflows::model::{Event, Tick};
use dataflows::observations::Arrival;
use dataflows::relations::{AnyChanges, AnyRow, Found, LookUp, Query, Question, Sizes};
use deltaic::engine::{Topology, WorkerCommand, WorkerOutput, Workers};

use crate::histories::expressions::{compare, literal, measure};
use crate::histories::identifier;

const PEOPLE: u64 = 10_000;

const WINDOW_MS: u64 = 20_000;

/// How many are worked off at a time.
const DUE_AT_ONCE: usize = 10;

/// Who bought within the window.
fn definitions() -> Definitions {
    let window = Window { length_ms: WINDOW_MS, grain_ms: 1 };
    let count = Expression::Term(PersonTerm::Count(MeasureId::new(0)));
    Definitions {
        measures: vec![measure("buy", MeasureShape::Count, Some(window))],
        audiences: vec![Audience {
            name: "buyers".into(),
            condition: compare(count, Comparison::Greater, literal(0.0)),
        }],
        order: vec![EvaluationStep::Audience(AudienceId::new(0))],
        ..Definitions::default()
    }
}

/// What came out until all workers had said that a tick is reached.
struct Came {
    /// How many left at each tick, as it came.
    left: Vec<(Tick, usize)>,
    /// How often it was said that something more is complete.
    steps: usize,
    /// Sizes that were asked for, with the tick that they are of, and how many had left when they came.
    sizes: Vec<(Tick, u64, usize)>,
}

fn until(tick: Tick, workers: usize, collected: &Receiver<WorkerOutput>) -> Came {
    let mut frontiers = vec![Tick::default(); workers];
    let (mut came, mut answers) = (Came { left: Vec::new(), steps: 0, sizes: Vec::new() }, Vec::new());
    while frontiers.iter().any(|frontier| *frontier < tick) {
        match collected.recv().expect("the workers are there") {
            WorkerOutput::Complete { worker, frontier } => {
                frontiers[worker] = frontier;
                came.steps += 1;
            }
            WorkerOutput::Changes(at, AnyChanges::Memberships(changes)) => {
                let leave = changes.iter().filter(|(_, diff)| *diff < 0).count();
                came.left.extend((leave > 0).then_some((at, leave)));
            }
            WorkerOutput::Answers(_, shares) => {
                for share in shares {
                    let (Some(as_of), Found::Row(AnyRow::Sizes(size))) = (share.as_of, share.found) else {
                        panic!("they are asked for")
                    };
                    answers.push((as_of, size.unwrap_or_default()));
                }
                if answers.len() == workers {
                    let has_left = came.left.iter().map(|(_, leave)| leave).sum();
                    let (as_of, _) = answers[0];
                    assert!(answers.iter().all(|(other, _)| *other == as_of), "all are of one tick");
                    came.sizes.push((as_of, answers.drain(..).map(|(_, size)| size).sum(), has_left));
                }
            }
            _ => {}
        }
    }
    came
}

/// Lets time jump over the ends of all, which are so far apart. Somebody asks for `after`, which is complete before all have left.
fn check(apart_ms: u64, after: Tick, workers: usize) {
    let ms = Tick::from_ms;
    let (outputs, collected) = channel();
    let topology = Topology::local(workers).with_due_at_once(DUE_AT_ONCE);
    let running = Workers::start(&topology, Arc::new(definitions()), outputs).expect("they start");
    let event = |number: u64| Event {
        timestamp: ms(1 + number * apart_ms),
        name: "buy".into(),
        identifiers: [identifier(&format!("user_id:p{number}"))].into_iter().collect(),
        ..Event::default()
    };
    let (all, jumped) = (ms(1 + PEOPLE * apart_ms), ms(1_000_000));
    running.send((0..PEOPLE).map(|number| (all, Arrival::Event(event(number)))).collect());
    running.advance_to(all.next());
    assert_eq!(until(all.next(), workers, &collected).left, [], "everybody is there");
    let query = Query::new(1, 0, Question::LookUp(Sizes::into_any(vec![AudienceId::new(0)])));
    running.tell(0, WorkerCommand::AskLatest(after, query));
    running.advance_to(jumped);
    let came = until(jumped, workers, &collected);
    running.stop().expect("no worker failed");

    assert!(came.left.is_sorted(), "ticks come in their order, each once");
    let end = |number| ms(WINDOW_MS + 1 + number * apart_ms);
    let expected: Vec<(Tick, usize)> = match apart_ms {
        0 => vec![(end(0), PEOPLE as usize)],
        _ => (0..PEOPLE).map(|number| (end(number), 1)).collect(),
    };
    assert!(came.left == expected, "everybody leaves at the tick that is his, not at {} ticks", came.left.len());
    let [(as_of, size, has_left)] = came.sizes[..] else { panic!("{} answers", came.sizes.len()) };
    assert!(as_of >= after && as_of < end(PEOPLE - 1), "as of {as_of}");
    assert!(has_left < PEOPLE as usize, "it is answered before all have left");
    let left_by_then: usize = came.left.iter().filter(|(at, _)| *at <= as_of).map(|(_, leave)| leave).sum();
    assert_eq!(size, PEOPLE - left_by_then as u64, "as of {as_of}");
    if apart_ms > 0 {
        // Behind what lets them through, those that wait are worked off together.
        assert!(came.steps > 5, "{} steps", came.steps);
    }
}

#[test]
fn reads_are_answered_while_a_jump_of_time_is_worked_off() {
    // What comes behind what lets them through may be far behind it, and then complete much at once.
    let some = Tick::from_ms(WINDOW_MS + PEOPLE / 50);
    check(1, some, 1);
    check(1, some, 3);
}

#[test]
fn reads_are_answered_while_one_tick_is_worked_off() {
    check(0, Tick::from_ms(WINDOW_MS), 1);
    check(0, Tick::from_ms(WINDOW_MS), 3);
}
