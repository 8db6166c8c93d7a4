//! Sources of the kind `http`: the Segment HTTP tracking API, `POST /v1/{identify,track,page,screen,group,alias,merge,batch,import}`.
//!
//! A request is one submission, so it has one tick and one fate; but each event of a batch is read on its own, and wrong ones
//! are listed in the answer beside the accepted ones. Answers: 200 where at least one event is accepted, 400 where none can
//! be (sending it again will not help), 401 for an unknown write key, 413 for a request that is too large, 429 and 503 with `Retry-After` where nothing was done,
//! 504 where the outcome is not known.
//!
//! A batch's `context` is for its events without a `context`: it is not merged into theirs.

mod answer;
mod body;
mod keys;
mod rates;
mod rejected;
mod settings;
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
use self::body::Bodies;
use self::keys::WriteKeys;
use self::rates::Rates;
use self::rejected::ReceivedRequest;
pub use self::settings::HttpSettings;
use super::Entrance;
use super::entrance::SourceArrival;
use crate::http::{Peer, Problem, TrustedProxies, browsers, method_not_allowed};
use crate::ingest::segment::{CallType, Stamp};
use crate::ingest::{Attempt, DecodedBatch, Rejection, Sent};
use crate::limits::BODY_BYTES_IN_FLIGHT_MAX;
use crate::project::{Project, Source};

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

/// The routes of the sources of this kind, `/healthz` and `/readyz`.
pub fn router(project: &Project, entrance: Entrance) -> Router {
    let with = &entrance.with;
    let (handle, notes, clock) = (with.handle.clone(), with.notes.clone(), with.clock.clone());
    let sender = |(place, source): (usize, &Source)| {
        let settings = source.kind.settings::<HttpSettings>()?;
        let requests = with.counters.of_connector(place, "requests");
        Some(HttpSender { name: source.name.clone(), fills_ip: settings.ip, requests })
    };
    let state = Arc::new(IngestState {
        sources: project.sources.iter().enumerate().map(sender).collect(),
        proxies: TrustedProxies::new(&project.trusted_proxies),
        keys: WriteKeys::new(with.admission.clone()),
        bodies: Bodies::new(project.limits.request_bytes_max, with.timeouts.body_read, BODY_BYTES_IN_FLIGHT_MAX),
        rates: Rates::new(&project.sources, &project.limits),
        sequence: AtomicU64::new(0),
        entrance,
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

/// A source that sends over HTTP.
struct HttpSender {
    name: CompactString,
    /// Whether its events are to say where they come from.
    fills_ip: bool,
    requests: Arc<AtomicU64>,
}

struct IngestState {
    /// By the place of the source in the project; nothing where it is of another kind.
    sources: Vec<Option<HttpSender>>,
    proxies: TrustedProxies,
    keys: WriteKeys,
    bodies: Bodies,
    rates: Rates,
    /// Numbers events, so that message ids made for two of them always differ.
    sequence: AtomicU64,
    entrance: Entrance,
}

impl IngestState {
    /// The address that a request comes from.
    fn address_of(&self, head: &Parts) -> Option<CompactString> {
        let sender = self.proxies.sender(*head.extensions.get::<Peer>()?, &head.headers)?;
        Some(sender.to_compact_string())
    }

    async fn take(&self, address: Endpoint, request: Request) -> Result<Response, Problem> {
        let arrived = Instant::now();
        let Entrance { decoder, with, .. } = &self.entrance;
        let at = with.clock.now();
        let request_of = ReceivedRequest { at, stamp: Stamp::from(at), address };
        let call = address.call;
        let (head, body) = request.into_parts();
        // Read before the key is looked at: it may be in the body, and an answer to a body that is still coming gets lost on its way.
        let body = self.bodies.read(&head.headers, body).await?;
        let source = self.keys.source_of_head(&head);
        with.handle.admits()?;
        let bytes = self.bodies.unpack(body)?;
        let mut batch = decoder.open(&bytes, call).inspect_err(|problem| {
            // Of a body that cannot be read only the head says whose it is.
            if let Some((_, sender)) = source.and_then(|source| self.sender_at(source)) {
                self.keep_body(&request_of, &sender.name, &bytes, problem);
            }
        })?;
        batch.is_historical |= address.is_historical;
        let of_body = || self.keys.source(batch.write_key.as_deref()?);
        let sender = source.or_else(of_body).and_then(|source| self.sender_at(source));
        let (place, sender) = sender.ok_or_else(WriteKeys::unknown)?;
        sender.requests.fetch_add(1, Ordering::Relaxed);
        // Until it is answered, whatever comes of it.
        let pending = with.handle.pending_events();
        let admitted = self.rates.admit(place, batch.events.len(), bytes.len(), pending);
        let _under_way = admitted.inspect_err(|_| with.counters.count_over_rate(place, batch.events.len()))?;
        let first = self.sequence.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
        let HttpSender { name, fills_ip, .. } = sender;
        // What is of the past comes from whoever has it now.
        let ip = if *fills_ip && !batch.is_historical { self.address_of(&head) } else { None };
        let (ip, position) = (ip.as_deref(), ("", first));
        let sent = Sent { source: name, call, received: &request_of.stamp, ip, position, is_placed: false };
        let mut decoded = decoder.take(&batch, &sent);
        let events = decoded.accepted.len();
        let arrival = SourceArrival { place, source: name, instant: arrived, at, attempt: Attempt::First };
        let keep = |rejected: &[(usize, Rejection)]| self.keep(&request_of, name, &batch, rejected);
        let receipt = self.entrance.take_in(arrival, &mut decoded, keep).await?;
        let DecodedBatch { rejected, warnings, .. } = decoded;
        let rejected = rejected.iter().map(|(index, why)| rejection(*index, why)).collect();
        let warnings = warnings.iter().flat_map(|(index, of_one)| of_one.iter().map(|one| warning(*index, one)));
        Ok(answer(receipt, events, rejected, warnings.collect()))
    }

    /// The source at a place of the project, where it sends over HTTP.
    fn sender_at(&self, place: usize) -> Option<(usize, &HttpSender)> {
        Some((place, self.sources.get(place)?.as_ref()?))
    }
}
