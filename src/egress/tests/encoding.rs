//! What a call sends is made once, however often it is attempted.

use std::thread::{self, ThreadId};

use dataflows::model::Value;
use parking_lot::Mutex;

use super::*;
use crate::egress::destinations::{CallBatch, ConnectContext, Connector, DestinationSettings, Failure, Pace};
use crate::egress::testing::traits;
use crate::project::SettingsSection;

/// Fails as it is told, and writes down what the engine asks of it.
#[derive(Clone, Debug, Default)]
struct FailingSettings(Arc<EncodingLog>);

#[derive(Debug, Default)]
struct EncodingLog {
    /// On which thread each call was encoded.
    encoded: Mutex<Vec<ThreadId>>,
    /// What each attempt sent, and how many payloads there were then.
    attempts: Mutex<Vec<(String, usize)>>,
    /// How the next attempts fail.
    failures: Mutex<Vec<Failure>>,
    /// Each payload has one of these.
    payloads: Arc<()>,
}

impl EncodingLog {
    fn payloads(&self) -> usize {
        Arc::strong_count(&self.payloads) - 1
    }
}

impl PartialEq for FailingSettings {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for FailingSettings {}

impl DestinationSettings for FailingSettings {
    const TYPE: &'static str = "failing";
    type Connector = Arc<EncodingLog>;

    fn read(_: &mut SettingsSection<'_, '_>) -> Option<Self> {
        None
    }

    fn place(&self) -> Vec<u8> {
        Vec::new()
    }

    fn pace(&self) -> Pace {
        webhook(String::new()).pace
    }

    fn connect(&self, _: &ConnectContext<'_>) -> Result<Arc<EncodingLog>, String> {
        Ok(self.0.clone())
    }
}

impl Connector for Arc<EncodingLog> {
    type Payload = (String, Arc<()>);

    /// Other than a connector may, it tells which encoding of how many it is.
    fn encode(&self, call: &CallBatch) -> Self::Payload {
        let mut encoded = self.encoded.lock();
        encoded.push(thread::current().id());
        let changes: Vec<String> = call.changes().map(|change| change.to_json()).collect();
        (format!("{}: {}", encoded.len(), changes.concat()), self.payloads.clone())
    }

    async fn deliver(&self, (text, _): &Self::Payload) -> Result<(), Failure> {
        self.attempts.lock().push((text.clone(), self.payloads()));
        self.failures.lock().pop().map_or(Ok(()), Err)
    }
}

#[tokio::test]
async fn a_call_is_encoded_once_and_on_no_thread_of_the_runtime() {
    let settings = FailingSettings::default();
    let log = settings.0.clone();
    let error = || "it does not work".to_owned();
    *log.failures.lock() = vec![
        Failure::Refused { error: error(), answer: String::new(), is_too_large: false },
        Failure::Elsewhere { error: error() },
        Failure::later(error()),
    ];
    let failing = Destination { kind: DestinationKind::new(settings), ..crm(webhook(String::new())) };
    let (egress, _) = start(Path::new("/nonexistent"), vec![failing]);
    feed(&egress, 1, ["ann", "bea"].map(|user| (row(0, user, numbered(1)), 1)).to_vec());
    eventually(|| egress.status()[0].backlog.rows == 2).await;
    assert_eq!(log.payloads(), 0, "it goes with its call");
    feed(&egress, 2, vec![(row(0, "cid", numbered(1)), 1)]);
    assert_eq!(finish(egress).await.backlog.rows, 3);

    let attempts = log.attempts.lock();
    let (first, second) = attempts.split_at(4);
    assert!(first.iter().all(|attempt| *attempt == first[0]), "the same bytes: {first:?}");
    assert!(first[0].0.starts_with("1: ") && first[0].0.contains("user_id:bea"), "{first:?}");
    assert!(second.len() == 1 && second[0].0.starts_with("2: "), "{second:?}");
    assert!(attempts.iter().all(|(_, payloads)| *payloads == 1), "one at a time: {attempts:?}");
    let encoded = log.encoded.lock();
    assert_eq!(encoded.len(), 2);
    // This test's runtime has one thread, which is the one that it runs on.
    assert!(!encoded.contains(&thread::current().id()), "connections do not wait for it");
}

/// What is too large to be signed in passing is signed all the same.
#[tokio::test]
async fn a_large_call_is_signed() {
    let secret = || Some(Secret::new("s3cret".into()));
    let options = ReceiveOptions { secret: secret(), ..ReceiveOptions::default() };
    let (egress, receiver, _) = start_with_receiver(options, |webhook| webhook.secrets.extend(secret())).await;
    receiver.answer_next(ScriptedReply::status(StatusCode::INTERNAL_SERVER_ERROR));
    let long = traits([("text", Value::text(&"x".repeat(100_000)))]);
    feed(&egress, 1, vec![(row(0, "42", long), 1)]);
    assert_eq!(finish(egress).await.backlog.rows, 1);
    let calls = receiver.calls();
    let [failed, taken] = &calls[..] else { panic!("two calls: {}", calls.len()) };
    assert_eq!((failed.status, taken.status), (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK));
    assert_eq!((&failed.body, failed.key()), (&taken.body, taken.key()));
    assert!(taken.body.len() > 100_000);
}
