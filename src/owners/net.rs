//! Connections between processes, on a thread of their own: from each process one to each owner.

use std::io;
use std::net::TcpListener as Listener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::BytesMut;
use dataflows::model::Tick;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Owners;
use super::link::OwnerLink;
use super::owner::{Note, Owner, Replies, reporter};
use super::wire::{Frame, Heard, SECRET_BYTES, Said, read, read_hello};
use crate::clock::Now;
use crate::dedupe::Dedupe;
use crate::ending::{Ending, Exit, report, vital, vital_task, whenever};
use crate::engine::WorkerOutput;
use crate::limits::{PROCESS_HELLO_TIMEOUT, PROCESS_STRANGERS_MAX};

/// How long the others get to say their last word, at the stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// How often it is tried to be let in by an owner, and how long it is waited in between.
const JOIN_TRIES_MAX: u32 = 100;
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What messages call all this.
const OWNER: &str = "the owner of message ids";

/// Frames that are written at once.
const AT_ONCE: usize = 256;

/// What stands in an error where a connection ended.
const GONE: &str = "another process of the cluster may be gone: look there first, then start all of them again";

/// Why processes could not meet.
#[derive(Debug, Error)]
pub enum NetError {
    /// Nobody can connect to this process.
    #[error("the port for message ids of this process, on {host}, cannot be had: {source}")]
    Listen {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// There is no secret.
    #[error("the system gives no random bytes: {0}")]
    Secret(io::Error),
    /// Process 0 did not say one.
    #[error("process 0 told no secret for message ids: start all processes with the same version of deltaic")]
    NoSecret,
    /// There is no thread.
    #[error("no thread for the message ids: {0}")]
    Thread(io::Error),
}

/// Where the others can connect to a process. It is told them when the workers have met.
#[derive(Debug)]
pub struct OwnerEndpoint {
    listener: Listener,
    port: u16,
    secret: [u8; SECRET_BYTES],
}

impl OwnerEndpoint {
    /// Listens on the host of `address`, on `port`; on any that is free where that is 0.
    pub fn open(address: &str, port: u16) -> Result<Self, NetError> {
        let host = host_of(address).to_owned();
        let listen = || {
            let listener = Listener::bind(format!("{host}:{port}"))?;
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        let (listener, port) = listen().map_err(|source| NetError::Listen { host: host.clone(), source })?;
        let mut secret = [0; SECRET_BYTES];
        rustix::rand::getrandom(&mut secret[..], rustix::rand::GetRandomFlags::empty())
            .map_err(|error| NetError::Secret(error.into()))?;
        Ok(OwnerEndpoint { listener, port, secret })
    }

    /// What the others have to know: the port, and the secret, of which that of process 0 is the one of all.
    pub fn said(&self) -> (u16, String) {
        (self.port, self.secret.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The host of `host:port`.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// What the owners of a cluster start with.
pub struct OwnersSettings {
    /// This process.
    pub process: usize,
    /// Where the workers of all processes are, by process.
    pub hosts: Vec<String>,
    /// The ports for ids, by process.
    pub ports: Vec<u16>,
    /// The secret of all, as process 0 said it.
    pub secret: String,
    /// Where the others connect to this one.
    pub endpoint: OwnerEndpoint,
    /// The ids that this process owns.
    pub ids: Dedupe,
    /// What this process tells of what counted is later than this tick; nothing where it tells all.
    pub reaches: Option<Tick>,
    /// Whether to go on without ids that cannot be had.
    pub accept_partial: bool,
    /// The time.
    pub now: Now,
    /// Where it is told that the process is of no use any more.
    pub alarm: Sender<WorkerOutput>,
}

/// The thread.
#[derive(Debug)]
pub struct Net {
    close: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Net {
    /// Begins to connect; gives the ways to the owners.
    pub fn start(settings: OwnersSettings) -> Result<(Owners, Net), NetError> {
        let secret = parse_secret(&settings.secret).ok_or(NetError::NoSecret)?;
        let (notes, heard) = mpsc::unbounded_channel();
        let (mut links, mut to_say) = (Vec::new(), Vec::new());
        for _ in 0..settings.hosts.len() {
            let (said, saying) = mpsc::unbounded_channel();
            links.push(Arc::new(OwnerLink::new(said)));
            to_say.push(saying);
        }
        let owners = Owners::new(links.clone(), settings.now.clone());
        let (close, closed) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let failed = reporter(settings.alarm.clone());
            vital(OWNER, whenever, || match runtime {
                Ok(runtime) => runtime.block_on(run(settings, secret, links, to_say, (notes, heard), closed)),
                Err(error) => failed(format!("message ids: {error}")),
            });
        };
        let thread = std::thread::Builder::new().name("owners".to_owned()).spawn(run).map_err(NetError::Thread)?;
        Ok((owners, Net { close, thread }))
    }

    /// Says goodbye to the others, when nothing counts any more. A process that fails goes without one.
    pub fn stop(self) {
        _ = self.close.send(());
        // What it had to say it has said in the log.
        _ = self.thread.join();
    }
}

type Notes = (mpsc::UnboundedSender<Note>, mpsc::UnboundedReceiver<Note>);

async fn run(
    settings: OwnersSettings,
    secret: [u8; SECRET_BYTES],
    links: Vec<Arc<OwnerLink>>,
    to_say: Vec<mpsc::UnboundedReceiver<Said>>,
    (notes, heard): Notes,
    closed: oneshot::Receiver<()>,
) {
    let OwnersSettings { process: own, hosts, ports, endpoint, ids, reaches, accept_partial, now, alarm, .. } =
        settings;
    let failed = reporter(alarm);
    // Who has said goodbye.
    let has_left: Arc<[AtomicBool]> = hosts.iter().map(|_| AtomicBool::new(false)).collect();
    let broken = {
        let has_left = has_left.clone();
        move |process: usize, why: String| {
            if ![own, process].into_iter().any(|process| has_left[process].load(Ordering::Acquire)) {
                let reason = format!("the connection to process {process} for message ids ended ({why}); {GONE}");
                report(Ending::at_once(Exit::Together, reason));
            }
        }
    };
    let owner = Owner::new(ids, hosts.len(), accept_partial).run(heard, failed);
    // After the goodbye, which is said to all.
    let leaves = {
        let has_left = has_left.clone();
        move || has_left[own].load(Ordering::Acquire)
    };
    let desk_leaves = leaves.clone();
    let mut owner = tokio::spawn(vital_task(OWNER, move |is_told: &bool| *is_told || desk_leaves(), owner));
    let (mut talking, mut hearing) = (JoinSet::new(), JoinSet::new());
    for (owner, saying) in to_say.into_iter().enumerate() {
        let link = links[owner].clone();
        if owner == own {
            let replies = Replies::Here(link);
            _ = notes.send(Note::Joined { process: own, reaches, now: now(), replies });
            let leaves = leaves.clone();
            talking.spawn(vital_task(OWNER, move |()| leaves(), pass_on(own, saying, notes.clone())));
            continue;
        }
        let process = u16::try_from(own).expect("a cluster has at most PROCESSES_MAX processes");
        let hello = Said::Hello { secret, process, reaches, now: now() };
        let address = format!("{}:{}", host_of(&hosts[owner]), ports[owner]);
        let broken = broken.clone();
        talking.spawn(vital_task(OWNER, whenever, async move {
            if let Err(error) = talk(&address, hello, saying, link.clone()).await {
                broken(owner, error.to_string());
            }
            link.end();
        }));
    }
    hearing.spawn(vital_task(OWNER, whenever, admit(endpoint, secret, own, has_left.clone(), notes, broken)));
    if closed.await.is_err() {
        return;
    }
    // After the goodbye nothing is wrong with a connection that ends.
    has_left[own].store(true, Ordering::Release);
    links.iter().for_each(|link| link.say(Said::Bye));
    let goodbyes = async {
        while talking.join_next().await.is_some() {}
        while hearing.join_next().await.is_some() {}
    };
    // Whoever says nothing any more has nothing to lose: what counted is in its log.
    _ = timeout(GOODBYE, goodbyes).await;
    drop((talking, hearing));
    // All that was said has been heard: the owner ends by itself.
    _ = timeout(GOODBYE, &mut owner).await;
    owner.abort();
}

/// Passes on what the process says to itself.
async fn pass_on(own: usize, mut saying: mpsc::UnboundedReceiver<Said>, notes: mpsc::UnboundedSender<Note>) {
    while let Some(said) = saying.recv().await {
        if said == Said::Bye || notes.send(Note::Said(own, said)).is_err() {
            return;
        }
    }
}

/// Says what there is to say to an owner, and hears what it answers.
async fn talk(
    address: &str,
    hello: Said,
    saying: mpsc::UnboundedReceiver<Said>,
    link: Arc<OwnerLink>,
) -> io::Result<()> {
    let mut tries = 1;
    let (mut from, to) = loop {
        match join(address, &hello, &link).await {
            Ok(joined) => break joined,
            Err(error) if tries == JOIN_TRIES_MAX => return Err(error),
            // Strangers may have taken all places.
            Err(_) => sleep(JOIN_AGAIN_AFTER).await,
        }
        tries += 1;
    };
    let hears = async {
        while let Some(heard) = read::<Heard>(&mut from).await? {
            link.hear(heard);
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let says = write_all(to, saying, |said| *said == Said::Bye);
    tokio::select! {
        ended = says => ended,
        ended = hears => ended,
    }
}

/// Connects to an owner, and waits until it has let this process in: nothing else is said before.
async fn join(
    address: &str,
    hello: &Said,
    link: &Arc<OwnerLink>,
) -> io::Result<(BufReader<OwnedReadHalf>, OwnedWriteHalf)> {
    let connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let (from, mut to) = connection.into_split();
    let mut first = BytesMut::new();
    hello.write(&mut first);
    to.write_all(&first).await?;
    let mut from = BufReader::new(from);
    let welcome = read::<Heard>(&mut from).await?;
    link.hear(welcome.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok((from, to))
}

/// Writes what comes, until there is no more or until the last of it.
async fn write_all<F: Frame>(
    mut to: impl AsyncWriteExt + Unpin,
    mut frames: mpsc::UnboundedReceiver<F>,
    is_last: impl Fn(&F) -> bool,
) -> io::Result<()> {
    let (mut batch, mut bytes) = (Vec::with_capacity(AT_ONCE), BytesMut::new());
    while frames.recv_many(&mut batch, AT_ONCE).await > 0 {
        let ends = batch.iter().any(&is_last);
        batch.drain(..).for_each(|frame| frame.write(&mut bytes));
        to.write_all_buf(&mut bytes).await?;
        if ends {
            break;
        }
    }
    to.shutdown().await
}

/// Lets the other processes in, and nobody else; hears them until they end.
async fn admit(
    endpoint: OwnerEndpoint,
    secret: [u8; SECRET_BYTES],
    own: usize,
    has_left: Arc<[AtomicBool]>,
    notes: mpsc::UnboundedSender<Note>,
    broken: impl Fn(usize, String) + Clone + Send + 'static,
) {
    let listener = match TcpListener::from_std(endpoint.listener) {
        Ok(listener) => listener,
        Err(error) => return broken(own, error.to_string()),
    };
    let strangers = Arc::new(Semaphore::new(PROCESS_STRANGERS_MAX));
    let (known, mut arrived) = mpsc::channel(has_left.len());
    let (mut hearing, mut is_there) = (JoinSet::new(), vec![false; has_left.len()]);
    is_there[own] = true;
    while is_there.contains(&false) {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that is gone again is no reason to listen no more.
                let Ok((connection, _)) = accepted else { continue };
                let Ok(place) = strangers.clone().try_acquire_owned() else { continue };
                let known = known.clone();
                tokio::spawn(async move {
                    if let Ok(Some(hello)) = timeout(PROCESS_HELLO_TIMEOUT, greeted(connection, secret)).await {
                        _ = known.send(hello).await;
                    }
                    drop(place);
                });
            }
            Some(AdmittedPeer { process, reaches, now, from, to }) = arrived.recv() => {
                match is_there.get_mut(process) {
                    Some(is_there) if !*is_there => *is_there = true,
                    _ => continue,
                }
                let (replies, replying) = mpsc::unbounded_channel();
                _ = notes.send(Note::Joined { process, reaches, now, replies: Replies::There(replies) });
                hearing.spawn(write_all(to, replying, |_| false));
                let (notes, broken, has_left) = (notes.clone(), broken.clone(), has_left.clone());
                hearing.spawn(vital_task(OWNER, whenever, async move {
                    match hear(process, from, &notes).await {
                        Ok(()) => has_left[process].store(true, Ordering::Release),
                        Err(error) => broken(process, error.to_string()),
                    }
                    Ok(())
                }));
            }
        }
    }
    drop((listener, notes, arrived));
    while hearing.join_next().await.is_some() {}
}

/// A process that is let in.
struct AdmittedPeer {
    process: usize,
    reaches: Option<Tick>,
    now: Tick,
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

/// Who it is; nothing where it does not know the secret.
async fn greeted(connection: TcpStream, secret: [u8; SECRET_BYTES]) -> Option<AdmittedPeer> {
    connection.set_nodelay(true).ok()?;
    let (from, to) = connection.into_split();
    let mut from = BufReader::new(from);
    match read_hello(&mut from).await.ok()? {
        Some(Said::Hello { secret: said, process, reaches, now }) if bool::from(said[..].ct_eq(&secret[..])) => {
            Some(AdmittedPeer { process: process.into(), reaches, now, from, to })
        }
        _ => None,
    }
}

/// Hears a process until it says goodbye.
async fn hear(process: usize, mut from: impl AsyncRead + Unpin, notes: &mpsc::UnboundedSender<Note>) -> io::Result<()> {
    loop {
        match read::<Said>(&mut from).await? {
            Some(Said::Bye) => return Ok(()),
            Some(said) => _ = notes.send(Note::Said(process, said)),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The secret as bytes.
fn parse_secret(text: &str) -> Option<[u8; SECRET_BYTES]> {
    let byte = |digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes?.try_into().ok()
}
