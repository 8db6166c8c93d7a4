//! The runs of one identifier: events that come are joined with those that they are near.

use std::sync::Arc;

use crate::definitions::MeasureId;
use crate::limits::RUNS_PER_IDENTIFIER_MAX;
use crate::model::{SessionRun, Weight, join_runs};

/// The runs of one identifier, by the measure of their session; each session's in their order.
#[derive(Default)]
pub struct HeldRuns(Vec<(MeasureId, Vec<Arc<SessionRun>>)>);

impl HeldRuns {
    /// A run comes. Gives those that go for it, and those that come.
    pub fn join(
        &mut self,
        measure: MeasureId,
        run: SessionRun,
        gap_ms: u64,
        mut change: impl FnMut(Arc<SessionRun>, Weight),
    ) {
        let place = match self.0.binary_search_by_key(&measure, |(of, _)| *of) {
            Ok(place) => place,
            Err(place) => {
                self.0.insert(place, (measure, Vec::new()));
                place
            }
        };
        let runs = &mut self.0[place].1;
        join_runs(runs, run, gap_ms, |run, weight| change(run.clone(), weight));
        // They sort by their ends, the latest first.
        if runs.len() > RUNS_PER_IDENTIFIER_MAX
            && let Some(oldest) = runs.pop()
        {
            change(oldest, Weight::GONE);
        }
    }

    /// All of them go.
    pub fn all_goes(self, mut change: impl FnMut(MeasureId, Arc<SessionRun>, Weight)) {
        for (measure, runs) in self.0 {
            runs.into_iter().for_each(|run| change(measure, run, Weight::GONE));
        }
    }
}
