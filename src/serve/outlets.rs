//! Where what the engine gives goes: to the destinations, and to those who have to know how far it is. And what destinations are
//! told of events beside that.

use std::sync::Arc;

use compact_str::CompactString;
use dataflows::definitions::Forward;
use dataflows::forwards::Forwards;
use tokio::sync::mpsc;

use crate::egress::Egress;
use crate::egress::forward::Whose;
use crate::engine::{Forwarded, Outlets};
use crate::ingest::segment::{Extractor, Integrations};
use crate::log::checkpoint::Growth;
use crate::observe::latency::Observer;
use crate::project::Project;

/// Tells why the process has to end.
pub(super) fn reporter(failed: &mpsc::UnboundedSender<String>) -> impl Fn(String) + Send + Sync + Clone + use<> {
    let failed = failed.clone();
    // Nobody listens any more where it ends already.
    move |reason| _ = failed.send(reason)
}

/// Says whose a stored event is.
pub(super) fn whose(project: &Project) -> Whose {
    let (extractor, forwards) = (Extractor::of_stored(project), Forwards::new(project.definitions.clone()));
    Arc::new(move |raw| forwards.primary(&extractor.reread("", raw).ok()?))
}

/// Leaves out of the forwards of events those to destinations that the event is not to go to.
fn obey_integrations(destinations: &[CompactString], events: &mut Vec<Forwarded>) {
    for event in events.iter_mut() {
        let integrations = Integrations::of(&event.raw);
        event.to.retain(|id| integrations.allow(&destinations[id.index()]));
    }
    events.retain(|event| !event.to.is_empty());
}

/// Leads what the engine gives to the destinations.
pub(super) fn outlets(
    project: &Project,
    egress: Egress,
    observer: Observer,
    failed: impl Fn(String) + Send + Sync + Clone + 'static,
    growth: Option<Arc<Growth>>,
) -> Outlets {
    let (frontier, delivery, forwarding, broken) = (egress.clone(), egress.clone(), egress.clone(), failed.clone());
    let definitions = &project.definitions;
    let name = |forward: &Forward| definitions.destinations[forward.destination.index()].name.clone();
    let forwards: Vec<CompactString> = definitions.forwards.iter().map(name).collect();
    Outlets {
        desired: Box::new(move |tick, received, changes| egress.apply(tick, received, changes)),
        forwarded: Box::new(move |tick, mut events| {
            obey_integrations(&forwards, &mut events);
            if let Err(error) = forwarding.take_in(tick, &events) {
                broken(error.to_string());
            }
        }),
        complete: Box::new(move |tick| frontier.complete_to(tick)),
        recovered: Box::new(move |tick| {
            delivery.recovered(tick);
            growth.iter().for_each(|growth| growth.recovered());
        }),
        failed: Box::new(failed),
        observer,
    }
}
