//! The end of a step and of the run: what has not come by then, and who is in which audience.

use rustc_hash::FxHashMap;

use super::{ExpectedChange, FinalComparison, Judge, LaneJudge, LaneKey, MessageJudge};
use crate::load::body::LaneIdentifier;
use crate::load::model::{AUDIENCES, AudienceSet};

impl Judge {
    /// Whether the fence with this number has come, and nothing is missing.
    pub fn is_settled(&self, fence: usize) -> bool {
        let fence = format!("user_id:{}", self.names.fence(fence));
        let is_told = |lane: &LaneJudge| lane.open.iter().all(|key| lane.rows[key].expected.len().is_multiple_of(2));
        let are_told = self.messages.as_ref().is_none_or(MessageJudge::is_settled);
        self.fences.contains(&fence) && are_told && self.lanes.iter().all(is_told)
    }

    /// What has not come by now is missing.
    pub fn close(&mut self) {
        if let Some(messages) = &mut self.messages {
            messages.close();
        }
        for lane in 0..self.lanes.len() as u32 {
            let of = &mut self.lanes[lane as usize];
            let mut open: Vec<LaneKey> = of.open.drain().collect();
            open.sort_unstable();
            for key in open {
                let of = &mut self.lanes[lane as usize];
                let Some(row) = of.rows.get_mut(&key) else { continue };
                let expected: Vec<ExpectedChange> = row.expected.drain(..).collect();
                let Some(last) = expected.last() else { continue };
                let missing = expected.len() as u64 % 2;
                self.counts[last.step].missing += missing;
                self.counts[last.step].cancelled += expected.len() as u64 - missing;
                if missing == 1 {
                    self.complain("did not come", lane, key, last.enters, last.ticks.1);
                }
            }
        }
    }

    /// What came, put together, against the members by the model.
    pub fn compare(&mut self) -> FinalComparison {
        let mut comparison = FinalComparison::default();
        for lane in 0..self.lanes.len() as u32 {
            let of = &self.lanes[lane as usize];
            let mut members: FxHashMap<LaneIdentifier, AudienceSet> = of.model.members().collect();
            comparison.members += members.values().map(|bits| u64::from(bits.count_ones())).sum::<u64>();
            for ((identifier, audience), _) in of.rows.iter().filter(|(_, row)| row.present) {
                *members.entry(*identifier).or_default() ^= 1 << audience;
            }
            // What is left is a difference.
            let mut different: Vec<LaneKey> = members
                .into_iter()
                .flat_map(|(of, bits)| {
                    (0..AUDIENCES.len()).filter(move |at| bits >> at & 1 == 1).map(move |at| (of, at))
                })
                .collect();
            different.sort_unstable();
            comparison.different += different.len() as u64;
            for key in different {
                let of = &self.lanes[lane as usize];
                let is_present = of.rows.get(&key).is_some_and(|row| row.present);
                let what =
                    if is_present { "at the receiver only, at the end" } else { "in the model only, at the end" };
                let done_to = of.done_to;
                self.complain(what, lane, key, true, done_to);
            }
        }
        comparison
    }
}
