//! Destinations of the kind `file`: JSON lines, appended: one for each change, or each event.
//!
//! A batch is written at once and counts as acknowledged when the system has it. `target.rs`: the file itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{BatchLimit, CallBatch, ConnectContext, Connector, DestinationSettings, Failure, Pace};
use crate::project::{SettingsSection, SubstitutedText};

mod target;

use target::{NotAppended, Target, not_appendable};

/// How long a lock of somebody else is waited for before that is a failure. Other destinations with the same path hold it for as
/// long as a batch takes.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How often it is tried meanwhile.
const LOCK_EVERY: Duration = Duration::from_millis(5);

/// Digits of the id of a line: 64 bits tell apart all lines of one file.
const ID_DIGITS: usize = 16;

/// A file that lines are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// The file; relative to the project's folder.
    pub path: PathBuf,
}

impl DestinationSettings for FileSettings {
    const TYPE: &'static str = "file";
    type Connector = FileConnector;

    fn read(section: &mut SettingsSection<'_, '_>) -> Option<Self> {
        let path = section.required_text("path", "the file to append to")?;
        check_path(&path, section);
        Some(FileSettings { path: path.as_str().into() })
    }

    fn place(&self) -> Vec<u8> {
        self.path.as_os_str().as_encoded_bytes().to_vec()
    }

    /// Batches are large since each costs one write; failures are such as a full disk, which passes when somebody comes. A file never
    /// refuses, so the number of attempts does not matter. A write that hangs goes on by itself, so there is no end to waiting for it.
    fn pace(&self) -> Pace {
        let usual = Pace::default();
        Pace {
            limit: BatchLimit { changes: 1_000, ..usual.limit },
            timeout: Duration::MAX,
            backoff_max: Duration::from_secs(5),
            attempts_max: 1,
            ..usual
        }
    }

    fn connect(&self, with: &ConnectContext<'_>) -> Result<FileConnector, String> {
        Ok(FileConnector { target: Arc::new(Target::new(with.folder.join(&self.path))) })
    }
}

/// Reports what nothing can be appended to.
fn check_path(path: &SubstitutedText, section: &mut SettingsSection<'_, '_>) {
    if path.is_broken() {
        return;
    }
    if path.as_str().trim().is_empty() {
        return section.report(path.place(), "expected the path of a file", None);
    }
    // What cannot be looked at may be there by the time it is written to; then is said what is wrong with it.
    let there = std::fs::metadata(section.folder().join(path.as_str()));
    if let Some(why) = there.ok().as_ref().and_then(not_appendable) {
        section.report(path.place(), format!("nothing can be appended to `{}`", path.as_str()), Some(why));
    }
}

/// Appends to a file.
#[derive(Debug)]
pub struct FileConnector {
    target: Arc<Target>,
}

impl Connector for FileConnector {
    type Payload = Bytes;

    /// The lines that tell of the rows. The line of a change that is written again after a crash has the id that it had.
    fn encode(&self, call: &CallBatch) -> Bytes {
        let mut lines = Vec::new();
        for change in call.changes() {
            let mut line = change.to_json();
            let key = call.id_of(&[call.destination().as_bytes(), b"\0", line.as_bytes()].concat());
            // In the place of the brace that ends the object.
            line.pop();
            lines.extend_from_slice([&line, ",\"id\":\"", &key[..ID_DIGITS], "\"}\n"].concat().as_bytes());
        }
        for event in call.events() {
            lines.extend_from_slice(event.json());
            lines.push(b'\n');
        }
        lines.into()
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.target.counters()
    }

    async fn deliver(&self, body: &Bytes) -> Result<(), Failure> {
        let began = Instant::now();
        loop {
            let (target, body) = (self.target.clone(), body.clone());
            let appended = spawn_blocking(move || target.append(&body)).await;
            match appended.unwrap_or_else(|panicked| Err(NotAppended::InPart(io::Error::other(panicked)))) {
                Ok(()) => return Ok(()),
                // Not waited for on the thread: whoever stops the process need not wait for whoever has the lock.
                Err(NotAppended::Locked) if began.elapsed() < LOCK_WAIT => sleep(LOCK_EVERY).await,
                Err(NotAppended::InPart(error)) => return Err(Failure::later(said(&error))),
                Err(NotAppended::Nothing(error)) => return Err(Failure::NotReached { error: said(&error) }),
                Err(NotAppended::Locked) => {
                    return Err(Failure::NotReached { error: said(&"another process holds a lock on it") });
                }
            }
        }
    }
}

fn said(why: &dyn std::fmt::Display) -> String {
    format!("the file cannot be written: {why}")
}

#[cfg(test)]
mod tests {
    use compact_str::CompactString;
    use dataflows::definitions::AudienceId;
    use dataflows::model::{ProfileId, Tick};

    use super::*;
    use crate::egress::signature::id_of;
    use crate::egress::testing::AUDIENCES;
    use crate::egress::{Action, Change};

    /// That Ann leaves at a tick.
    fn leaves(at: u64) -> Change {
        Change {
            audience: AudienceId::new(1),
            action: Action::Delete,
            identifiers: vec!["user_id:ann".into()],
            profile: ProfileId::default(),
            as_of: Tick::from_ms(at),
            received: None,
        }
    }

    fn lines(destination: &str, changes: &[Change], resyncs: u32) -> Vec<String> {
        let connector = FileConnector { target: Arc::new(Target::new("out".into())) };
        let audiences = AUDIENCES.map(CompactString::from).into();
        let call = CallBatch::of_changes(destination.into(), changes.into(), audiences, resyncs);
        let body = String::from_utf8(connector.encode(&call).to_vec()).unwrap();
        body.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_has_the_same_id_whenever_it_is_written_and_no_other_has_it() {
        let json = r#"{"audience":"vips","action":"delete","identifiers":["user_id:ann"],"traits":{},"as_of":1"#;
        let id = &id_of(format!("audit\0{json}}}").as_bytes(), 0)[..16];
        let audit = lines("audit", &[leaves(1), leaves(2)], 0);
        assert_eq!(audit[0], format!("{json},\"id\":\"{id}\"}}"));
        assert!(!audit[1].contains(id), "{audit:?}");
        // However the batch is cut.
        assert_eq!(lines("audit", &[leaves(3), leaves(1)], 0)[1], audit[0]);
        assert!(!lines("other", &[leaves(1)], 0)[0].contains(id));
        assert!(!lines("audit", &[leaves(1)], 1)[0].contains(id), "a resync writes lines of its own");
    }
}
