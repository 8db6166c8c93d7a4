//! Where the metrics are read off.

use std::sync::Arc;

use dataflows::model::Tick;

use crate::clock::Now;
use crate::egress::outbox::State;
use crate::egress::{Egress, EventStatus, Status};
use crate::engine::Handle;
use crate::ingest::IngestCounters;
use crate::ingest::quarantine::Quarantine;
use crate::log::checkpoint::Growth;
use crate::observe::metrics::{Delivery, EngineState, EventDelivery, Intake, Quarantined, Readings};

/// The parts of a running engine that have something to say.
#[derive(Clone)]
pub(super) struct Gauges {
    pub growth: Option<Arc<Growth>>,
    pub counters: Arc<IngestCounters>,
    pub quarantine: Quarantine,
    pub handle: Handle,
    pub egress: Egress,
    pub now: Now,
}

impl Readings for Gauges {
    fn intake(&self) -> Intake {
        let duplicates = self.counters.duplicates();
        Intake {
            accepted: self.counters.accepted().saturating_sub(duplicates),
            duplicates,
            rejected: self.counters.rejected().map(|(code, count)| (code.to_owned(), count)).collect(),
        }
    }

    fn quarantine(&self) -> Quarantined {
        let held = self.quarantine.held();
        Quarantined { entries: held.entries, bytes: held.bytes, kept: held.kept, dropped: held.dropped.to_vec() }
    }

    fn frontier(&self) -> Tick {
        self.handle.frontier()
    }

    fn engine(&self) -> EngineState {
        let (progress, audit) = (self.handle.progress(), self.handle.progress().audit());
        EngineState {
            recovery: progress.recovery(),
            pending_events: progress.pending_events() as u64,
            books_looks: audit.looks(),
            books_differences: audit.differences(),
            full: progress.full(),
            is_short_of_memory: !self.handle.has_memory(),
            is_short_of_room: !progress.has_room(),
            checkpoints: self.growth.as_ref().map_or(0, |growth| growth.checkpoints()),
            checkpoint: self.growth.as_ref().map_or(Tick::default(), |growth| growth.checkpoint()),
            checkpoint_behind: self.growth.as_ref().map_or(0, |growth| growth.behind()),
        }
    }

    fn now(&self) -> Tick {
        (self.now)()
    }

    fn destinations(&self) -> Vec<Delivery> {
        let delivery = |status: Status| Delivery {
            destination: status.destination.to_string(),
            rows: status.backlog.rows as u64,
            pending: status.backlog.pending as u64,
            frontier: status.backlog.frontier,
            acknowledged: status.changes.acknowledged,
            failed_calls: status.changes.failed_calls,
            given_up: status.changes.given_up,
            oldest_pending: status.backlog.oldest_pending,
            resync: status.backlog.resync as u64,
            dead_letters: status.backlog.refused as u64,
            is_paused: status.backlog.state == State::Paused,
        };
        self.egress.status().into_iter().map(delivery).collect()
    }

    fn events(&self) -> Vec<EventDelivery> {
        let delivery = |status: Status| {
            let EventStatus { pending, dead_letters, counts } = status.events?;
            Some(EventDelivery {
                destination: status.destination.to_string(),
                pending: pending.events as u64,
                oldest_pending: pending.oldest,
                dead_letters: dead_letters as u64,
                acknowledged: counts.acknowledged,
                failed_calls: counts.failed_calls,
                given_up: counts.given_up + pending.overflowed,
            })
        };
        self.egress.status().into_iter().filter_map(delivery).collect()
    }
}
