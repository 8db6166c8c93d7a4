//! What a hostile sender could send to the real program: each thing has a clear answer, memory stays bounded, nothing panics,
//! and a good event is still taken afterwards.

mod bombs;
mod heads;
mod texts;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{ServerProcess, project};

/// Limits as large as somebody could want them, so that what is behind them is reached.
const PROJECT: &str = r#"
name = "hostile"
[identity]
key = "test"
[sources.web]
write_key = "web-key"
[access]
read_token = "read-token"
[traits]
orders = "count('Order Completed')"
total = "sum('Order Completed', properties.total)"
note = "last('Order Completed', properties.note)"
deep = "last('Order Completed', properties.a.b.c)"
[limits]
event_bytes_max = 2000000
request_bytes_max = 2000000
"#;

/// More than the program takes for all that is here together; without a bound one bomb takes a thousand.
const MEMORY_GROWTH_KB_MAX: u64 = 200_000;

struct HostileWorld {
    server: ServerProcess,
    _folder: TempDir,
    memory_kb: u64,
}

impl HostileWorld {
    async fn new() -> Self {
        let folder = project(PROJECT);
        let server = ServerProcess::start(folder.path(), &[], &[]).await;
        let memory_kb = server.memory_peak() / 1024;
        HostileWorld { server, _folder: folder, memory_kb }
    }

    /// Sends bytes on a connection of its own, and reads what comes: statuses and codes.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.server.url().trim_start_matches("http://")).unwrap();
        // Who answers early may close before all is sent.
        _ = stream.write_all(request);
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let mut words = Vec::new();
        for line in answer.split("HTTP/1.").skip(1) {
            let body = line.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let json: Value = serde_json::from_str(body.trim()).unwrap_or_default();
            let status = line.split(' ').nth(1).unwrap_or_default();
            words.push([status, json["code"].as_str().unwrap_or_default()].join(" ").trim().to_owned());
        }
        words.join(", ")
    }

    fn post(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer web-key\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    /// The members of an order of this user.
    fn order(&self, user: &str, members: &str) -> String {
        let order = format!(r#"{{"event":"Order Completed","userId":"{user}"{members}}}"#);
        self.post("/v1/track", "", order.as_bytes())
    }

    async fn traits(&self, user: &str) -> Value {
        let token = self.server.take(&[json!({"type": "page", "userId": "fence"})]).await;
        self.server.profile(&format!("user_id:{user}"), token).await["traits"].clone()
    }

    /// That the program is as well as before.
    async fn end(self) {
        assert_eq!(self.order("well", ""), "200");
        assert_eq!(self.traits("well").await["orders"], 1);
        let grown = (self.server.memory_peak() / 1024).saturating_sub(self.memory_kb);
        println!("peak memory has grown by {grown} KB");
        assert!(grown < MEMORY_GROWTH_KB_MAX, "{grown} KB");
        let ended = self.server.stop();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}
