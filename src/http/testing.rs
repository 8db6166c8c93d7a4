//! A real server on port 0, and a client that sends any bytes.

use std::net::SocketAddr;

use axum::Router;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Timeouts, serve};

/// A server under test.
pub(crate) struct TestServer {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct TestReply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl TestReply {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        TestReply { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// The body, which is JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The status and the code of the problem.
    pub fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl TestServer {
    pub async fn start(router: Router, timeouts: Timeouts, connections_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let done = tokio::spawn(serve(listener, router, connections_max, timeouts, shutdown));
        TestServer { address, stop, done }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    pub async fn send(&self, request: &[u8]) -> TestReply {
        let mut stream = self.connect().await;
        // A server that answers early may close before it has read all.
        let _ = stream.write_all(request).await;
        read(stream).await
    }

    /// Tells the server to stop; the handle ends when it has.
    pub fn stop(self) -> JoinHandle<()> {
        let _ = self.stop.send(());
        self.done
    }
}

/// Reads until the server closes.
pub(crate) async fn read(mut stream: TcpStream) -> TestReply {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    TestReply::of(&answer)
}

/// The bytes of a request on a connection of its own.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        head += &format!("content-length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}
