//! What the two ends of a connection say before anything else, to tell a process of the cluster from a stranger, and to find what
//! keeps two processes from working together:
//!
//! ```text
//! caller                                        listener
//! "deltaic cluster " · version · nonce    ─►
//!                                         ◄─    "deltaic cluster " · version · nonce · proof that it knows the token
//! proof that it knows the token           ─►
//! bytes · proof · who it is (JSON)        ─►
//!                                         ◄─    bytes · proof · who it is (JSON)
//!                                         ◄─    verdict · proof
//! ```
//!
//! Numbers are big endian. Nothing is set aside for what a stranger says, and all of it takes [`PROCESS_HELLO_TIMEOUT`] at most. The
//! proofs tell who is at the other end when the connection begins; what follows is neither encrypted nor proved.

use std::io::ErrorKind;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::introduction::{IntroducedPeer, differences};
use super::proof::{Nonce, PROOF_BYTES, Proof, ProofRole, nonce};
use crate::limits::{PROCESS_HELLO_BYTES_MAX, PROCESS_HELLO_TIMEOUT};

const MAGIC: &[u8; 16] = b"deltaic cluster ";

/// Changes with what is said here, so that two versions that do not understand each other do not try.
const VERSION: u16 = 2;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConnectionPurpose {
    /// What the workers say to each other.
    Workers,
    /// That a process is there.
    Pulse,
}

impl ConnectionPurpose {
    /// All of them: each two processes have one connection for each.
    pub const ALL: [Self; 2] = [Self::Workers, Self::Pulse];
}

/// Who this process is, and what proves it.
#[derive(Debug)]
pub struct OwnIdentity {
    /// What it says.
    pub peer: IntroducedPeer,
    /// The key of proofs.
    pub key: Box<[u8]>,
}

/// What an end says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    peer: IntroducedPeer,
    purpose: ConnectionPurpose,
    /// Which process it takes the other end for.
    wanted: usize,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Stranger {
    /// It takes too long.
    #[error("it did not say who it is within {} s", PROCESS_HELLO_TIMEOUT.as_secs())]
    Silent,
    /// It is gone.
    #[error("it closed the connection")]
    Closed,
    /// It is something else.
    #[error("it does not speak as one")]
    NoProcess,
    /// It could not be understood.
    #[error("it is of another version of deltaic: start all processes with the same program")]
    Version,
    /// It is of another cluster, or of none.
    #[error("it has another token: give all processes the same `token` in [cluster]")]
    Token,
    /// It is of this cluster, and cannot work with this process.
    #[error("{0}")]
    Apart(String),
    /// There is no place for it now.
    #[error("too many others have not said yet who they are")]
    TooMany,
}

/// What a listener says in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreetingVerdict {
    /// It is let in.
    Admitted,
    /// There is a process of this number.
    Taken,
    /// The cluster runs, and nobody is missing yet.
    Runs,
}

impl GreetingVerdict {
    const ALL: [Self; 3] = [Self::Admitted, Self::Taken, Self::Runs];
}

/// Why a call came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMet {
    /// It may come to something later.
    Yet(String),
    /// The two do not go together.
    Apart(String),
}

/// A process that introduced itself, and waits for the verdict.
pub struct Greeted {
    /// Who it is.
    pub peer: IntroducedPeer,
    /// What the connection is for.
    pub purpose: ConnectionPurpose,
    stream: TcpStream,
    proof: Proof,
}

impl Greeted {
    /// Says the verdict; gives the connection. Whoever is gone meanwhile is found to be later.
    pub async fn answer(mut self, verdict: GreetingVerdict) -> TcpStream {
        let said = [verdict as u8];
        let proof = self.proof.of(ProofRole::Listener, "verdict", &said);
        _ = timeout(PROCESS_HELLO_TIMEOUT, self.stream.write_all(&[&said[..], &proof].concat())).await;
        self.stream
    }
}

