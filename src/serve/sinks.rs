//! Where what the engine gives goes: to the destinations, and to those who have to know how far it is. And what destinations are
//! told of events beside that.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use dataflows::definitions::Forward;
use dataflows::forwards::Forwards;
use dataflows::relations::{DesiredRows, Firings};
use tokio::sync::mpsc;

use crate::egress::Egress;
use crate::egress::forward::{Skip, Skipped, Whose};
use crate::ending::{Ending, Exit};
use crate::engine::{Choice, Sinks, Subscribers};
use crate::ingest::segment::{Extractor, Integrations, is_historical};
use crate::log::FiringRecord;
use crate::log::checkpoint::Growth;
use crate::observe::latency::LatencyObserver;
use crate::project::{Project, Sending};
use crate::triggers::FiringRecorder;

/// Tells why the process has to end.
pub(super) fn reporter(failed: &mpsc::UnboundedSender<Ending>) -> impl Fn(String) + Send + Sync + Clone + use<> {
    let failed = failed.clone();
    // Nobody listens any more where it ends already.
    move |reason| _ = failed.send(Ending::at_once(Exit::Wrong, reason))
}

/// Says whose a stored event is.
pub(super) fn whose(project: &Project) -> Whose {
    let (extractor, forwards) = (Extractor::of_stored(project), Forwards::new(project.definitions.clone()));
    Arc::new(move |raw| forwards.primary(&extractor.decode_stored("", raw).ok()?))
}

/// Takes out of the forwards of an event those to destinations that it is not to go to: of the past, too old, or since its sender says
/// so. By forward, `skipped` counts them.
pub(super) fn choice(project: &Project, skipped: Vec<Arc<Skipped>>) -> Choice {
    let destination = |forward: &Forward| &project.destinations[forward.destination.index()];
    let destinations: Vec<(CompactString, Sending)> = project
        .definitions
        .forwards
        .iter()
        .map(destination)
        .map(|destination| (destination.name.clone(), destination.sending.clone()))
        .collect();
    Box::new(move |tick, event, raw, to| {
        if event.name.derived().is_some() {
            // A message goes where it was decided that it goes, and what is none to whom lists it.
            let record = FiringRecord::read(raw);
            let goes_to = |name: &CompactString| {
                let is_for = |to: &[Cow<'_, str>]| to.is_empty() || to.iter().any(|to| **to == **name);
                record.as_ref().is_some_and(|record| is_for(&record.firing().to))
            };
            return to.retain(|id| goes_to(&destinations[id.index()].0));
        }
        let (integrations, is_historical) = (Integrations::of(raw), is_historical(raw));
        to.retain(|id| {
            let (name, sending) = &destinations[id.index()];
            let is_too_old = |max_age: Duration| {
                let max_age = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
                event.timestamp.after_ms(max_age) < tick
            };
            let skip = if is_historical && !sending.history {
                Skip::History
            } else if sending.max_age.is_some_and(is_too_old) {
                Skip::TooOld
            } else if !integrations.allow(name) {
                Skip::Integrations
            } else {
                return true;
            };
            skipped[id.index()].count(skip);
            false
        });
    })
}

/// Leads what the engine gives to the destinations.
pub(super) fn sinks(
    egress: Egress,
    observer: LatencyObserver,
    failed: impl Fn(String) + Send + Sync + Clone + 'static,
    growth: Option<Arc<Growth>>,
    recorder: &FiringRecorder,
) -> Sinks {
    let (frontier, delivery, forwarding, broken) = (egress.clone(), egress.clone(), egress.clone(), failed.clone());
    let mut subscribers =
        Subscribers::default().with::<DesiredRows>(move |of| egress.apply(of.tick, of.received, of.changes));
    let recorder = recorder.is_of_use().then(|| recorder.clone());
    if let Some(recorder) = recorder.clone() {
        subscribers = subscribers.with::<Firings>(move |of| recorder.take(of.tick, of.changes));
    }
    Sinks {
        subscribers,
        forwarded: Box::new(move |tick, mut events| {
            if let Some(recorder) = &recorder {
                events.retain(|event| !recorder.is_refused(event.position));
                recorder.complete_to(tick);
            }
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
