//! What is at the other end of destinations of the type `lines`: takes calls, and answers as a test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::program::DEADLINE;

/// A call as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedCall {
    /// All of its bytes.
    pub text: String,
    /// What it was answered.
    pub answer: LineAnswer,
}

impl CollectedCall {
    /// The id.
    pub fn id(&self) -> &str {
        self.text.split(' ').next().unwrap()
    }

    /// The records.
    pub fn records(&self) -> Vec<(&str, &str)> {
        self.text.lines().skip(1).map(|line| line.split_once('\t').unwrap()).collect()
    }
}

/// How a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineAnswer {
    /// With these words.
    Says(&'static str),
    /// The connection ends without one.
    HangsUp,
    /// Never.
    Never,
}

/// Takes calls, for as long as it is there.
pub struct Collector {
    /// Where it is.
    pub address: String,
    answers: Arc<Mutex<VecDeque<LineAnswer>>>,
    calls: watch::Receiver<Vec<CollectedCall>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (told, calls) = watch::channel(Vec::new());
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::default();
        let scripted = answers.clone();
        tokio::spawn(async move {
            let told = Arc::new(told);
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, scripted.clone(), told.clone()));
            }
        });
        Collector { address, answers, calls }
    }

    /// The next calls are answered so; those after them, and those without one, with `ok`.
    pub fn answer(&self, next: impl IntoIterator<Item = LineAnswer>) {
        self.answers.lock().unwrap().extend(next);
    }

    /// All calls, once there are so many.
    pub async fn calls(&self, count: usize) -> Vec<CollectedCall> {
        let mut calls = self.calls.clone();
        let there = calls.wait_for(|calls| calls.len() >= count);
        timeout(DEADLINE, there).await.unwrap_or_else(|_| panic!("there never are {count} calls")).unwrap().clone()
    }
}

async fn take(
    stream: TcpStream,
    answers: Arc<Mutex<VecDeque<LineAnswer>>>,
    told: Arc<watch::Sender<Vec<CollectedCall>>>,
) {
    let mut stream = BufReader::new(stream);
    let mut text = String::new();
    if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
        return;
    }
    let records: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
    for _ in 0..records {
        stream.read_line(&mut text).await.unwrap();
    }
    let answer = answers.lock().unwrap().pop_front().unwrap_or(LineAnswer::Says("ok"));
    told.send_modify(|calls| calls.push(CollectedCall { text, answer }));
    match answer {
        LineAnswer::Says(words) => _ = stream.write_all(format!("{words}\n").as_bytes()).await,
        LineAnswer::HangsUp => {}
        // Until the other end is gone.
        LineAnswer::Never => _ = stream.read_line(&mut String::new()).await,
    }
}
