//! What is served over HTTP: senders, readers, operators and whoever measures, on one port.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use super::gauges::Gauges;
use crate::catalogue::Catalogue;
use crate::clock::{self, SteadyClock};
use crate::cluster::ClusterMembers;
use crate::dedupe::DedupeFigures;
use crate::egress::{self, Egress, Instance, Status, Tellers};
use crate::engine::{Handle, Topology};
use crate::history::HistoryFigures;
use crate::http::{Admission, Timeouts, browsers, not_found};
use crate::ingest::quarantine::{self, Quarantine};
use crate::ingest::seen;
use crate::ingest::sources::{Entrance, IngestDependencies};
use crate::ingest::{IngestCounters, KnownNames};
use crate::log::Store;
use crate::log::checkpoint::Growth;
use crate::observe::introspection::Introspection;
use crate::observe::latency::{Latency, LatencyObserver};
use crate::observe::{introspection, metrics};
use crate::project::Project;
use crate::triggers::FiringRecorder;
use crate::{access, catalogue, cluster, ingest};

/// What the routes work with.
pub(super) struct RouterParts {
    pub members: ClusterMembers,
    pub catalogue: Catalogue,
    pub handle: Handle,
    pub egress: Egress,
    pub recorder: FiringRecorder,
    pub quarantine: Quarantine,
    pub latency: Arc<Latency>,
    pub observer: LatencyObserver,
    pub growth: Option<Arc<Growth>>,
    pub history: Option<Arc<HistoryFigures>>,
    pub dedupe: Arc<DedupeFigures>,
    pub store: Option<Store>,
    pub introspection: Arc<Introspection>,
    pub topology: Topology,
    pub clock: Arc<SteadyClock>,
    pub timeouts: Timeouts,
    pub instance: Option<Instance>,
    pub admission: Admission,
    pub names: Arc<KnownNames>,
}

impl RouterParts {
    /// All routes, and the way in for sources that run.
    pub fn router(self, project: &Project) -> (Router, Entrance) {
        let RouterParts {
            members,
            catalogue,
            handle,
            egress,
            recorder,
            quarantine,
            latency,
            observer,
            growth,
            history,
            dedupe,
            store,
            introspection,
            topology,
            clock,
            timeouts,
            instance,
            admission,
            names,
        } = self;
        let now = clock.as_now();
        let counters = Arc::new(IngestCounters::new(project, names));
        // Changes of audiences are told by the first process of a cluster.
        let names = || project.definitions.audiences.iter().map(|audience| audience.name.clone()).collect();
        let audiences = if topology.process == 0 { names() } else { Arc::from([]) };
        let gauges = Gauges {
            audiences,
            growth,
            history,
            dedupe,
            store,
            introspection: introspection.clone(),
            counters: counters.clone(),
            quarantine: quarantine.clone(),
            handle: handle.clone(),
            egress: egress.clone(),
            recorder,
            clock: clock.clone(),
            members: members.clone(),
        };
        let dependencies = IngestDependencies {
            handle: handle.clone(),
            counters: counters.clone(),
            quarantine: quarantine.clone(),
            observer,
            notes: notes(egress.clone()),
            clock: clock.clone(),
            admission: admission.clone(),
            timeouts,
        };
        let entrance = Entrance::new(project, dependencies);
        let names = project.destinations.iter().map(|destination| &*destination.name);
        let tellers = Tellers { own: topology.process, of: names.map(|name| catalogue.teller(name)).collect() };
        let router = Router::new()
            .merge(ingest::sources::http::router(project, entrance.clone()))
            .merge(seen::router(&admission, counters.clone(), now.clone()))
            .merge(quarantine::router(project, &admission, handle.clone(), counters, quarantine))
            .merge(access::router(project, &admission, handle.clone()))
            .merge(egress::router(&admission, egress, now, instance, tellers))
            .merge(introspection::router(&admission, introspection, topology.place(), gauges.clone()))
            .merge(catalogue::router(&admission, catalogue))
            .merge(cluster::router(&admission, members, handle.clone(), clock.clone()))
            .merge(clock::router(&admission, clock, topology.process))
            .merge(metrics::router(latency, gauges))
            // A page that sends to a wrong address is to see that, too.
            .fallback_service(any(not_found).layer(browsers()));
        (router, entrance)
    }
}

/// What does not keep events from being taken, and is for people to mend.
fn notes(egress: Egress) -> Arc<dyn Fn() -> Vec<String> + Send + Sync> {
    Arc::new(move || {
        if let Some(held) = egress.held() {
            return vec![format!("nothing is delivered: {held}")];
        }
        let note = |status: Status| {
            let destination = status.destination;
            let held = status.held.map(|held| format!("nothing is delivered to destination {destination}: {held}"));
            held.or_else(|| Some(format!("destination {destination} is parked: {}", status.parked?)))
        };
        egress.status().into_iter().filter_map(note).collect()
    })
}
