//! Measures, traits and audiences over sequences, of the definitions of random histories.

use dataflows::definitions::{
    EventFilter, EventTerm, Measure, MeasureId, MeasureShape, Period, PersonTerm, Sequence, SequenceEnd, SequenceStep,
    Window,
};
use dataflows::expression::{Comparison, Expression};

use super::computed::{FIRST_COMPUTED, measures_of_computed};
use super::definitions::{ANYTHING, CATEGORY, ORDERED, OverPerson, TOTAL, VIEWED, WINDOWS, person, the_trait};
use super::expressions::{compare, field, is_missing, literal, not, one_of};
use super::lists::measures_of_lists;

/// Events of these names, or of any.
pub fn events(names: &[&str]) -> EventFilter {
    let mut events: Vec<_> = names.iter().map(|name| (*name).into()).collect();
    events.sort();
    EventFilter { events, condition: None }
}

/// Those of them of which this is true.
fn of(takes: EventFilter, condition: Expression<EventTerm>) -> EventFilter {
    EventFilter { condition: Some(condition), ..takes }
}

/// So many of them, one after the other.
fn at_least(times: u16, takes: EventFilter) -> SequenceStep {
    SequenceStep { takes, times, within_ms: None }
}

/// One of them.
pub fn step(takes: EventFilter) -> SequenceStep {
    at_least(1, takes)
}

/// The same step, at most so long after the one before.
fn within(within_ms: u64, step: SequenceStep) -> SequenceStep {
    SequenceStep { within_ms: Some(within_ms), ..step }
}

/// A measure that looks for a sequence.
pub fn sequence(
    steps: Vec<SequenceStep>,
    end: SequenceEnd,
    same: Option<Expression<EventTerm>>,
    over: Window,
) -> Measure {
    let sequence = Sequence { steps, same, end };
    Measure {
        events: sequence.events(),
        each: None,
        condition: None,
        shape: MeasureShape::Sequence(Box::new(sequence)),
        within: Some(Period::Within(over)),
        ended: Vec::new(),
    }
}

/// These follow the measures over lists.
pub fn measures_of_sequences() -> Vec<Measure> {
    let [ms_5, s_1, s_60, h_1, ms_10] = WINDOWS;
    let (ordered, viewed) = (|| events(&[ORDERED]), || events(&[VIEWED]));
    let (either, any) = (|| events(&[ORDERED, VIEWED]), || events(&[]));
    let is_large = || compare(field(TOTAL), Comparison::GreaterOrEqual, literal(10.0));
    let category = || Some(field(CATEGORY));
    let matched = SequenceEnd::Match;
    vec![
        /* 0 */ sequence(vec![step(viewed()), step(ordered())], matched.clone(), None, s_60),
        /* 1 */
        sequence(
            vec![
                step(viewed()),
                within(1_000, at_least(2, ordered())),
                within(5, step(of(any(), not(is_missing(field(TOTAL)))))),
            ],
            matched.clone(),
            None,
            h_1,
        ),
        /* 2 */ sequence(vec![step(either()), within(60_000, step(either()))], matched.clone(), category(), h_1),
        /* 3 */
        sequence(vec![at_least(3, events(&["identify", VIEWED, ORDERED]))], matched.clone(), None, ms_10),
        /* 4 */
        sequence(vec![step(any()), within(1, step(any()))], matched.clone(), Some(field(ANYTHING)), s_1),
        // One event may be of both steps, which look for different things.
        /* 5 */
        sequence(
            vec![step(of(either(), is_missing(field(CATEGORY)))), within(5, at_least(2, of(either(), is_large())))],
            matched,
            None,
            ms_5,
        ),
        /* 6 */ sequence(vec![step(ordered())], SequenceEnd::Absent(viewed(), 3), None, s_1),
        /* 7 */
        sequence(vec![step(viewed()), within(5, step(any()))], SequenceEnd::Absent(ordered(), 1_000), None, s_60),
        /* 8 */ sequence(vec![step(either())], SequenceEnd::Absent(of(any(), is_large()), 3), category(), h_1),
        // For most, the window is over before the wait; for some, its grain is some milliseconds longer.
        /* 9 */
        sequence(vec![step(ordered())], SequenceEnd::Absent(viewed(), 60_004), None, s_60),
        // The next event of any name ends the wait, and waits itself.
        /* 10 */
        sequence(vec![step(any())], SequenceEnd::Absent(any(), 5), None, ms_10),
        /* 11 */ sequence(vec![step(viewed())], SequenceEnd::Dropped(ordered(), 1, 5), None, s_1),
        /* 12 */ sequence(vec![at_least(2, either())], SequenceEnd::Dropped(any(), 2, 1_000), None, s_60),
        /* 13 */
        sequence(
            vec![step(either()), within(5, step(either()))],
            SequenceEnd::Dropped(of(either(), one_of(field(CATEGORY), &["books", "shoes"])), 1, 3),
            category(),
            h_1,
        ),
        /* 14 */ sequence(vec![step(any())], SequenceEnd::Dropped(any(), 1, 3), None, ms_10),
    ]
}

fn found(term: impl FnOnce(MeasureId) -> PersonTerm, measure: usize) -> OverPerson {
    person(term, FIRST_COMPUTED + measures_of_computed().len() + measures_of_lists().len() + measure)
}

/// Traits, by name.
pub fn sequence_traits() -> Vec<(&'static str, OverPerson)> {
    vec![
        ("absences_60s", found(PersonTerm::Completions, 7)),
        ("absent_at_the_end", found(PersonTerm::LastCompletion, 9)),
        ("absent_of_category", found(PersonTerm::LastCompletion, 8)),
        ("absent_since_1s", found(PersonTerm::LastCompletion, 6)),
        ("dropped_10ms", found(PersonTerm::Matches, 14)),
        ("dropped_of_category", found(PersonTerm::Matches, 13)),
        ("sequences_1ms", found(PersonTerm::Completions, 4)),
        ("sequences_60s", found(PersonTerm::Completions, 0)),
        ("sequences_last_1h", found(PersonTerm::LastCompletion, 1)),
        ("sequences_last_5ms", found(PersonTerm::LastCompletion, 5)),
        ("sequences_of_category", found(PersonTerm::Completions, 2)),
        ("sequences_of_three", found(PersonTerm::Completions, 3)),
        ("silences", found(PersonTerm::Completions, 10)),
    ]
}

/// Audiences, by name.
pub fn sequence_audiences() -> Vec<(&'static str, OverPerson)> {
    let n = |value: f64| literal::<PersonTerm>(value);
    vec![
        ("sequence_absent", Expression::And(vec![found(PersonTerm::Matches, 7), not(found(PersonTerm::Matches, 12))])),
        (
            "sequence_again",
            Expression::Or(vec![
                compare(found(PersonTerm::Completions, 0), Comparison::GreaterOrEqual, n(2.0)),
                compare(the_trait("sequences_last_1h"), Comparison::Less, the_trait("absent_of_category")),
            ]),
        ),
        ("sequence_bought", found(PersonTerm::Matches, 0)),
        ("sequence_dropped", Expression::Or(vec![found(PersonTerm::Matches, 11), the_trait("dropped_of_category")])),
        ("sequence_dropped_60s", found(PersonTerm::Matches, 12)),
        (
            "sequence_never",
            not(Expression::Or([1, 2, 3, 4, 6].map(|measure| found(PersonTerm::Matches, measure)).to_vec())),
        ),
        ("sequence_silent", found(PersonTerm::Matches, 10)),
    ]
}