/// Hears who connected, and says who this is.
pub async fn hear(mut stream: TcpStream, own: &OwnIdentity) -> Result<Greeted, Stranger> {
    let greeted = async {
        stream.set_nodelay(true).map_err(|_| Stranger::Closed)?;
        let of_listener = nonce().map_err(|_| Stranger::Closed)?;
        let version = read_head(&mut stream).await?;
        // One of another version is told so, too.
        write(&mut stream, &[MAGIC, &VERSION.to_be_bytes(), &of_listener]).await?;
        if version != VERSION {
            return Err(Stranger::Version);
        }
        let of_caller: Nonce = read(&mut stream).await?;
        let proof = Proof::new(&own.key, &of_caller, &of_listener);
        write(&mut stream, &[&proof.of(ProofRole::Listener, "knows", &[])]).await?;
        let said: [u8; PROOF_BYTES] = read(&mut stream).await?;
        if !proof.is_right(ProofRole::Caller, "knows", &[], &said) {
            return Err(Stranger::Token);
        }
        let Hello { peer, purpose, wanted } = read_hello(&mut stream, &proof, ProofRole::Caller).await?;
        let hello = Hello { peer: own.peer.clone(), purpose, wanted: peer.process };
        write_hello(&mut stream, &proof, ProofRole::Listener, &hello).await?;
        match apart(own, &peer, wanted) {
            Some(why) => Err(Stranger::Apart(why)),
            None => Ok((peer, purpose, proof)),
        }
    };
    let (peer, purpose, proof) = timeout(PROCESS_HELLO_TIMEOUT, greeted).await.map_err(|_| Stranger::Silent)??;
    Ok(Greeted { peer, purpose, stream, proof })
}

/// Calls a process once; says why it is not there.
pub async fn call(
    address: &str,
    own: &OwnIdentity,
    wanted: usize,
    purpose: ConnectionPurpose,
) -> Result<(IntroducedPeer, TcpStream), NotMet> {
    let mut stream = connect(address).await.map_err(NotMet::Yet)?;
    let introduced = timeout(PROCESS_HELLO_TIMEOUT, introduce(&mut stream, own, wanted, purpose)).await;
    match introduced.unwrap_or(Err(Stranger::Silent)) {
        Ok((peer, GreetingVerdict::Admitted)) => Ok((peer, stream)),
        Ok((peer, GreetingVerdict::Taken)) => Err(NotMet::Apart(format!(
            "process {} says that process {} is there already: give each process a line of its own in the hosts file (--process), and \
             start each once",
            peer.process, own.peer.process
        ))),
        Ok((_, GreetingVerdict::Runs)) => Err(NotMet::Yet(
            "the cluster runs with another start of this process: it is let in when all start again".to_owned(),
        )),
        Err(Stranger::Apart(why)) => Err(NotMet::Apart(why)),
        Err(Stranger::Silent) => {
            Err(NotMet::Yet(format!("it takes the connection, and says nothing within {} s", seconds())))
        }
        Err(stranger) => Err(NotMet::Yet(format!("what listens there is no process of this cluster: {stranger}"))),
    }
}

/// How long a process is waited for.
fn seconds() -> u64 {
    PROCESS_HELLO_TIMEOUT.as_secs()
}

/// Connects; says why not, without an address: anybody may be told.
async fn connect(address: &str) -> Result<TcpStream, String> {
    let found = timeout(PROCESS_HELLO_TIMEOUT, lookup_host(address)).await;
    let found = found.map_err(|_| format!("its name does not resolve: no answer within {} s", seconds()))?;
    let mut reason = "its name does not resolve: it has no address".to_owned();
    for place in found.map_err(|error| format!("its name does not resolve: {error}"))? {
        match timeout(PROCESS_HELLO_TIMEOUT, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Err(_) => {
                reason = format!("no answer within {} s: its machine is away, or a firewall is between", seconds());
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                reason = "the connection is refused: nothing listens there".to_owned();
            }
            Ok(Err(error)) => reason = format!("it cannot be reached: {error}"),
        }
    }
    Err(reason)
}

