//! Waiting for what a webhook receiver gets.

use deltaic::receive::server::{ReceivedChange, WebhookReceiver};

use super::DEADLINE;

/// The changes that had their effect, in their order.
fn applied(receiver: &WebhookReceiver) -> Vec<ReceivedChange> {
    let calls = receiver.calls().into_iter().filter(|call| call.status.is_success());
    calls.flat_map(|call| call.changes()).collect()
}

/// Waits until the changes that the receiver got are as is wished; gives them.
pub async fn until(
    receiver: &WebhookReceiver,
    what: &str,
    wished: impl Fn(&[ReceivedChange]) -> bool,
) -> Vec<ReceivedChange> {
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let calls = receiver.calls_count();
            let changes = applied(receiver);
            if wished(&changes) {
                break changes;
            }
            receiver.until_calls(calls + 1).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what} is waited for, and there is only {:#?}", applied(receiver)))
}
