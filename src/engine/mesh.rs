//! The connections between the workers of a cluster: made here, and handed to timely when all are there.
//!
//! Timely would make them itself, and takes whoever connects for another process: a stranger at the port makes it panic, or wait for
//! ever. Here both sides say who they are first (`greeting`), and whoever is no process of this cluster is told of, and let go.
//!
//! Each process listens for those behind it and calls those before it, and both go on until all are there: one that ends meanwhile and
//! is started again is called again.

mod greeting;
#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream as Connection};
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

use self::greeting::{Greeting, Stranger, answer, call};
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
    /// A connection, or what is to wait for it, cannot be had.
    #[error("the connections between the processes of the cluster: {0}")]
    Io(#[from] io::Error),
}

/// Connects this process with all others; gives what timely's workers talk through. Waits until all are there.
pub(super) fn connect(
    threads: usize,
    process: usize,
    hosts: &[String],
) -> Result<(Vec<AllocatorBuilder>, CommsGuard), MeshError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connections = runtime.block_on(Mesh::meet(process, hosts))?;
    // A look-up of a name may still be under way: nobody needs it.
    runtime.shutdown_background();
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), hooks.spill.clone());
    let (builders, guard) = initialize_networking_from_sockets(local, connections, process, threads, hooks)?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), guard))
}

/// The connections as far as they are there.
struct Mesh<'a> {
    own: Greeting,
    hosts: &'a [String],
    /// By process; never one to this process itself.
    there: Vec<Option<Connection>>,
    /// Calls to processes before this one.
    calls: JoinSet<(usize, TcpStream)>,
}

/// Who connected to this process: a process, or why it is none.
type Arrived = Result<(usize, TcpStream), (SocketAddr, Stranger)>;

impl Mesh<'_> {
    /// Waits until all are there.
    async fn meet(process: usize, hosts: &[String]) -> Result<Vec<Option<Connection>>, MeshError> {
        let number = |number: usize| u16::try_from(number).expect("a cluster has at most PROCESSES_MAX processes");
        let own = Greeting { process: number(process), processes: number(hosts.len()) };
        let address = &hosts[process];
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| MeshError::Listen { address: address.clone(), source })?;
        let there = hosts.iter().map(|_| None).collect();
        let mut mesh = Mesh { own, hosts, there, calls: JoinSet::new() };
        (0..process).for_each(|earlier| mesh.call(earlier));
        let (arrive, mut arrived) = mpsc::channel::<Arrived>(PROCESS_STRANGERS_MAX);
        let places = Arc::new(Semaphore::new(PROCESS_STRANGERS_MAX));
        let (mut strangers, mut waits) = (Seldom::default(), Seldom::default());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is due at once.
        look.tick().await;
        while !mesh.is_whole() {
            tokio::select! {
                accepted = listener.accept() => {
                    // A connection that is gone again is no reason to listen no more.
                    let Ok((stream, from)) = accepted else { continue };
                    let Ok(place) = places.clone().try_acquire_owned() else {
                        tell(&mut strangers, address, from, &Stranger::TooMany);
                        continue;
                    };
                    let arrive = arrive.clone();
                    tokio::spawn(async move {
                        let greeted = answer(stream, own).await.map_err(|stranger| (from, stranger));
                        drop(place);
                        _ = arrive.send(greeted).await;
                    });
                }
                Some(arrived) = arrived.recv() => {
                    match arrived {
                        Ok((process, stream)) => mesh.has(process, stream)?,
                        Err((from, stranger)) => tell(&mut strangers, address, from, &stranger),
                    }
                }
                Some(called) = mesh.calls.join_next() => {
                    if let Ok((process, stream)) = called {
                        mesh.has(process, stream)?;
                    }
                }
                _ = look.tick() => {
                    mesh.look();
                    if waits.happened(Instant::now()).is_some() {
                        tracing::info!("waiting for {} of the cluster: nothing is taken in before all are there", mesh.missing());
                    }
                }
            }
        }
        Ok(mesh.there)
    }

    /// Calls a process until it answers.
    fn call(&mut self, process: usize) {
        let (own, address) = (self.own, self.hosts[process].clone());
        self.calls.spawn(async move {
            let mut told = Seldom::default();
            loop {
                let called = call(&address, own, process).await;
                let reason = match called {
                    Ok(stream) => return (process, stream),
                    Err(reason) => reason,
                };
                if told.happened(Instant::now()).is_some() {
                    tracing::info!(%address, "process {process} of the cluster does not answer yet: {reason}; trying again");
                }
                sleep(CALL_AGAIN_AFTER).await;
            }
        });
    }

    /// A process is there. One that was started again takes the place of what it left.
    fn has(&mut self, process: usize, stream: TcpStream) -> Result<(), MeshError> {
        self.there[process] = Some(stream.into_std()?);
        Ok(())
    }

    /// Whether all are there, and none is gone again.
    fn is_whole(&mut self) -> bool {
        let is_there = |there: &Self| there.absent().next().is_none();
        if is_there(self) {
            self.look();
        }
        is_there(self)
    }

    /// Lets go of connections that ended, and calls again.
    fn look(&mut self) {
        for process in 0..self.there.len() {
            if self.there[process].take_if(|connection| has_ended(connection)).is_some()
                && process < self.own.process.into()
            {
                self.call(process);
            }
        }
    }

    /// Who is not there.
    fn absent(&self) -> impl Iterator<Item = usize> {
        let own = usize::from(self.own.process);
        self.there
            .iter()
            .enumerate()
            .filter(move |(process, there)| there.is_none() && *process != own)
            .map(|(process, _)| process)
    }

    /// The same, in words.
    fn missing(&self) -> String {
        let named = self.absent().map(|process| format!("process {process} ({})", self.hosts[process]));
        named.collect::<Vec<_>>().join(", ")
    }
}

/// Whether the other side has closed a connection. What it sent stays there.
fn has_ended(connection: &Connection) -> bool {
    match connection.peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Says that somebody was no process of this cluster.
fn tell(strangers: &mut Seldom, address: &str, from: SocketAddr, stranger: &Stranger) {
    if let Some(count) = strangers.happened(Instant::now()) {
        tracing::warn!(
            %from, count,
            "closed a connection to {address} that was from no process of this cluster: {stranger}; keep this port for the cluster"
        );
    }
}
