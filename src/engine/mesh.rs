//! The connections between the processes of a cluster: made here, and handed to timely, and to the pulse, when all are there.
//!
//! Timely would make its own itself, and takes whoever connects for another process: a stranger at the port makes it panic, or wait for
//! ever. Here both sides say and prove who they are first (`cluster/greeting.rs`), and whoever is no process of this cluster is told of, and
//! let go. One that is, but cannot work with this one, is told why by both, and both end.
//!
//! Each process listens for those behind it and calls those before it, and both go on until all are there: one that ends meanwhile and
//! is started again is called again.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as Listener, TcpStream as Connection};
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::{CommsGuard, initialize_networking_from_sockets};
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::workers::Topology;
use crate::cluster::greeting::{
    ConnectionPurpose, Greeted, GreetingVerdict, NotMet, OwnIdentity, Stranger, call, hear,
};
use crate::cluster::{Awaited, ClusterMember, ClusterMembers, IntroducedPeer, Late, MemberState, nonce};
use crate::limits::PROCESS_STRANGERS_MAX;
use crate::observe::seldom::Seldom;

/// How long after a call that failed the next one is made.
const CALL_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often there is a look at who is missing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the processes cannot connect.
#[derive(Debug, Error)]
pub(super) enum MeshError {
    /// Nobody can connect to this process.
    #[error(
        "cannot listen on {address} for the other processes of the cluster: {source}; give each process a line of its own in the hosts \
         file (--process), and look whether one of that number runs already"
    )]
    Listen { address: String, source: io::Error },
    /// Whoever reaches the ports could pose as a process.
    #[error(
        "the cluster is on several machines and has no token, so anybody who reaches its ports could pose as one of its processes: make \
         one (`openssl rand -hex 32`), give it to all processes, such as in DELTAIC_CLUSTER_TOKEN, and write \
         `token = \"${{DELTAIC_CLUSTER_TOKEN}}\"` under [cluster] in deltaic.toml"
    )]
    NoToken,
    /// Two of the processes cannot work together.
    #[error("{0}")]
    Apart(String),
    /// A connection, or what is to wait for it, cannot be had.
    #[error("the connections between the processes of the cluster: {0}")]
    Io(#[from] io::Error),
}

/// The connections, when all are there.
pub(super) struct Connected {
    /// What timely's workers talk through.
    pub builders: Vec<AllocatorBuilder>,
    /// What timely has beside its workers.
    pub guard: CommsGuard,
    /// For the pulse, by process.
    pub pulses: Vec<Option<Connection>>,
    /// For who comes late.
    pub late: Late,
    /// Who is there.
    pub members: ClusterMembers,
}

