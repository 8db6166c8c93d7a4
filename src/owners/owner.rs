//! The owner: hears what all processes say, decides, and answers.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use dataflows::model::Tick;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::former::Former;
use super::ids::OwnedIds;
use super::link::OwnerLink;
use super::wire::{Heard, Said};
use crate::dedupe::{Dedupe, DedupeError, MessageWindow, SealWaiter};
use crate::faults;
use crate::limits::OWNERS_IDS_AT_ONCE;

/// How often it looks whether there is room now for what there was none for, and whether what is wanted is on the disk.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Said at most before it answers.
const AT_ONCE: usize = 256;

/// What comes to the owner.
pub enum Note {
    /// A process is there.
    Joined { process: usize, reaches: Option<Tick>, now: Tick, replies: Replies },
    /// It said this.
    Said(usize, Said),
}

/// Where the answers to a process go.
pub enum Replies {
    /// To the link of the process itself.
    Here(Arc<OwnerLink>),
    /// To a connection.
    There(mpsc::UnboundedSender<Heard>),
}

impl Replies {
    fn send(&self, heard: Heard) {
        match self {
            Replies::Here(link) => link.hear(heard),
            // Whoever is gone needs no answer.
            Replies::There(connection) => _ = connection.send(heard),
        }
    }
}

/// The owner of a process's ids.
pub struct Owner {
    ids: OwnedIds,
    seal: Option<SealWaiter>,
    window: MessageWindow,
    replies: Vec<Option<Replies>>,
    told: Option<Tick>,
    former: Former,
    accept_partial: bool,
}

impl Owner {
    /// The owner of `ids`, for so many processes.
    pub fn new(ids: Dedupe, processes: usize, accept_partial: bool) -> Self {
        let (seal, window) = (ids.seal(), ids.window().clone());
        let replies = (0..processes).map(|_| None).collect();
        let former = Former::new(window.clone(), processes);
        Owner { ids: OwnedIds::new(ids, processes), seal, window, replies, told: None, former, accept_partial }
    }

    /// Decides until nobody says anything any more, or until ids are of no use; then it tells `failed` why, and says that it did.
    pub async fn run(mut self, mut notes: mpsc::UnboundedReceiver<Note>, failed: impl Fn(String)) -> bool {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(AT_ONCE);
        loop {
            if faults::point("owners") {
                return false;
            }
            let worked = tokio::select! {
                biased;
                count = notes.recv_many(&mut batch, AT_ONCE) => {
                    if count == 0 {
                        return false;
                    }
                    batch.drain(..).try_for_each(|note| self.take(note))
                }
                _ = look.tick() => self.ids.release(),
            };
            self.tell();
            if let Err(error) = worked {
                tracing::error!(%error, "message ids are of no use");
                failed(error.to_string());
                return true;
            }
        }
    }

    fn take(&mut self, note: Note) -> Result<(), DedupeError> {
        match note {
            Note::Joined { process, reaches, now, replies } => {
                self.check(reaches, now)?;
                let through = self.seal.as_ref().and_then(SealWaiter::through);
                replies.send(Heard::Welcome(through));
                if let Some(tick) = self.on_disk() {
                    replies.send(Heard::OnDisk(tick));
                }
                self.replies[process] = Some(replies);
            }
            Note::Said(process, said) => match said {
                Said::Ask { request, now, ids } => {
                    let verdict = self.ids.ask((process, request), now, &ids)?;
                    if let Some(replies) = &self.replies[process] {
                        replies.send(Heard::Verdict { request, verdict });
                    }
                }
                Said::Settle { request, counted } => self.ids.settle((process, request), counted),
                Said::Counted { tick, ids } => self.ids.count(tick, ids),
                Said::Former(ids) => self.former.tell(process, ids),
                Said::FormerEnd => {
                    let repeated = self.former.end(process).into_iter().flatten();
                    for (replies, repeated) in self.replies.iter().zip(repeated) {
                        let Some(replies) = replies else { continue };
                        let chunks = repeated.chunks(OWNERS_IDS_AT_ONCE);
                        chunks.for_each(|ids| replies.send(Heard::Repeated(ids.to_vec())));
                        replies.send(Heard::RepeatedEnd);
                    }
                }
                Said::Passed(passed) => self.ids.pass(process, passed)?,
                Said::Want(tick) => self.ids.want(tick)?,
                // Whoever has the connection looks after these.
                Said::Hello { .. } | Said::Bye => {}
            },
        }
        Ok(())
    }

    /// Whether a process tells all that the disk does not have. What it tells is later than `reaches`.
    fn check(&self, reaches: Option<Tick>, now: Tick) -> Result<(), DedupeError> {
        let (Some(reaches), Some(seal)) = (reaches, &self.seal) else { return Ok(()) };
        let through = seal.through().unwrap_or_default();
        if reaches <= through || !self.window.has(reaches, now) {
            return Ok(());
        }
        let from = through.next();
        if self.accept_partial {
            tracing::warn!(%from, through = %reaches, "message ids are missing: what was sent then counts again if it is sent again");
            // What there is of them goes to the disk, so that the next start finds a list that goes so far.
            seal.want(reaches);
            return Ok(());
        }
        Err(seal.gone(from, reaches))
    }

    /// Tells what is on the disk, if that is news.
    fn tell(&mut self) {
        let on_disk = self.on_disk();
        if let Some(tick) = on_disk.filter(|_| on_disk != self.told) {
            self.told = on_disk;
            self.replies.iter().flatten().for_each(|replies| replies.send(Heard::OnDisk(tick)));
        }
    }

    /// Up to where ids are on the disk. Where they are not to be, nobody needs to wait.
    fn on_disk(&self) -> Option<Tick> {
        self.seal.as_ref().map_or(Some(Tick::MAX), SealWaiter::through)
    }
}

/// Tells the engine that it is of no use any more.
pub fn reporter(alarm: Sender<crate::engine::WorkerOutput>) -> impl Fn(String) + Clone {
    // Where nobody hears it any more, nobody needs to.
    move |reason| _ = alarm.send(crate::engine::WorkerOutput::Failed(reason))
}
