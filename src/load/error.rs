//! Why a load test came to no result.

use std::io;
use std::path::PathBuf;

use reqwest::Url;
use thiserror::Error;

/// Why a load test came to no result. Changes that are wrong are a result.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The engine does not answer.
    #[error(
        "no answer from {url}: {reason}; start an engine with `deltaic run examples/load`, or say where it is with --url"
    )]
    NoAnswer {
        /// The engine.
        url: Url,
        /// Why.
        reason: String,
    },
    /// The engine refuses what is in order.
    #[error(
        "the engine answered {status} to {what}: {message}; it has to run the project of `deltaic load --print-project`"
    )]
    Refused {
        /// To what.
        what: &'static str,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// No webhook call came.
    #[error(
        "no change has come to {listen} for {seconds} s: the engine has to run the project of `deltaic load --print-project`, \
         with DELTAIC_LOAD_RECEIVER=http://{listen} and the same DELTAIC_WEBHOOK_SECRET as this program"
    )]
    NoCall {
        /// Where it listens.
        listen: String,
        /// For how long.
        seconds: u64,
    },
    /// The port cannot be had.
    #[error("cannot listen on {listen}: {source}; say where else with --listen")]
    Listen {
        /// Where.
        listen: String,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be drawn.
    #[error("cannot draw {path}: {reason}")]
    Plot {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A thread has panicked, or there is none to be had.
    #[error("the load test failed itself: {0}; that is a defect of it")]
    Own(String),
}

impl LoadError {
    /// Makes it of an error in writing a file.
    pub fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| LoadError::Write { path, source }
    }
}
