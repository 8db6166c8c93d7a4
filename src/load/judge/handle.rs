//! The judge on a thread of its own: what senders and the receiver see is handed over, so that judging delays neither.
//!
//! The queue has no limit: to make a sender wait would be to measure the load generator.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Acked, ChangeCounts, CountsByTrigger, FinalComparison, Judge};
use crate::receive::event::TriggerMessage;
use crate::receive::server::ReceivedChange;

/// What is handed over.
enum Paper {
    Acked(Acked),
    Received(Vec<ReceivedChange>, Vec<TriggerMessage>, Instant),
    Settle { fence: usize, tick: u64, settled: oneshot::Sender<()> },
    Close { step: usize, reply: oneshot::Sender<(ChangeCounts, CountsByTrigger)> },
    Compare(oneshot::Sender<(FinalComparison, Vec<String>)>),
}

/// Where things are handed over. Cheap to clone; the judge goes with the last clone.
#[derive(Clone)]
pub struct JudgeHandle(Sender<Paper>);

/// The judge is gone, which is a defect of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl JudgeHandle {
    /// Seats a judge.
    pub fn open(judge: Judge) -> io::Result<Self> {
        let (to, papers) = mpsc::channel();
        thread::Builder::new().name("judge".into()).spawn(move || work(judge, &papers))?;
        Ok(JudgeHandle(to))
    }

    /// A batch was acknowledged.
    pub fn acked(&self, acked: Acked) {
        // A judge that is gone is noticed at the end of the step.
        _ = self.0.send(Paper::Acked(acked));
    }

    /// A call came, with these.
    pub fn received(&self, changes: Vec<ReceivedChange>, messages: Vec<TriggerMessage>, at: Instant) {
        _ = self.0.send(Paper::Received(changes, messages, at));
    }

    /// Nothing more is sent, and the fence with this number has this tick: waits until it and all before it has come.
    pub async fn settle(&self, fence: usize, tick: u64) -> Result<(), Gone> {
        let (settled, wait) = oneshot::channel();
        self.0.send(Paper::Settle { fence, tick, settled }).map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// What has not come by now is missing.
    pub async fn close(&self, step: usize) -> Result<(ChangeCounts, CountsByTrigger), Gone> {
        let (reply, wait) = oneshot::channel();
        self.0.send(Paper::Close { step, reply }).map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }

    /// How the final states compare, and the first things that were wrong.
    pub async fn compare(&self) -> Result<(FinalComparison, Vec<String>), Gone> {
        let (reply, wait) = oneshot::channel();
        self.0.send(Paper::Compare(reply)).map_err(|_| Gone)?;
        wait.await.map_err(|_| Gone)
    }
}

fn work(mut judge: Judge, papers: &Receiver<Paper>) {
    let mut waiting: Option<(usize, oneshot::Sender<()>)> = None;
    while let Ok(paper) = papers.recv() {
        // Who asked is gone where a run was interrupted.
        match paper {
            Paper::Acked(acked) => judge.acked(acked),
            Paper::Received(changes, messages, at) => {
                changes.iter().for_each(|change| judge.received(change, at));
                messages.into_iter().for_each(|message| judge.told(message, at));
            }
            Paper::Settle { fence, tick, settled } => {
                judge.advance(tick);
                waiting = Some((fence, settled));
            }
            Paper::Close { step, reply } => {
                judge.close();
                _ = reply.send((judge.counts(step), judge.message_counts(step)));
            }
            Paper::Compare(reply) => _ = reply.send((judge.compare(), judge.complaints())),
        }
        if let Some((_, settled)) = waiting.take_if(|(fence, _)| judge.is_settled(*fence)) {
            _ = settled.send(());
        }
    }
}
