//! `deltaic receive`: a receiver of webhook calls, to see what a destination would see, and to try out bad days.
//!
//! It prints each change and each forwarded event on a line, keeps who is in which audience, and checks what a receiver should check: the
//! signature, where a secret is given, and the shape. Tests use the same [`server`] as the peer of the real thing.

use std::io::{self, Write};
use std::time::Duration;

use crate::project::Secret;

pub mod event;
pub mod server;

use server::{Applied, ReceiveOptions, WebhookReceiver};

/// The environment variable with the secret, for those who do not want it in a list of processes.
const SECRET_VARIABLE: &str = "DELTAIC_WEBHOOK_SECRET";

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct ReceiveCommand {
    /// The port to listen on; 0 for any free one.
    pub port: u16,
    /// The key of the signature; else that of the environment variable `DELTAIC_WEBHOOK_SECRET`; else none is checked.
    pub secret: Option<String>,
    /// Each call whose number is a multiple of this is answered 500 and has no effect.
    pub fail_every: Option<u32>,
    /// How long each answer takes.
    pub delay_ms: u64,
}

/// Receives until the process is interrupted, then prints a summary.
pub async fn run(command: ReceiveCommand) -> io::Result<()> {
    let secret = command.secret.or_else(|| std::env::var(SECRET_VARIABLE).ok()).filter(|secret| !secret.is_empty());
    let checked = if secret.is_some() { "signatures are checked" } else { "signatures are not checked" };
    let receiver = WebhookReceiver::start(ReceiveOptions {
        port: command.port,
        secret: secret.map(Secret::new),
        fail_every: command.fail_every,
        delay: Duration::from_millis(command.delay_ms),
        on_applied: Some(Box::new(|applied| print(&line(applied)))),
        on_event: Some(Box::new(|event| print(&tame(&event.line())))),
    })
    .await?;
    print(&format!("receiving on http://{}/ ({checked}); who is in which audience: GET /state", receiver.addr()));
    tokio::signal::ctrl_c().await?;
    print(&summary(&receiver));
    Ok(())
}

/// A change on one line: `add  cart_abandoners  user_id:42 email:a@b.org  {…}  as_of 1700000000123`.
fn line(Applied { change, .. }: &Applied) -> String {
    let identifiers = change.identifiers.join(" ");
    let traits = serde_json::Value::Object(change.traits.clone());
    tame(&format!("{:<6}  {}  {identifiers}  {traits}  as_of {}", change.action, change.audience, change.as_of))
}

/// A line without what whoever calls could make other lines of, or command the terminal with.
fn tame(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// How many are in each audience now.
fn summary(receiver: &WebhookReceiver) -> String {
    let mut lines = vec![format!("{} calls", receiver.calls_count())];
    for (destination, audiences) in receiver.state() {
        for (audience, members) in audiences {
            lines.push(format!("{destination}  {audience}  {} identifiers", members.len()));
        }
    }
    lines.join("\n")
}

/// A pipe that nobody reads any more, as in `deltaic receive | head`, is no reason to stop answering calls.
fn print(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::server::ReceivedChange;
    use super::*;

    #[test]
    fn a_change_is_one_line() {
        let change: ReceivedChange = serde_json::from_str(
            r#"{"audience": "vips", "action": "add", "identifiers": ["user_id:42", "email:a\nb"],
                "traits": {"city": "Köln"}, "as_of": 17}"#,
        )
        .unwrap();
        let line = line(&Applied { destination: "crm".into(), change });
        assert_eq!(line, r#"add     vips  user_id:42 email:a�b  {"city":"Köln"}  as_of 17"#);
    }
}
