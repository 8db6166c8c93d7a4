//! Who of a cluster is there, and how far.

use std::sync::Arc;
use std::time::Instant;

use dataflows::model::Tick;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

/// How a process of the cluster is doing, as this one sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It is the one that is asked.
    Here,
    /// It was heard of just now.
    There,
    /// It has not been heard of for some time.
    Silent,
    /// It was told to stop.
    Stopping,
    /// It is gone.
    Gone,
}

/// A process of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterMember {
    /// Where it is, as the hosts file has it.
    pub address: String,
    /// The version of its program.
    pub version: String,
    /// Its workers.
    pub workers: usize,
    /// How it is doing.
    pub state: MemberState,
    /// All ticks before this one are complete there.
    pub frontier: Tick,
    /// How far its clock is ahead of that of process 0, in milliseconds, as it said to that.
    pub skew_ms: Option<i64>,
    /// When it was last heard of.
    heard: Instant,
}

impl ClusterMember {
    /// One that was heard of just now.
    pub fn new(address: String, version: String, workers: usize, state: MemberState) -> Self {
        ClusterMember {
            address,
            version,
            workers,
            state,
            frontier: Tick::default(),
            skew_ms: None,
            heard: Instant::now(),
        }
    }

    /// How many milliseconds ago it was last heard of.
    pub fn quiet_ms(&self) -> u64 {
        u64::try_from(self.heard.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it works with the others.
    pub fn is_present(&self) -> bool {
        matches!(self.state, MemberState::Here | MemberState::There)
    }
}

/// All processes of the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClusterMembers {
    own: usize,
    all: Arc<Mutex<Vec<ClusterMember>>>,
}

impl ClusterMembers {
    /// These, in their order, of which `own` is this process.
    pub fn new(own: usize, all: Vec<ClusterMember>) -> Self {
        ClusterMembers { own, all: Arc::new(Mutex::new(all)) }
    }

    /// A process on its own.
    pub fn alone(workers: usize) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self::new(0, vec![ClusterMember::new(String::new(), version, workers, MemberState::Here)])
    }

    /// This process.
    pub fn own(&self) -> usize {
        self.own
    }

    /// As they are now.
    pub fn all(&self) -> Vec<ClusterMember> {
        self.locked().clone()
    }

    /// One of them in words: `process 2 (10.0.0.3:7001)`.
    pub fn named(&self, process: usize) -> String {
        format!("process {process} ({})", self.locked()[process].address)
    }

    /// A process said that it is there, and how far. Gives whether it was silent.
    pub fn heard(&self, process: usize, frontier: Tick) -> bool {
        let member = &mut self.locked()[process];
        (member.frontier, member.heard) = (frontier, Instant::now());
        let was_silent = member.state == MemberState::Silent;
        if was_silent {
            member.state = MemberState::There;
        }
        was_silent
    }

    /// A process said how far its clock is ahead of that of process 0.
    pub fn set_skew(&self, process: usize, skew_ms: i64) {
        self.locked()[process].skew_ms = Some(skew_ms);
    }

    /// A process is doing like this from now on.
    pub fn set(&self, process: usize, state: MemberState) {
        self.locked()[process].state = state;
    }

    fn locked(&self) -> MutexGuard<'_, Vec<ClusterMember>> {
        self.all.lock()
    }
}
