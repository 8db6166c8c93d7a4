//! The session of a person that is running, put together from the runs of the person's identifiers (docs/concepts/sessions.md).

use std::ops::ControlFlow;
use std::sync::Arc;

use super::person::{ProfilePast, add};
use crate::definitions::{MeasureId, RunTerm, RunningTerm, Session};
use crate::model::{Number, Part, RunValue, Sample, SessionRun, Tick, Value, Weight};

/// Runs in their order, each with how many times it is there.
pub type WeightedRuns = Vec<(Arc<SessionRun>, Weight)>;

/// Events of a running session from which on all runs of the person are kept from change to change. What a run was before each of its
/// events is among what is past for a while, and would be gone through again and again.
const KEPT_FROM_EVENTS: u64 = 16;

/// The runs of a person, as far as they are asked for, and the session that is running.
#[derive(Default)]
pub struct RunningSession {
    /// Runs that came since what is past, and that went; or, where these are kept, all that there are. In their order.
    changes: WeightedRuns,
    /// Whether all that there are is kept, and nothing of what is past is looked at.
    is_whole: bool,
    /// All runs of the session as one.
    run: Option<SessionRun>,
    /// When it ends, if nothing comes.
    pub ends_at: Option<Tick>,
}

impl RunningSession {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.changes.clear();
        (self.is_whole, self.run, self.ends_at) = (false, None, None);
    }

    /// All runs, where they are to be kept until the next change.
    pub fn take_kept(&mut self) -> Option<WeightedRuns> {
        self.is_to_be_kept().then(|| std::mem::take(&mut self.changes))
    }

    /// Goes on with all runs that were kept.
    pub fn restore(&mut self, all: WeightedRuns) {
        (self.changes, self.is_whole) = (all, true);
    }

    /// Whether the session is so long that all runs are to be kept.
    pub fn is_to_be_kept(&self) -> bool {
        self.is_whole && self.is_long()
    }

    fn is_long(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.events > KEPT_FROM_EVENTS)
    }

    /// A run comes, or goes.
    pub fn change(&mut self, run: &Arc<SessionRun>, weight: Weight) {
        add(&mut self.changes, run, weight);
    }

    /// Finds the session that is running at a tick. Runs come by their ends, the latest first, so only those of the session are looked at,
    /// and one more.
    pub fn find(&mut self, measure: MeasureId, session: &Session, past: &mut ProfilePast, tick: Tick) {
        if self.is_long() && !self.is_whole {
            past.visit(&Part::Run(measure, SessionRun::first().into()), |part, weight| match part {
                Part::Run(of, run) if *of == measure => {
                    add(&mut self.changes, run, weight);
                    true
                }
                _ => false,
            });
            self.is_whole = true;
        }
        let mut found = SessionSoFar { run: None, gap_ms: session.gap_ms, tick };
        self.visit(measure, past, |run, weight| found.take(run, weight));
        self.run = found.run;
        self.ends_at = self.run.as_ref().map(|run| run.end.0.at.after_ms(session.gap_ms));
    }

    /// Visits the runs in their order, each with how many times it is there.
    fn visit(
        &self,
        measure: MeasureId,
        past: &mut ProfilePast,
        mut take: impl FnMut(&SessionRun, Weight) -> ControlFlow<()>,
    ) {
        let mut changes = self.changes.iter().peekable();
        let mut flow = ControlFlow::Continue(());
        let mut visit = |part: &Part, weight: Weight| {
            let Part::Run(of, run) = part else { return false };
            if *of != measure {
                return false;
            }
            while let Some((change, more)) = changes.next_if(|(change, _)| change < run) {
                if take(change, *more).is_break() {
                    flow = ControlFlow::Break(());
                    return false;
                }
            }
            let more = changes.next_if(|(change, _)| change == run).map_or(0, |(_, more)| more.0);
            flow = take(run, Weight(weight.0 + more));
            flow.is_continue()
        };
        if !self.is_whole {
            past.visit(&Part::Run(measure, SessionRun::first().into()), &mut visit);
        }
        if flow.is_continue() {
            _ = changes.try_for_each(|(change, more)| take(change, *more));
        }
    }

    /// Gives the sessions that end at `from` or later, each as one run.
    pub fn for_each(
        &self,
        measure: MeasureId,
        session: &Session,
        from: Tick,
        past: &mut ProfilePast,
        mut give: impl FnMut(SessionRun),
    ) {
        // Of each identifier that has sessions of its own one at most is not complete: who comes to a run that is too early for it comes to no
        // other that is not, since they sort by their ends.
        let mut open: Vec<SessionRun> = Vec::new();
        self.visit(measure, past, |run, weight| {
            let Ok(times @ 1..) = u64::try_from(weight.0) else { return ControlFlow::Continue(()) };
            let complete =
                open.extract_if(.., |session_run| run.end.0.at.after_ms(session.gap_ms) < session_run.start.at);
            complete.for_each(&mut give);
            if let Some(near) = open.iter_mut().find(|other| other.is_near(run, session.gap_ms)) {
                near.join(&run.clone().times(times));
            } else if run.end.0.at >= from {
                open.push(run.clone().times(times));
            } else if open.is_empty() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        open.into_iter().for_each(give);
    }

    /// What is asked of it.
    pub fn value(&self, term: RunningTerm) -> Option<Value> {
        value(self.run.as_ref(), term)
    }
}

/// What is asked of a session.
pub fn value(session: Option<&SessionRun>, term: RunningTerm) -> Option<Value> {
    let Some(run) = session else { return (term == RunningTerm::IsThere).then_some(Value::Bool(false)) };
    let seconds = |ms: u64| Number::of_millionths(i128::from(ms) * 1_000, 1).map(Value::Number);
    match term {
        RunningTerm::IsThere => Some(Value::Bool(true)),
        RunningTerm::Start => Some(Value::Time(run.start.at.into())),
        RunningTerm::Duration => seconds(run.end.0.at.as_ms().saturating_sub(run.start.at.as_ms())),
        RunningTerm::Events => Value::number(run.events as f64),
        RunningTerm::Value(place, term) => value_of(run.values.get(usize::from(place))?, term),
    }
}

/// The session, as far as its runs have come.
struct SessionSoFar {
    run: Option<SessionRun>,
    gap_ms: u64,
    tick: Tick,
}

impl SessionSoFar {
    /// Takes the run with the next later end; ends where none that follows belongs to the session.
    fn take(&mut self, run: &SessionRun, weight: Weight) -> ControlFlow<()> {
        let Ok(times) = u64::try_from(weight.0) else { return ControlFlow::Continue(()) };
        if times == 0 {
            return ControlFlow::Continue(());
        }
        let is_over = |until: Tick| run.end.0.at.after_ms(self.gap_ms) < until;
        match &mut self.run {
            None if is_over(self.tick.next()) => ControlFlow::Break(()),
            None => {
                self.run = Some(run.clone().times(times));
                ControlFlow::Continue(())
            }
            Some(session) if is_over(session.start.at) => ControlFlow::Break(()),
            Some(session) => {
                if session.is_near(run, self.gap_ms) {
                    session.join(&run.clone().times(times));
                }
                ControlFlow::Continue(())
            }
        }
    }
}

fn value_of(value: &RunValue, term: RunTerm) -> Option<Value> {
    let values = |samples: &[Sample], most: usize| {
        Value::List(samples.iter().take(most).map(|sample| Some(sample.value.clone())).collect())
    };
    match (value, term) {
        (RunValue::Count(count), RunTerm::Count) => Value::number(*count as f64),
        (RunValue::Sum(count, _), RunTerm::Count) => Value::number(*count as f64),
        (RunValue::Sum(count, sum), RunTerm::Sum) if *count > 0 => sum.as_sum_over(1).map(Value::Number),
        (RunValue::Sum(count, sum), RunTerm::Average) if *count > 0 => {
            sum.as_sum_over((*count).into()).map(Value::Number)
        }
        (RunValue::Least(sample) | RunValue::Greatest(sample), RunTerm::Sample) => {
            sample.as_ref().map(|sample| sample.value.clone())
        }
        (RunValue::Distinct(samples), RunTerm::Distinct) => {
            Some(Value::Number(Number::from(u32::try_from(samples.len()).unwrap_or(u32::MAX))))
        }
        (RunValue::Distinct(samples), RunTerm::List(most)) => Some(values(samples, most.into())),
        _ => None,
    }
}
