//! The Segment HTTP tracking API: `POST /v1/{identify,track,page,screen,group,alias,merge,batch,import}`.
//!
//! A request is one submission, so it has one tick and one fate; but each event of a batch is read on its own, and wrong ones
//! are listed in the answer beside the accepted ones. Answers: 200 where at least one event is accepted, 400 where none can
//! be (sending it again will not help), 401 for an unknown write key, 413 for a request that is too large, 429 and 503 with `Retry-After` where nothing was done,
//! 504 where the outcome is not known.
//!
//! A batch's `context` is for its events without a `context`: it is not merged into theirs.

mod answer;
mod batch;
mod batch_decoder;
mod body;
mod keys;
mod rates;
mod rejected;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::{get, post};
use compact_str::{CompactString, ToCompactString};

use self::answer::{answer, rejection, warning};
pub use self::batch::RequestBatch;
pub use self::batch_decoder::{BatchDecoder, DecodedBatch, Sent};
use self::body::Bodies;
use self::keys::WriteKeys;
use self::rates::Rates;
use self::rejected::ReceivedRequest;
use super::quarantine::Quarantine;
use super::segment::{CallType, Stamp};
use super::{Attempt, IngestCounters, Via};
use crate::clock::SteadyClock;
use crate::engine::Handle;
use crate::http::{Admission, Peer, Problem, Timeouts, TrustedProxies, browsers, method_not_allowed};
use crate::limits::BODY_BYTES_IN_FLIGHT_MAX;
use crate::observe::latency::{LatencyObserver, Stage};
use crate::project::Project;

/// What the HTTP source works with.
#[derive(Clone)]
pub struct IngestDependencies {
    /// Where events go.
    pub handle: Handle,
    /// Where they are counted.
    pub counters: Arc<IngestCounters>,
    /// Where rejected ones are kept.
    pub quarantine: Quarantine,
    /// Who is told of latency.
    pub observer: LatencyObserver,
    /// What `/readyz` is to say although events are taken, a line each.
    pub notes: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The clock.
    pub clock: Arc<SteadyClock>,
    /// Who may send.
    pub admission: Admission,
    /// How long requests may take.
    pub timeouts: Timeouts,
}

/// What an address says of what is sent to it.
#[derive(Clone, Copy, Debug, Default)]
struct Endpoint {
    /// The call; of a batch each event says it.
    call: Option<CallType>,
    /// Whether it is of the past.
    is_historical: bool,
}

const BATCH: Endpoint = Endpoint { call: None, is_historical: false };

const fn of(call: CallType) -> Endpoint {
    Endpoint { call: Some(call), ..BATCH }
}

/// The addresses below `/v1/`. The short forms are those of analytics.js.
const ADDRESSES: [(&str, Endpoint); 16] = [
    ("identify", of(CallType::Identify)),
    ("track", of(CallType::Track)),
    ("page", of(CallType::Page)),
    ("screen", of(CallType::Screen)),
    ("group", of(CallType::Group)),
    ("alias", of(CallType::Alias)),
    ("merge", of(CallType::Merge)),
    ("batch", BATCH),
    ("import", Endpoint { is_historical: true, ..BATCH }),
    ("i", of(CallType::Identify)),
    ("t", of(CallType::Track)),
    ("p", of(CallType::Page)),
    ("s", of(CallType::Screen)),
    ("g", of(CallType::Group)),
    ("a", of(CallType::Alias)),
    ("b", BATCH),
];

/// The routes of the HTTP source, `/healthz` and `/readyz`.
pub fn router(project: &Project, with: IngestDependencies) -> Router {
    let (handle, notes, clock) = (with.handle.clone(), with.notes.clone(), with.clock.clone());
    let state = Arc::new(IngestState {
        decoder: BatchDecoder::counting(project, with.counters.fits().clone())
            .within(with.counters.names().clone(), Attempt::First),
        sources: project.sources.iter().map(|source| (source.name.clone(), source.ip)).collect(),
        proxies: TrustedProxies::new(&project.trusted_proxies),
        keys: WriteKeys::new(with.admission.clone()),
        bodies: Bodies::new(project.limits.request_bytes_max, with.timeouts.body_read, BODY_BYTES_IN_FLIGHT_MAX),
        rates: Rates::new(&project.sources, &project.limits),
        sequence: AtomicU64::new(0),
        with,
    });
    let mut router = Router::new();
    for (name, address) in ADDRESSES {
        for path in [format!("/v1/{name}"), format!("/v1/{name}/")] {
            let state = state.clone();
            let take = move |request| async move { state.take(address, request).await };
            router = router.route(&path, post(take).fallback(method_not_allowed));
        }
    }
    let ready = move || async move {
        let lines = || std::iter::once("ready".to_owned()).chain(notes()).map(|line| format!("{line}\n")).collect();
        handle.readiness()?;
        let apart = |why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "clock", why);
        clock.standing().check().map_err(apart)?;
        Ok(lines()) as Result<String, Problem>
    };
    router.layer(browsers()).route("/healthz", get(|| async { "alive\n" })).route("/readyz", get(ready))
}

