//! An engine in this process, as `deltaic run` has it, with everything around it.

#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of this")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use deltaic::engine::Topology;
use deltaic::observe::introspection::Operator;
use deltaic::observe::introspection::Report;
use deltaic::project::Project;
use deltaic::serve::Server;

/// How it is to run.
#[derive(Clone, Debug)]
pub struct EngineSetup {
    /// Worker threads.
    pub workers: usize,
    /// The data folder; without one, all is in memory.
    pub data: Option<PathBuf>,
    /// A file for its own histograms.
    pub hlog: Option<PathBuf>,
}

impl EngineSetup {
    /// In memory.
    pub fn in_memory(workers: u64) -> Self {
        EngineSetup { workers: workers as usize, data: None, hlog: None }
    }
}

/// A running engine.
pub struct BenchEngine {
    /// Where it answers, without a path.
    pub url: String,
    /// For whoever sends to it.
    pub client: reqwest::Client,
    server: Server,
    /// When it was started.
    pub began: Instant,
}

impl BenchEngine {
    /// Starts it, and waits until it listens.
    pub async fn start(project: Project, how: EngineSetup) -> Self {
        let began = Instant::now();
        deltaic::memory::without_huge_pages();
        let server = Server::builder(project)
            .topology(Topology::local(how.workers))
            .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .data(how.data)
            .hlog(how.hlog)
            .start()
            .await
            .expect("the engine starts");
        let url = format!("http://{}", server.address());
        BenchEngine { url, client: reqwest::Client::new(), server, began }
    }

    /// Waits until it takes events in; gives how long that took from its start.
    pub async fn ready(&self) -> Duration {
        loop {
            let ready = self.client.get(format!("{}/readyz", self.url)).send().await;
            if ready.is_ok_and(|answer| answer.status().is_success()) {
                return self.began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A batch call with this body, not sent yet.
    pub fn batch(&self, body: String) -> reqwest::RequestBuilder {
        self.client.post(format!("{}/v1/batch", self.url)).basic_auth("bench", Some("")).body(body)
    }

    /// A read, not sent yet.
    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth("bench-read")
    }

    /// Sends a batch, again while the engine says that it is behind; gives the tick.
    pub async fn send_surely(&self, body: String) -> u64 {
        loop {
            let answer = self.batch(body.clone()).send().await.expect("the engine is there");
            if answer.status().is_success() {
                let text = answer.text().await.expect("it is a text");
                let answer: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
                return answer["token"].as_u64().expect("a receipt has its tick");
            }
            assert_eq!(answer.status(), 429, "it can only be behind");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until all before and at `tick` is through the dataflow.
    pub async fn complete(&self, tick: u64) {
        loop {
            let answer = self.get(&format!("/v1/audiences?after={tick}&wait_ms=30000")).send().await;
            let status = answer.expect("the engine is there").status();
            if status.is_success() {
                return;
            }
            assert_eq!(status, 504, "it can only take its time");
        }
    }

    /// What its operators did.
    pub async fn operators(&self) -> Vec<Operator> {
        let ask = self.client.get(format!("{}/v1/dataflow", self.url)).bearer_auth("bench-admin");
        let text = ask.send().await.expect("the engine is there").text().await.expect("it is a text");
        let report: Report = serde_json::from_str(&text).expect("it is a report");
        report.figures.operators
    }

    /// How many rows its arrangements have.
    pub async fn rows(&self) -> u64 {
        let operators = self.operators().await;
        operators.iter().filter_map(|operator| operator.arrangement.as_ref()).map(|held| held.records).sum()
    }

    /// Stops it, in good order.
    pub async fn stop(self) {
        self.server.stop().await.expect("the engine stops well");
    }
}
