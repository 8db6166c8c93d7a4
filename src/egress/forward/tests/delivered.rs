//! Delivery over real sockets, to the receiver of `deltaic receive`, and to a file.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use dataflows::definitions::{Definitions, DestinationId, Forward, ForwardId};
use dataflows::model::Tick;
use tokio::runtime::Handle;

use crate::clock::wall_clock;
use crate::egress::forward::Queues;
use crate::egress::testing::{crm, definitions, project, webhook};
use crate::egress::{Egress, EventStatus, MemoryOutbox, Surroundings};
use crate::engine::{Forwarded, Position};
use crate::observe::latency::Latency;
use crate::project::{Destination, DestinationKind, Project, Secret};
use crate::receive::server::{Options, Receiver, Reply};

/// Longer than any test takes: what is not there by then does not come.
const DEADLINE: Duration = Duration::from_secs(60);

fn ms(ms: u64) -> Tick {
    Tick::from_ms(ms)
}

/// A project that sends all its events to this destination.
fn sending(folder: &Path, destination: Destination) -> Project {
    let forward = Forward {
        destination: DestinationId::new(0),
        events: vec!["Seen".into()],
        condition: None,
        identifiers: Vec::new(),
        traits: Vec::new(),
        consent: vec!["ads".into()],
        requires_consent: None,
    };
    let mut project = project(folder, vec![destination]);
    project.definitions = Arc::new(Definitions { forwards: vec![forward], ..definitions() });
    project
}

fn start(project: &Project) -> Egress {
    let queues = Queues::open(project, None, Tick::default()).unwrap();
    let failed = Arc::new(|reason| panic!("{reason}"));
    let surroundings = Surroundings { latency: Arc::new(Latency::new()), now: Arc::new(wall_clock), failed };
    Egress::start(project, Arc::new(MemoryOutbox::new(1)), queues, surroundings, &Handle::current()).unwrap()
}

/// Delivers what is pending and ends.
async fn finish(egress: Egress) -> EventStatus {
    egress.stop(DEADLINE).await.remove(0).events.unwrap()
}

/// An event that came at this tick.
fn event(tick: u64) -> Forwarded {
    Forwarded {
        message: 0.into(),
        position: Position { tick: ms(tick), index: 0 },
        raw: Bytes::from(format!("{{\"n\":\n{tick}}}")),
        received: None,
        to: vec![ForwardId::new(0)],
        profile: None,
    }
}

fn line(tick: u64) -> String {
    let rest = r#""profile_id":null,"identifiers":[],"traits":{},"consent":{"ads":false}"#;
    format!(r#"{{"event":{{"n": {tick}}},{rest},"as_of":{tick},"index":0}}"#)
}

#[tokio::test]
async fn events_arrive_signed_and_in_order_also_when_calls_fail() {
    let secret = || Some(Secret::new("s3cret".into()));
    let options = Options { secret: secret(), fail_every: Some(2), ..Options::default() };
    let receiver = Receiver::start(options).await.unwrap();
    let mut to = webhook(receiver.url());
    (to.secret, to.batch_changes_max) = (secret(), 2);
    let egress = start(&sending(Path::new("/nonexistent"), crm(to)));
    assert_eq!(egress.produced(), ms(0));
    egress.take_in(ms(9), &[event(1), event(2), event(3)]).unwrap();
    assert_eq!(egress.produced(), ms(9));
    let status = finish(egress).await;
    assert_eq!((status.pending.events, status.counts.acknowledged, status.counts.given_up), (0, 3, 0));
    let taken: Vec<_> = receiver.calls().into_iter().filter(|call| call.status.is_success()).collect();
    let bodies: Vec<&[u8]> = taken.iter().map(|call| &*call.body).collect();
    let body = |events: &str| format!(r#"{{"destination":"crm","events":[{events}]}}"#);
    let all = [body(&[line(1), line(2)].join(",")), body(&line(3))];
    let either = [body(&line(1)), body(&[line(2), line(3)].join(","))];
    // The first call may go out with what there is.
    assert!(bodies == all.each_ref().map(String::as_bytes) || bodies == either.each_ref().map(String::as_bytes));
}

#[tokio::test]
async fn what_is_refused_is_given_up_and_the_next_follows() {
    let receiver = Receiver::start(Options::default()).await.unwrap();
    let egress = start(&sending(Path::new("/nonexistent"), crm(webhook(receiver.url()))));
    (0..3).for_each(|_| receiver.answer_next(Reply::status(StatusCode::BAD_REQUEST)));
    egress.take_in(ms(2), &[event(1)]).unwrap();
    receiver.until_calls(3).await;
    egress.take_in(ms(3), &[event(2)]).unwrap();
    let status = finish(egress).await;
    assert_eq!((status.counts.given_up, status.counts.acknowledged, status.counts.failed_calls), (1, 1, 3));
    assert_eq!(status.counts.last_error.as_deref(), Some("the endpoint answered 400 Bad Request"));
}

#[tokio::test]
async fn a_file_gets_a_line_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let kind = DestinationKind::File { path: "out/events.jsonl".into() };
    let egress = start(&sending(folder.path(), Destination { name: "disk".into(), kind }));
    egress.take_in(ms(2), &[event(1)]).unwrap();
    egress.take_in(ms(6), &[event(4), event(5)]).unwrap();
    finish(egress).await;
    let lines = fs::read_to_string(folder.path().join("out/events.jsonl")).unwrap();
    assert_eq!(lines.lines().collect::<Vec<_>>(), [line(1), line(4), line(5)]);
}
