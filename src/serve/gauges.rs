//! Where the metrics are read off.

use std::sync::Arc;

use compact_str::CompactString;
use dataflows::model::Tick;

use crate::clock::SteadyClock;
use crate::cluster::{ClusterMember, ClusterMembers};
use crate::dedupe::DedupeFigures;
use crate::egress::outbox::DeliveryState;
use crate::egress::{Egress, EventStatus, Status};
use crate::engine::Handle;
use crate::history::HistoryFigures;
use crate::ingest::quarantine::Quarantine;
use crate::ingest::{IngestCounters, SourceCounts, Unfit};
use crate::log::Store;
use crate::log::checkpoint::Growth;
use crate::observe::introspection::Introspection;
use crate::observe::logging::lines_dropped;
use crate::observe::metrics::{
    AudienceState, DeliveryReading, EngineState, EventDelivery, HistoryState, Intake, MemberReading, Quarantined,
    Readings, RememberedMessages, SourceIntake, TriggerState,
};
use crate::triggers::FiringRecorder;

/// The parts of a running engine that have something to say.
#[derive(Clone)]
pub(super) struct Gauges {
    /// Names of audiences, where their changes come to this process.
    pub audiences: Arc<[CompactString]>,
    pub growth: Option<Arc<Growth>>,
    pub history: Option<Arc<HistoryFigures>>,
    pub dedupe: Arc<DedupeFigures>,
    pub store: Option<Store>,
    pub introspection: Arc<Introspection>,
    pub counters: Arc<IngestCounters>,
    pub quarantine: Quarantine,
    pub handle: Handle,
    pub egress: Egress,
    pub recorder: FiringRecorder,
    pub clock: Arc<SteadyClock>,
    pub members: ClusterMembers,
}

impl Readings for Gauges {
    fn intake(&self) -> Intake {
        let source = |of: SourceCounts| SourceIntake {
            source: of.source.into(),
            accepted: of.accepted.saturating_sub(of.duplicates),
            duplicates: of.duplicates,
            over_rate: of.over_rate,
            rejected: of.rejected,
            names: of.names.into_iter().map(|of| (of.kind.label(), of.used, of.refused)).collect(),
            connector: of.connector,
        };
        Intake {
            sources: self.counters.sources().into_iter().map(source).collect(),
            other_type: self.counters.fits().counted(Unfit::OtherType),
            rounded: self.counters.fits().counted(Unfit::Rounded),
            too_large: self.counters.fits().counted(Unfit::TooLarge),
            too_long: self.counters.fits().counted(Unfit::TooLong),
            warned: self.counters.warnings().collect(),
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
        let standing = self.clock.standing();
        EngineState {
            recovery: progress.recovery(),
            pending_events: progress.pending_events() as u64,
            consistency_checks: audit.checks(),
            consistency_differences: audit.differences(),
            full: progress.full(),
            is_short_of_memory: !self.handle.has_memory(),
            is_short_of_room: !progress.has_room(),
            clock_ahead_ms: standing.ahead_ms(),
            is_clock_apart: standing.check().is_err(),
            checkpoints: self.growth.as_ref().map_or(0, |growth| growth.checkpoints()),
            checkpoint: self.growth.as_ref().map_or(Tick::default(), |growth| growth.checkpoint()),
            checkpoint_behind: self.growth.as_ref().map_or(0, |growth| growth.behind()),
        }
    }

    fn cluster(&self) -> Vec<MemberReading> {
        let own = self.members.own();
        let reading = |(process, of): (usize, ClusterMember)| MemberReading {
            is_present: of.is_present(),
            skew_ms: if process == own { self.clock.standing().skew_ms() } else { of.skew_ms },
            heard_ms_ago: (process != own).then(|| of.quiet_ms()),
        };
        let all = self.members.all();
        if all.len() > 1 { all.into_iter().enumerate().map(reading).collect() } else { Vec::new() }
    }

    fn log_lines_dropped(&self) -> u64 {
        lines_dropped()
    }

    fn messages(&self) -> RememberedMessages {
        RememberedMessages {
            ids: self.dedupe.ids_in_memory() + self.dedupe.ids_on_disk(),
            disk_bytes: self.dedupe.disk_bytes(),
            runs: self.dedupe.runs(),
            window_ms: self.dedupe.window_ms(),
        }
    }

    fn history(&self) -> Option<HistoryState> {
        let history = self.history.as_ref()?;
        let last = self.growth.as_ref().map_or(Tick::default(), |growth| growth.last());
        Some(HistoryState {
            files: history.files(),
            rows: history.rows(),
            bytes: history.bytes(),
            written: history.written(),
            failures: history.failures(),
            behind_ms: last.as_ms().saturating_sub(history.until().as_ms()),
        })
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        let mut memory = vec![
            ("message_ids", self.dedupe.buffer_bytes()),
            ("message_id_indexes", self.dedupe.index_bytes()),
            ("pending_events", self.handle.progress().pending_bytes() as u64),
        ];
        if let Some(store) = &self.store {
            memory.extend([("storage_memtables", store.memtable_bytes()), ("storage_cache", store.cached_bytes())]);
        }
        memory.extend(self.introspection.arrangement_bytes().map(|bytes| ("arrangements", bytes)));
        memory
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    fn audiences(&self) -> Vec<AudienceState> {
        let moves = self.handle.progress().audit().moves().now();
        let state = |(place, audience): (usize, &CompactString)| {
            let [entered, exited] = moves.get(place).copied().unwrap_or_default();
            AudienceState { audience: audience.to_string(), entered, exited }
        };
        self.audiences.iter().enumerate().map(state).collect()
    }

    fn triggers(&self) -> Vec<TriggerState> {
        self.recorder.counts()
    }

    fn destinations(&self) -> Vec<DeliveryReading> {
        let delivery = |status: Status| DeliveryReading {
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
            dead_deletes: status.backlog.refused_deletes as u64,
            is_paused: status.backlog.state == DeliveryState::Paused,
            is_parked: status.parked.is_some(),
            is_held: status.held.is_some(),
            connector: status.connector,
        };
        self.egress.status().into_iter().map(delivery).collect()
    }

    fn events(&self) -> Vec<EventDelivery> {
        let delivery = |status: Status| {
            let EventStatus { pending, dead_letters, counts, skipped } = status.events?;
            Some(EventDelivery {
                destination: status.destination.to_string(),
                pending: pending.events as u64,
                oldest_pending: pending.oldest,
                dead_letters: dead_letters as u64,
                acknowledged: counts.acknowledged,
                failed_calls: counts.failed_calls,
                given_up: counts.given_up + pending.overflowed,
                withheld: pending.withheld,
                skipped: skipped.history + skipped.too_old + skipped.integrations,
            })
        };
        self.egress.status().into_iter().filter_map(delivery).collect()
    }
}
