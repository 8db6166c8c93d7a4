//! `deltaic run` from outside: events over HTTP in, reads over HTTP and calls of webhooks out.
//!
//! Nothing here waits for a length of time: a read waits for a token, and what is *not* to come is known not to have come
//! when something later has ([`ServedShop::fence`]).

mod calls;
mod memberships;
mod observed;
mod refusals;
mod stopping;

use deltaic::project::Secret;
use deltaic::receive::server::{ReceiveOptions, ReceivedAction, ReceivedChange, WebhookReceiver};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{ServerProcess, project, until};

/// A project with something of everything; `HOOK` is where its webhooks go.
pub const PROJECT: &str = r#"
name = "shop"

[identity]
key = "test"

[sources.app]
write_key = "app-key"
[sources.web]
write_key = "web-key"

[access]
read_token = "read-token"

[attributes]
city = "string"

[traits]
orders = "count('Order Completed')"
revenue = "sum('Order Completed', properties.total)"
last_order = "last('Order Completed', timestamp)"
orders_1h = "count('Order Completed', within => '1 hour')"
views = "count('Product Viewed')"

[audiences.buyers]
when = "orders > 0"
[audiences.viewers]
when = "views >= 2"
[audiences.active]
when = "count('Product Added', within => '1 s') > 0"
[audiences.fenced]
when = "count('Fence') > 0"

[destinations.crm]
type = "webhook"
url = "${HOOK}"
secret = "hook-secret"
audiences = ["active", "buyers", "fenced", "viewers"]
identifiers = ["user_id", "email", "anonymous_id"]
traits = ["orders", "city"]

[destinations.ads]
type = "webhook"
url = "${HOOK}"
secret = "hook-secret"
audiences = ["buyers", "fenced"]
identifiers = ["email"]
requires_consent = "ads"

[destinations.archive]
type = "file"
path = "out/changes.jsonl"
audiences = ["buyers"]
identifiers = ["user_id"]
"#;

/// A server on [`PROJECT`], and the receiver that its webhooks call.
pub struct ServedShop {
    pub server: ServerProcess,
    receiver: WebhookReceiver,
    folder: TempDir,
}

impl ServedShop {
    /// Opens it, with further arguments to `deltaic run`.
    pub async fn open(arguments: &[&str]) -> Self {
        Self::of(PROJECT, arguments).await
    }

    /// The same of another project.
    async fn of(text: &str, arguments: &[&str]) -> Self {
        let secret = Some(Secret::new("hook-secret".into()));
        let receiver = WebhookReceiver::start(ReceiveOptions { secret, ..ReceiveOptions::default() }).await.unwrap();
        let folder = project(text);
        let server = ServerProcess::start(folder.path(), arguments, &[("HOOK", &receiver.url())]).await;
        ServedShop { server, receiver, folder }
    }

    /// Waits until all that came before has been delivered, to both webhooks; gives the changes that are not of fences.
    async fn fence(&self, name: &str) -> Vec<ReceivedChange> {
        let consent = json!({"consent": {"categoryPreferences": {"ads": true}}});
        let traits = json!({"email": format!("{name}@fence.org")});
        let fence = json!({"type": "track", "event": "Fence", "userId": name, "context": consent, "traits": traits});
        self.server.take(&[fence]).await;
        let email = format!("email:{name}@fence.org");
        let is_it = |change: &&ReceivedChange| change.audience == "fenced" && change.identifiers.contains(&email);
        let mut changes =
            until(&self.receiver, "both ends of the fence", |all| all.iter().filter(is_it).count() == 2).await;
        changes.retain(|change| change.audience != "fenced");
        changes
    }
}

/// What somebody does.
pub fn track(event: &str, who: Value, properties: Value) -> Value {
    let mut track = json!({"type": "track", "event": event, "properties": properties});
    merge(&mut track, who);
    track
}

/// Who somebody is.
fn identify(who: Value, traits: Value) -> Value {
    let mut identify = json!({"type": "identify", "traits": traits});
    merge(&mut identify, who);
    identify
}

/// The same event with more members.
fn with(mut event: Value, members: Value) -> Value {
    merge(&mut event, members);
    event
}

fn merge(event: &mut Value, members: Value) {
    let Value::Object(members) = members else { panic!("{members} is no object") };
    event.as_object_mut().expect("an event is an object").extend(members);
}

/// Changes as lines, such as `add buyers user_id:1`.
fn lines(changes: &[ReceivedChange]) -> Vec<String> {
    let line =
        |change: &ReceivedChange| format!("{} {} {}", change.action, change.audience, change.identifiers.join(" "));
    changes.iter().map(line).collect()
}

/// Whether a change takes an identifier in, or out.
fn is(change: &ReceivedChange, action: ReceivedAction, audience: &str, identifier: &str) -> bool {
    change.action == action && change.audience == audience && change.identifiers.iter().any(|of| of == identifier)
}
