//! What the two ends of a connection say before anything else, to tell a process of the cluster from a stranger:
//!
//! ```text
//! greeting   "deltaic cluster " · version of the greeting (u16) · process (u16) · processes (u16)
//! ```
//!
//! Numbers are big endian. A greeting proves nothing: the ports of a cluster are for itself.

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::PROCESS_HELLO_TIMEOUT;

pub(super) const MAGIC: &[u8; 16] = b"deltaic cluster ";

/// Changes with what the processes say to each other, so that two versions that do not understand each other do not try.
pub(super) const VERSION: u16 = 1;

/// Bytes of a greeting.
pub(super) const GREETING_BYTES: usize = MAGIC.len() + 6;

/// Who is at one end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Which process.
    pub process: u16,
    /// Of how many.
    pub processes: u16,
}

/// Why somebody is no process of this cluster.
#[derive(Debug, Error)]
pub(super) enum Stranger {
    #[error("it said nothing for {} s", PROCESS_HELLO_TIMEOUT.as_secs())]
    Silent,
    #[error("it closed the connection")]
    Closed,
    #[error("it does not speak as one")]
    NoProcess,
    #[error("it is of another version of deltaic: start all processes with the same one")]
    Version,
    #[error("it is process {process} of {processes}, which has no place here: give all processes the same hosts file")]
    Other { process: u16, processes: u16 },
    #[error("too many others have not said yet who they are")]
    TooMany,
}

/// Hears who connected, and says who this is.
pub(super) async fn answer(mut stream: TcpStream, own: Greeting) -> Result<(usize, TcpStream), Stranger> {
    stream.set_nodelay(true).map_err(|_| Stranger::Closed)?;
    let greeting = hear(&mut stream).await?;
    // One of another cluster is told so, to say it where it is looked for.
    say(&mut stream, own).await?;
    let Greeting { process, processes } = greeting;
    if processes != own.processes || process <= own.process || process >= processes {
        return Err(Stranger::Other { process, processes });
    }
    Ok((process.into(), stream))
}

/// Calls a process once; says why it is not there.
pub(super) async fn call(address: &str, own: Greeting, wanted: usize) -> Result<TcpStream, String> {
    let connected = timeout(PROCESS_HELLO_TIMEOUT, TcpStream::connect(address)).await;
    let mut stream =
        connected.map_err(|_| "no connection came about".to_owned())?.map_err(|error| error.to_string())?;
    let greeted = async {
        stream.set_nodelay(true).map_err(|_| Stranger::Closed)?;
        say(&mut stream, own).await?;
        match hear(&mut stream).await? {
            Greeting { process, processes } if usize::from(process) == wanted && processes == own.processes => Ok(()),
            Greeting { process, processes } => Err(Stranger::Other { process, processes }),
        }
    };
    greeted.await.map_err(|stranger| format!("what listens there is no process of this cluster: {stranger}"))?;
    Ok(stream)
}

async fn say(stream: &mut TcpStream, greeting: Greeting) -> Result<(), Stranger> {
    let mut bytes = Vec::with_capacity(GREETING_BYTES);
    bytes.extend_from_slice(MAGIC);
    [VERSION, greeting.process, greeting.processes].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    stream.write_all(&bytes).await.map_err(|_| Stranger::Closed)
}

/// Reads no further than a greeting goes: what follows is for the workers.
async fn hear(stream: &mut TcpStream) -> Result<Greeting, Stranger> {
    let mut bytes = [0; GREETING_BYTES];
    let mut heard = 0;
    let hears = async {
        while heard < GREETING_BYTES {
            match stream.read(&mut bytes[heard..]).await {
                Ok(0) | Err(_) => return Err(Stranger::Closed),
                Ok(more) => heard += more,
            }
            // Nobody else needs to say more.
            let begins = heard.min(MAGIC.len());
            if bytes[..begins] != MAGIC[..begins] {
                return Err(Stranger::NoProcess);
            }
        }
        Ok(())
    };
    timeout(PROCESS_HELLO_TIMEOUT, hears).await.map_err(|_| Stranger::Silent)??;
    let number = |at: usize| u16::from_be_bytes([bytes[MAGIC.len() + at], bytes[MAGIC.len() + at + 1]]);
    if number(0) != VERSION {
        return Err(Stranger::Version);
    }
    Ok(Greeting { process: number(2), processes: number(4) })
}
