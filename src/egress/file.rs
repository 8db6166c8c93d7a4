//! Destinations of the kind `file`: JSON lines, appended: one for each change, or each event.
//!
//! A batch is written at once and counts as acknowledged when the system has it. `target.rs`: the file itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::connector::Failure;
use super::outbox::Batch;
use super::signature::id_of;

mod target;

use target::{NotAppended, Target};

/// How long a lock of somebody else is waited for before that is a failure. Other destinations with the same path hold it for as
/// long as a batch takes.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How often it is tried meanwhile.
const LOCK_EVERY: Duration = Duration::from_millis(5);

/// Digits of the id of a line: 64 bits tell apart all lines of one file.
const ID_DIGITS: usize = 16;

/// Appends to a file.
#[derive(Debug)]
pub struct FileConnector {
    target: Arc<Target>,
    destination: CompactString,
    audiences: Arc<[CompactString]>,
}

impl FileConnector {
    /// A connector to the file at `path`. It is not opened yet.
    pub fn new(destination: CompactString, path: PathBuf, audiences: Arc<[CompactString]>) -> Self {
        FileConnector { target: Arc::new(Target::new(path)), destination, audiences }
    }

    /// The lines that tell of `batch`, after so many resyncs. A line that is written again after a crash has the id that it had.
    pub fn body(&self, batch: &Batch, resyncs: u32) -> Bytes {
        let mut lines = Vec::new();
        for change in batch.iter() {
            let begin = lines.len();
            serde_json::to_writer(&mut lines, &change.named(&self.audiences))
                .expect("names and values are JSON; writing to memory cannot fail");
            let key = id_of(&[self.destination.as_bytes(), b"\0", &lines[begin..]].concat(), resyncs);
            // In the place of the brace that ends the object.
            lines.pop();
            lines.extend_from_slice([",\"id\":\"", &key[..ID_DIGITS], "\"}\n"].concat().as_bytes());
        }
        lines.into()
    }

    /// Appends once. `Ok` means acknowledged.
    pub async fn attempt(&self, body: &Bytes) -> Result<(), Failure> {
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
    use dataflows::definitions::AudienceId;
    use dataflows::model::{ProfileId, Tick};

    use super::*;
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
        let connector = FileConnector::new(destination.into(), "out".into(), AUDIENCES.map(CompactString::from).into());
        let body = String::from_utf8(connector.body(&changes.into(), resyncs).to_vec()).unwrap();
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
