//! An engine within a program, with everything around it.

use std::net::SocketAddr;
use std::path::PathBuf;

use dataflows::model::Tick;
use dataflows::relations::Subscribe;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{RunError, RunOptions, run};
use crate::egress::install_crypto;
use crate::engine::{Handle, Topology};
use crate::http::Admission;
use crate::project::Project;

/// A running engine: what `deltaic run` is, on the tokio runtime at hand. It is told to stop when this is dropped; [`Server::stop`] waits
/// for its end, too.
///
/// ```
/// use std::net::{Ipv4Addr, SocketAddr};
/// use std::path::Path;
///
/// use deltaic::project;
/// use deltaic::serve::Server;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let project = project::load(Path::new("examples/load"), &|name| std::env::var(name).ok()).expect("it is in order").project;
/// let server = Server::builder(project).listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).start().await?;
/// println!("it listens on http://{}", server.address());
/// server.stop().await?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    engine: watch::Receiver<Option<Handle>>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl Server {
    /// An engine of this project that is to be started: with one worker, and all else as the project says.
    pub fn builder(project: Project) -> ServerBuilder {
        ServerBuilder { project, options: RunOptions::new(Topology::local(1)) }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The engine, to read its relations and to hear of their changes: once it is there, which in a cluster is when all processes have met.
    /// Nothing where it ended before.
    pub async fn engine(&self) -> Option<Handle> {
        let mut engine = self.engine.clone();
        engine.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Waits until it ends by itself: a part of it failed, or a process of its cluster is gone.
    pub async fn ended(&mut self) -> Result<(), RunError> {
        joined((&mut self.ended).await)
    }

    /// Stops it: what was accepted is finished, and destinations have ten seconds to take it.
    pub async fn stop(self) -> Result<(), RunError> {
        // Where it has ended, nobody hears it.
        _ = self.stop.send(());
        joined(self.ended.await)
    }
}

/// What a task came to; a panic in it goes on here.
fn joined(ended: Result<Result<(), RunError>, tokio::task::JoinError>) -> Result<(), RunError> {
    match ended {
        Ok(ended) => ended,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is over, and with it the engine.
        Err(_) => Ok(()),
    }
}

/// How an engine is to run, beside what its project says.
#[derive(Debug)]
#[must_use = "nothing runs until it is started"]
pub struct ServerBuilder {
    project: Project,
    options: RunOptions,
}

impl ServerBuilder {
    /// How many workers there are, where; one of this process without it.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.options.topology = topology;
        self
    }

    /// Listens here, in the place of what the project says. Port 0 is any that is free.
    pub fn listen(mut self, address: impl Into<Option<SocketAddr>>) -> Self {
        self.options.listen = address.into();
        self
    }

    /// Keeps events, and what destinations acknowledged, in this folder, in the place of what the project says.
    pub fn data(mut self, folder: impl Into<Option<PathBuf>>) -> Self {
        self.options.data = folder.into();
        self
    }

    /// Whether to go on with what is kept where definitions would need more of the past.
    pub fn accept_partial(mut self, accepted: bool) -> Self {
        self.options.accept_partial = accepted;
        self
    }

    /// Whether the key of `[identity]` may be another one than that of the data folder. What was sent before is then not recognised.
    pub fn accept_key(mut self, accepted: bool) -> Self {
        self.options.accept_key = accepted;
        self
    }

    /// Whether the data folder becomes that of this engine, whosever it was.
    pub fn take_over(mut self, taken: bool) -> Self {
        self.options.take_over = taken;
        self
    }

    /// Whether nothing is delivered.
    pub fn no_delivery(mut self, held: bool) -> Self {
        self.options.no_delivery = held;
        self
    }

    /// Destinations whose address is another one than it was, and where nothing is yet.
    pub fn as_new(mut self, destinations: Vec<String>) -> Self {
        self.options.as_new = destinations;
        self
    }

    /// Destinations whose address is another one than it was, and where is what was confirmed.
    pub fn as_moved(mut self, destinations: Vec<String>) -> Self {
        self.options.as_moved = destinations;
        self
    }

    /// Whether ticks go on with the clock of the machine, however far it is from what the data folder has.
    pub fn accept_clock(mut self, accepted: bool) -> Self {
        self.options.accept_clock = accepted;
        self
    }

    /// Begins with this time, in the place of the machine's: to try what depends on the age of data.
    pub fn clock_from(mut self, time: impl Into<Option<Tick>>) -> Self {
        self.options.clock_from = time.into();
        self
    }

    /// The changes of this relation can be [subscribed to](crate::engine::Handle::subscribe): of those that are worked out only where somebody
    /// asks for them.
    pub fn subscribable<R: Subscribe>(mut self) -> Self {
        self.options.subscribable.push(R::NAME);
        self
    }

    /// Adds the latency histograms of every second to this file (HdrHistogram interval log, V2).
    pub fn hlog(mut self, file: impl Into<Option<PathBuf>>) -> Self {
        self.options.hlog = file.into();
        self
    }

    /// Who is let in, where that may change while it runs; else those of the project.
    pub fn admission(mut self, admission: Admission) -> Self {
        self.options.admission = Some(admission);
        self
    }

    /// Starts it. In a cluster it waits for the other processes once it listens.
    pub async fn start(self) -> Result<Server, RunError> {
        let (listens, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let engine = self.options.engine.subscribe();
        let mut ended = tokio::spawn(self.run(|address| _ = listens.send(address), async { _ = stopped.await }));
        match address.await {
            Ok(address) => Ok(Server { address, engine, stop, ended }),
            // It ended before it listened.
            Err(_) => Err(match joined((&mut ended).await) {
                Err(error) => error,
                Ok(()) => RunError::Failed("it ended before it listened".to_owned()),
            }),
        }
    }

    /// Runs it until `shutdown`, then finishes what was accepted. `ready` is told the address once it is answered there: in a cluster before
    /// the engine is there, which waits for the others.
    pub async fn run(self, ready: impl FnOnce(SocketAddr), shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        install_crypto();
        run(self.project, self.options, ready, shutdown).await
    }
}
