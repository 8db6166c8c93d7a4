//! Where what the engine gives goes: to the destinations, and to those who have to know how far it is. And what destinations are
//! told of events beside that.

use std::sync::Arc;

use dataflows::forwards::Forwards;
use tokio::sync::mpsc;

use crate::egress::Egress;
use crate::egress::forward::Whose;
use crate::engine::Outlets;
use crate::ingest::segment::Extractor;
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

/// Leads what the engine gives to the destinations.
pub(super) fn outlets(
    egress: Egress,
    observer: Observer,
    failed: impl Fn(String) + Send + Sync + Clone + 'static,
    growth: Option<Arc<Growth>>,
) -> Outlets {
    let (frontier, delivery, forwarding, broken) = (egress.clone(), egress.clone(), egress.clone(), failed.clone());
    Outlets {
        desired: Box::new(move |tick, received, changes| egress.apply(tick, received, changes)),
        forwarded: Box::new(move |tick, events| {
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
