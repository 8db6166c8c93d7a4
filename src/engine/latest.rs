//! Questions that are answered as of the latest complete tick, on the worker that puts them.
//!
//! While much is worked off (time has jumped, or a tick has very much in it) the tick that input is at may not be complete for seconds.
//! What is complete can be read all the same, as long as nobody has forgotten it: from the oldest tick on that a question under way
//! names, time is held.

use std::collections::VecDeque;

use dataflows::graph::Inputs;
use dataflows::model::Tick;
use dataflows::relations::Query;

/// The questions of one worker.
#[derive(Debug, Default)]
pub struct LatestQueries {
    /// Those whose tick is not complete: the tick that they have to be as of at least.
    waiting: Vec<(Tick, Query)>,
    /// Those that may be under way: the tick that each was put at, and the one that it names. Neither decreases.
    under_way: VecDeque<(Tick, Tick)>,
}

impl LatestQueries {
    /// One more, to be answered as of this tick or a later one.
    pub fn ask(&mut self, after: Tick, query: Query) {
        self.waiting.push((after, query));
    }

    /// Nobody waits for the answer to this one any more.
    pub fn withdraw(&mut self, id: u64) {
        self.waiting.retain(|(_, query)| query.id != id);
    }

    /// Puts those that can be answered, and says up to where nobody will ask. Everything before `complete` is complete.
    pub fn tend(&mut self, inputs: &mut Inputs, complete: Tick) {
        while self.under_way.pop_front_if(|(put_at, _)| *put_at < complete).is_some() {}
        let latest = complete.before();
        if !self.waiting.is_empty() {
            for (_, query) in self.waiting.extract_if(.., |(after, _)| *after < complete) {
                self.under_way.push_back((inputs.time(), latest));
                inputs.ask_now(Query { as_of: Some(latest), ..query });
            }
        }
        inputs.hold(self.under_way.front().map_or(latest, |(_, names)| *names));
    }
}