/// Says who this is, and hears who is there and what it says to that.
async fn introduce(
    stream: &mut TcpStream,
    own: &OwnIdentity,
    wanted: usize,
    purpose: ConnectionPurpose,
) -> Result<(IntroducedPeer, GreetingVerdict), Stranger> {
    stream.set_nodelay(true).map_err(|_| Stranger::Closed)?;
    let of_caller = nonce().map_err(|_| Stranger::Closed)?;
    write(stream, &[MAGIC, &VERSION.to_be_bytes(), &of_caller]).await?;
    if read_head(stream).await? != VERSION {
        return Err(Stranger::Version);
    }
    let of_listener: Nonce = read(stream).await?;
    let proof = Proof::new(&own.key, &of_caller, &of_listener);
    let said: [u8; PROOF_BYTES] = read(stream).await?;
    // The other end is to find out, too.
    write(stream, &[&proof.of(ProofRole::Caller, "knows", &[])]).await?;
    if !proof.is_right(ProofRole::Listener, "knows", &[], &said) {
        return Err(Stranger::Token);
    }
    let hello = Hello { peer: own.peer.clone(), purpose, wanted };
    write_hello(stream, &proof, ProofRole::Caller, &hello).await?;
    let Hello { peer, .. } = read_hello(stream, &proof, ProofRole::Listener).await?;
    if let Some(why) = apart(own, &peer, own.peer.process) {
        return Err(Stranger::Apart(why));
    }
    if peer.process != wanted {
        let (process, own) = (peer.process, own.peer.process);
        return Err(Stranger::Apart(format!(
            "process {process} listens where process {wanted} should, as process {own} sees it: give all processes the same hosts file"
        )));
    }
    let [verdict]: [u8; 1] = read(stream).await?;
    let said: [u8; PROOF_BYTES] = read(stream).await?;
    let known = GreetingVerdict::ALL.into_iter().find(|known| *known as u8 == verdict);
    let is_right = proof.is_right(ProofRole::Listener, "verdict", &[verdict], &said);
    known.filter(|_| is_right).map(|verdict| (peer, verdict)).ok_or(Stranger::NoProcess)
}

/// What keeps this process and another one, that takes this for process `taken_for`, from working together.
fn apart(own: &OwnIdentity, peer: &IntroducedPeer, taken_for: usize) -> Option<String> {
    if taken_for != own.peer.process {
        let (process, own) = (peer.process, own.peer.process);
        return Some(format!(
            "process {process} takes this process, which is process {own}, for process {taken_for}: give all processes the same hosts file"
        ));
    }
    differences(&own.peer, peer)
}

async fn write(stream: &mut TcpStream, parts: &[&[u8]]) -> Result<(), Stranger> {
    stream.write_all(&parts.concat()).await.map_err(|_| Stranger::Closed)
}

async fn read<const BYTES: usize>(stream: &mut TcpStream) -> Result<[u8; BYTES], Stranger> {
    let mut bytes = [0; BYTES];
    stream.read_exact(&mut bytes).await.map_err(|_| Stranger::Closed)?;
    Ok(bytes)
}

/// Reads what a process says first of all; gives its version. Of whoever begins otherwise no more is read.
async fn read_head(stream: &mut TcpStream) -> Result<u16, Stranger> {
    let mut bytes = [0; MAGIC.len()];
    let mut heard = 0;
    while heard < MAGIC.len() {
        match stream.read(&mut bytes[heard..]).await {
            Ok(0) | Err(_) => return Err(Stranger::Closed),
            Ok(more) => heard += more,
        }
        if bytes[..heard] != MAGIC[..heard] {
            return Err(Stranger::NoProcess);
        }
    }
    read(stream).await.map(u16::from_be_bytes)
}

async fn write_hello(stream: &mut TcpStream, proof: &Proof, role: ProofRole, hello: &Hello) -> Result<(), Stranger> {
    let json = serde_json::to_vec(hello).expect("texts and numbers are JSON; writing to memory cannot fail");
    let bytes = u32::try_from(json.len()).map_err(|_| Stranger::NoProcess)?;
    write(stream, &[&bytes.to_be_bytes(), &proof.of(role, "is", &json), &json]).await
}

async fn read_hello(stream: &mut TcpStream, proof: &Proof, role: ProofRole) -> Result<Hello, Stranger> {
    let bytes = u32::from_be_bytes(read(stream).await?) as usize;
    let said: [u8; PROOF_BYTES] = read(stream).await?;
    if bytes > PROCESS_HELLO_BYTES_MAX {
        return Err(Stranger::NoProcess);
    }
    let mut json = vec![0; bytes];
    stream.read_exact(&mut json).await.map_err(|_| Stranger::Closed)?;
    if !proof.is_right(role, "is", &json, &said) {
        return Err(Stranger::NoProcess);
    }
    serde_json::from_slice(&json).map_err(|_| Stranger::NoProcess)
}