struct IngestState {
    decoder: BatchDecoder,
    /// Names, and whether events are to say where they come from.
    sources: Vec<(CompactString, bool)>,
    proxies: TrustedProxies,
    keys: WriteKeys,
    bodies: Bodies,
    rates: Rates,
    /// Numbers events, so that message ids made for two of them always differ.
    sequence: AtomicU64,
    with: IngestDependencies,
}

impl IngestState {
    /// The address that a request comes from.
    fn sender(&self, head: &Parts) -> Option<CompactString> {
        let sender = self.proxies.sender(*head.extensions.get::<Peer>()?, &head.headers)?;
        Some(sender.to_compact_string())
    }

    async fn take(&self, address: Endpoint, request: Request) -> Result<Response, Problem> {
        let arrived = Instant::now();
        let at = self.with.clock.now();
        let request_of = ReceivedRequest { at, stamp: Stamp::from(at), address };
        let call = address.call;
        let (head, body) = request.into_parts();
        // Read before the key is looked at: it may be in the body, and an answer to a body that is still coming gets lost on its way.
        let body = self.bodies.read(&head.headers, body).await?;
        let source = self.keys.source_of_head(&head);
        self.with.handle.admits()?;
        let bytes = self.bodies.unpack(body)?;
        let mut batch = self.decoder.open(&bytes, call).inspect_err(|problem| {
            // Of a body that cannot be read only the head says whose it is.
            if let Some(source) = source {
                self.keep_body(&request_of, source, &bytes, problem);
            }
        })?;
        batch.is_historical |= address.is_historical;
        let of_body = || self.keys.source(batch.write_key.as_deref()?);
        let source = source.or_else(of_body).ok_or_else(WriteKeys::unknown)?;
        // Until it is answered, whatever comes of it.
        let pending = self.with.handle.pending_events();
        let admitted = self.rates.admit(source, batch.events.len(), bytes.len(), pending);
        let _under_way = admitted.inspect_err(|_| self.with.counters.count_over_rate(source, batch.events.len()))?;
        let first = self.sequence.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        let (name, fills_ip) = &self.sources[source];
        // What is of the past comes from whoever has it now.
        let ip = if *fills_ip && !batch.is_historical { self.sender(&head) } else { None };
        let (ip, position) = (ip.as_deref(), ("", first));
        let sent = Sent { source: name, call, received: &request_of.stamp, ip, position };
        let DecodedBatch { accepted, rejected, warnings } = self.decoder.take(&batch, &sent);
        rejected.iter().for_each(|(_, why)| self.with.counters.count_rejected(Via::Source(source), why));
        self.with.counters.seen().count(name, at, &accepted);
        (self.with.observer)(Stage::Parsed, arrived.elapsed());
        let answers = rejected.iter().map(|(index, why)| rejection(*index, why)).collect();
        if accepted.is_empty() {
            self.keep(&request_of, source, &batch, &rejected);
            return Ok(answer(None, 0, answers, Vec::new()));
        }

        let events = accepted.len();
        let submitted = self.with.handle.submit(accepted, arrived);
        let Ok(receipt) = tokio::time::timeout(self.with.timeouts.receipt, submitted).await else {
            let message = "the events may be accepted or not: send them again with the same `messageId`s";
            return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "no_receipt", message));
        };
        let receipt = receipt?;
        self.with.counters.count_accepted(Via::Source(source), events, receipt.duplicates);
        warnings.iter().for_each(|(_, of_one)| self.with.counters.count_warnings(*of_one));
        (self.with.observer)(Stage::Accepted, arrived.elapsed());
        // Not before: who gets no receipt sends all of it again, and the rejected ones would be there twice.
        self.keep(&request_of, source, &batch, &rejected);
        let warnings = warnings.iter().flat_map(|(index, of_one)| of_one.iter().map(|one| warning(*index, one)));
        Ok(answer(Some(receipt), events, answers, warnings.collect()))
    }
}