/// Connects this process with all others. Waits until all are there.
pub(super) fn connect(topology: &Topology) -> Result<Connected, MeshError> {
    let Topology { threads, process, hosts, introduction, awaited, .. } = topology;
    if !introduction.may_meet_at(hosts) {
        return Err(MeshError::NoToken);
    }
    let mut run = [0; 8];
    run.copy_from_slice(&nonce()?[..8]);
    let peer = IntroducedPeer::own(u64::from_le_bytes(run), topology.place(), *threads, introduction);
    let own = Arc::new(OwnIdentity { peer, key: introduction.key().into() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (there, listener) = runtime.block_on(Mesh::meet(own.clone(), hosts, awaited))?;
    // A look-up of a name may still be under way: nobody needs it.
    runtime.shutdown_background();
    let members = members(&own, hosts, &there);
    let mut of_workers = Vec::new();
    let mut pulses = Vec::new();
    for [workers, pulse] in there {
        of_workers.push(workers.map(|there| there.connection));
        pulses.push(pulse.map(|there| there.connection));
    }
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(*threads, hooks.refill.clone(), hooks.spill.clone());
    let (builders, guard) = initialize_networking_from_sockets(local, of_workers, *process, *threads, hooks)?;
    let builders = builders.into_iter().map(AllocatorBuilder::Tcp).collect();
    Ok(Connected { builders, guard, pulses, late: Late { listener, own }, members })
}

/// All processes, as they said who they are.
fn members(own: &OwnIdentity, hosts: &[String], there: &[Connections]) -> ClusterMembers {
    let member = |(address, [of_workers, _]): (&String, &Connections)| {
        let (peer, state) = match of_workers {
            Some(there) => (&there.peer, MemberState::There),
            None => (&own.peer, MemberState::Here),
        };
        ClusterMember::new(address.clone(), peer.version.clone(), peer.threads, state)
    };
    ClusterMembers::new(own.peer.process, hosts.iter().zip(there).map(member).collect())
}

/// A connection to a process.
#[derive(Debug)]
struct There {
    connection: Connection,
    peer: IntroducedPeer,
}

/// Those to one process, in the order of [`ConnectionPurpose::ALL`].
type Connections = [Option<There>; ConnectionPurpose::ALL.len()];

/// The connections as far as they are there.
struct Mesh<'a> {
    own: Arc<OwnIdentity>,
    hosts: &'a [String],
    /// Where whoever asks is told for whom it waits.
    awaited: &'a Awaited,
    /// By process; never one to this process itself.
    there: Vec<Connections>,
    /// Calls to processes before this one.
    calls: JoinSet<Called>,
}

/// What came of a call to a process.
type Called = Result<(IntroducedPeer, ConnectionPurpose, TcpStream), String>;

/// Who connected to this process: a process, or why it is none.
type IncomingConnection = Result<Greeted, (SocketAddr, Stranger)>;

impl Mesh<'_> {
    /// Waits until all are there.
    async fn meet(
        own: Arc<OwnIdentity>,
        hosts: &[String],
        awaited: &Awaited,
    ) -> Result<(Vec<Connections>, Listener), MeshError> {
        let address = &hosts[own.peer.process];
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| MeshError::Listen { address: address.clone(), source })?;
        let there = hosts.iter().map(|_| Connections::default()).collect();
        let mut mesh = Mesh { own, hosts, awaited, there, calls: JoinSet::new() };
        for earlier in 0..mesh.own.peer.process {
            ConnectionPurpose::ALL.into_iter().for_each(|purpose| mesh.call(earlier, purpose));
        }
        let (arrive, mut arrived) = mpsc::channel::<IncomingConnection>(PROCESS_STRANGERS_MAX);
        let places = Arc::new(Semaphore::new(PROCESS_STRANGERS_MAX));
        let (mut strangers, mut waits) = (Seldom::default(), Seldom::default());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is due at once.
        look.tick().await;
        while !mesh.is_whole() {
            awaited.set(mesh.absent().collect());
            tokio::select! {
                accepted = listener.accept() => {
                    // A connection that is gone again is no reason to listen no more.
                    let Ok((stream, from)) = accepted else { continue };
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        mesh.turn_away(&mut strangers, from, &Stranger::TooMany);
                        continue;
                    };
                    let (arrive, own) = (arrive.clone(), mesh.own.clone());
                    tokio::spawn(async move {
                        let greeted = hear(stream, &own).await.map_err(|stranger| (from, stranger));
                        drop(place);
                        _ = arrive.send(greeted).await;
                    });
                }
                Some(arrived) = arrived.recv() => {
                    match arrived {
                        Ok(greeted) => mesh.arrived(greeted).await?,
                        Err((_, Stranger::Apart(why))) => return Err(MeshError::Apart(why)),
                        Err((from, stranger)) => mesh.turn_away(&mut strangers, from, &stranger),
                    }
                }
                Some(called) = mesh.calls.join_next() => {
                    if let Ok(called) = called {
                        let (peer, purpose, stream) = called.map_err(MeshError::Apart)?;
                        mesh.has(peer, purpose, stream)?;
                    }
                }
                _ = look.tick() => {
                    mesh.look();
                    if awaited.is_known() && waits.happened(Instant::now()).is_some() {
                        tracing::info!("{}", awaited.waiting(|process| format!("process {process} ({})", hosts[process])));
                    }
                }
            }
        }
        awaited.set(Vec::new());
        Ok((mesh.there, listener.into_std()?))
    }

    /// Calls a process until it answers.
    fn call(&mut self, process: usize, purpose: ConnectionPurpose) {
        let (own, address, awaited) = (self.own.clone(), self.hosts[process].clone(), self.awaited.clone());
        awaited.calls(process);
        self.calls.spawn(async move {
            loop {
                let reason = match call(&address, &own, process, purpose).await {
                    Ok((peer, stream)) => return Ok((peer, purpose, stream)),
                    Err(NotMet::Apart(why)) => return Err(why),
                    Err(NotMet::Yet(reason)) => reason,
                };
                awaited.found(process, reason);
                sleep(CALL_AGAIN_AFTER).await;
            }
        });
    }

    /// A process has come, and is let in unless there is one of its number.
    async fn arrived(&mut self, greeted: Greeted) -> Result<(), MeshError> {
        let (peer, purpose) = (greeted.peer.clone(), greeted.purpose);
        let other_run = |there: &&There| there.peer.run != peer.run && !has_ended(&there.connection);
        if self.there[peer.process].iter().flatten().find(other_run).is_some() {
            tracing::warn!(
                "process {} of the cluster has come a second time, and is turned away: give each process a line of its own in the hosts \
                 file (--process), and start each once",
                peer.process
            );
            greeted.answer(GreetingVerdict::Taken).await;
            return Ok(());
        }
        let stream = greeted.answer(GreetingVerdict::Admitted).await;
        self.has(peer, purpose, stream)
    }

    /// A process is there. One that was started again takes the place of what it left.
    fn has(&mut self, peer: IntroducedPeer, purpose: ConnectionPurpose, stream: TcpStream) -> Result<(), MeshError> {
        let process = peer.process;
        self.awaited.found(process, "it has answered, and not all of its connections are there".to_owned());
        self.there[process][purpose as usize] = Some(There { connection: stream.into_std()?, peer });
        Ok(())
    }

    /// Whether all are there, each as it was started last, and none is gone again.
    fn is_whole(&mut self) -> bool {
        let is_there = |there: &Self| there.absent().next().is_none();
        if is_there(self) {
            self.look();
        }
        is_there(self)
    }

    /// Lets go of connections that ended, and of those of a start before the last; and calls again.
    fn look(&mut self) {
        for process in 0..self.there.len() {
            for purpose in ConnectionPurpose::ALL {
                let ended = self.there[process][purpose as usize].take_if(|there| has_ended(&there.connection));
                if ended.is_none() {
                    continue;
                }
                self.awaited.found(process, "it was there, and is gone again".to_owned());
                if process < self.own.peer.process {
                    self.call(process, purpose);
                }
            }
        }
    }

    /// Who is not there.
    fn absent(&self) -> impl Iterator<Item = usize> {
        let own = self.own.peer.process;
        let is_there = |connections: &Connections| match connections {
            [Some(workers), Some(pulse)] => workers.peer.run == pulse.peer.run,
            _ => false,
        };
        let all = self.there.iter().enumerate();
        all.filter(move |(process, there)| *process != own && !is_there(there)).map(|(process, _)| process)
    }

    /// Says that somebody was no process of this cluster.
    fn turn_away(&self, strangers: &mut Seldom, from: SocketAddr, stranger: &Stranger) {
        self.awaited.turned_away(stranger.to_string());
        if let Some(count) = strangers.happened(Instant::now()) {
            let address = &self.hosts[self.own.peer.process];
            tracing::warn!(
                %from, count,
                "closed a connection to {address} that was from no process of this cluster: {stranger}; keep this port for the cluster"
            );
        }
    }
}

/// Whether the other side has closed a connection. What it sent stays there.
fn has_ended(connection: &Connection) -> bool {
    match connection.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
