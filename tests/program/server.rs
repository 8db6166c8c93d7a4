//! `deltaic run`, and HTTP to it.

use std::path::Path;
use std::time::{Duration, Instant};

use deltaic::egress::install_crypto;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::{DEADLINE, EndedProgram, Program};

/// The write key of the source in the projects of tests.
pub const WRITE_KEY: &str = "web-key";

/// The read token of the projects of tests.
pub const READ_TOKEN: &str = "read-token";

/// A running server.
pub struct ServerProcess {
    program: Program,
    client: Client,
    url: String,
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The text.
    pub body: String,
}

impl HttpAnswer {
    /// The body, which is JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The token of a write that was taken.
    #[track_caller]
    pub fn token(&self) -> u64 {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["token"].as_u64().unwrap_or_else(|| panic!("no token: {self:?}"))
    }

    /// The code of a problem; nothing where it is none.
    pub fn problem_code(&self) -> Option<String> {
        serde_json::from_str::<Value>(&self.body).ok()?["code"].as_str().map(str::to_owned)
    }

    /// The status and the code of a problem.
    #[track_caller]
    pub fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl ServerProcess {
    /// Starts a server on the project of a folder; comes back when it is ready.
    pub async fn start(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let server = Self::begin(folder, arguments, environment);
        server.ready().await
    }

    /// Starts a server of a cluster; it becomes ready with the others.
    pub fn begin(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = folder.to_str().expect("folders of tests have usual names");
        let arguments = [&["run", folder, "--listen", "127.0.0.1:0"], arguments].concat();
        Self::of(Program::start(&arguments, environment))
    }

    /// The server that a program becomes.
    pub fn of(program: Program) -> Self {
        install_crypto();
        let client = Client::builder().tls_certs_only([]).timeout(DEADLINE).build().unwrap();
        ServerProcess { program, client, url: String::new() }
    }

    /// Waits until the server says where it listens.
    pub fn listens(mut self) -> Self {
        let line = tokio::task::block_in_place(|| self.program.line());
        let (_, url) = line.split_once(" listens on ").expect("it says where");
        self.url = url.to_owned();
        self
    }

    /// Waits until the server is ready.
    pub async fn ready(self) -> Self {
        let server = self.listens();
        let started = Instant::now();
        while server.get("/readyz").await.status != 200 {
            assert!(started.elapsed() < DEADLINE, "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request without any key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Sends a request; nothing where the server is gone.
    pub async fn try_send(request: RequestBuilder) -> Option<HttpAnswer> {
        let response = request.send().await.ok()?;
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Some(HttpAnswer { status: response.status().as_u16(), retry_after, body: response.text().await.ok()? })
    }

    /// Reads with the read token.
    pub async fn get(&self, path: &str) -> HttpAnswer {
        Self::try_send(self.request(Method::GET, path).bearer_auth(READ_TOKEN)).await.expect("the server is there")
    }

    /// A write with the key of the source.
    pub fn write(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).basic_auth(WRITE_KEY, Some("")).body(body.to_string())
    }

    /// Writes with the key of the source.
    pub async fn post(&self, path: &str, body: &Value) -> HttpAnswer {
        Self::try_send(self.write(path, body)).await.expect("the server is there")
    }

    /// Writes events as one batch that is taken as a whole; gives the token.
    #[track_caller]
    pub fn take(&self, events: &[Value]) -> impl Future<Output = u64> {
        let request = self.write("/v1/batch", &serde_json::json!({ "batch": events }));
        let count = events.len();
        async move {
            let answer = Self::try_send(request).await.expect("the server is there");
            assert_eq!(answer.json()["accepted"], count, "{answer:?}");
            answer.token()
        }
    }

    /// The profile of an identifier, as of `after` or later.
    pub async fn profile(&self, identifier: &str, after: u64) -> Value {
        self.profile_as_of(identifier, after).await.1
    }

    /// The same, with the tick as of which it is.
    pub async fn profile_as_of(&self, identifier: &str, after: u64) -> (i64, Value) {
        let answer = self.get(&format!("/v1/profiles/{identifier}?after={after}&wait_ms=30000")).await;
        let body = answer.json();
        assert!(answer.status == 200 && body["as_of"].as_u64() >= Some(after), "{answer:?}");
        (body["as_of"].as_i64().expect("it says as of when"), body["profile"].clone())
    }

    /// The size of an audience, as of `after` or later.
    pub async fn size(&self, audience: &str, after: u64) -> u64 {
        let answer = self.get(&format!("/v1/audiences/{audience}?after={after}&wait_ms=30000")).await;
        answer.json()["size"].as_u64().unwrap_or_else(|| panic!("no size: {answer:?}"))
    }

    /// The program that it is.
    pub fn program(self) -> Program {
        self.program
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// The most memory that it has had, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.program.memory_peak()
    }

    /// Waits until it has said this on standard error.
    pub fn says(&self, text: &str) {
        tokio::task::block_in_place(|| self.program.says(text));
    }

    /// What it has said on standard error so far.
    pub fn messages(&self) -> String {
        self.program.messages()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.program.terminate();
    }

    /// Sends the signal of this name.
    pub fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    /// Kills it, as a power cut would.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for the end, whatever it is.
    pub fn failed(self) -> EndedProgram {
        tokio::task::block_in_place(|| self.program.end())
    }

    /// Waits for the end, which is to be a good one.
    pub fn end(self) -> EndedProgram {
        let ended = tokio::task::block_in_place(|| self.program.end());
        assert!(ended.status.success(), "{}", ended.stderr);
        ended
    }

    /// Stops the server.
    pub fn stop(self) -> EndedProgram {
        self.terminate();
        self.end()
    }
}
