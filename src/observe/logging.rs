//! The log of the process, on standard error: lines that wait for nobody.
//!
//! Whoever reads the log may be slow, stalled or gone. A thread of its own writes the lines; what does not fit into its queue is
//! dropped and counted, and what cannot be written is lost. So nothing that the engine does ever waits for its log, or ends for it.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::sync::OnceLock;

use clap::ValueEnum;
use thiserror::Error;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::ending::is_of_broken_connection;
use crate::limits::LOG_LINES_WAITING_MAX;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged is not what was wished.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{directive}` is no level of the log: expected error, warn, info, debug, trace or off, or TARGET=LEVEL, several with commas"
)]
pub struct FilterError {
    /// The part that is wrong.
    directive: String,
}

/// The log, as long as this is there: what waits when it goes has a second to be written.
pub struct Logging {
    lines: NonBlocking,
    put: Box<dyn Fn(EnvFilter) + Send + Sync>,
    _writer: WorkerGuard,
}

/// There is one log in a process.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// The lines that were dropped since the start, because whoever reads the log does not keep up.
pub fn lines_dropped() -> u64 {
    DROPPED.get().map_or(0, |dropped| dropped.dropped_lines() as u64)
}

/// What is to be logged, from what `DELTAIC_LOG` says; `info` where it says nothing.
pub fn filter(directives: Option<&str>) -> Result<EnvFilter, FilterError> {
    let directives = directives.map(str::trim).filter(|text| !text.is_empty()).unwrap_or("info");
    let wrong = |directive: &str| FilterError { directive: directive.to_owned() };
    for directive in directives.split(',').map(str::trim) {
        // A single word would be a target of which everything is logged, and nothing else: nobody means that.
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if level.is_empty() || level.parse::<LevelFilter>().is_err() {
            return Err(wrong(directive));
        }
    }
    directives.parse().map_err(|_| wrong(directives))
}

impl Logging {
    /// Begins to log. To be called once in a process.
    pub fn start(filter: EnvFilter, format: LogFormat, colour: bool) -> Self {
        let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_LINES_WAITING_MAX);
        let (lines, writer) = builder.thread_name("log").finish(std::io::stderr());
        _ = DROPPED.set(lines.error_counter());
        let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(colour).with_env_filter(filter);
        // It fails only where there is no log any more.
        let put: Box<dyn Fn(EnvFilter) + Send + Sync> = match format {
            LogFormat::Text => {
                let subscriber = subscriber.with_filter_reloading();
                let handle = subscriber.reload_handle();
                subscriber.init();
                Box::new(move |filter| _ = handle.reload(filter))
            }
            LogFormat::Json => {
                let subscriber = subscriber.json().with_filter_reloading();
                let handle = subscriber.reload_handle();
                subscriber.init();
                Box::new(move |filter| _ = handle.reload(filter))
            }
        };
        std::panic::set_hook(Box::new(|panic| {
            if let Some(said) = panic.payload_as_str().filter(|said| is_of_broken_connection(said)) {
                return tracing::warn!("between the workers of the cluster: {said}");
            }
            let trace = Backtrace::capture();
            match trace.status() {
                BacktraceStatus::Captured => tracing::error!("a mistake of the program: {panic}\n{trace}"),
                _ => tracing::error!("a mistake of the program: {panic}"),
            }
        }));
        Logging { lines, put, _writer: writer }
    }

    /// Logs what these say from now on.
    pub fn follow(&self, filter: EnvFilter) {
        (self.put)(filter);
    }

    /// Says something to whoever started the process; nobody need listen.
    pub fn say(&self, text: &str) {
        _ = self.lines.clone().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_logged_is_said_by_levels() {
        for (directives, expected) in [
            (None, "info"),
            (Some(""), "info"),
            (Some(" warn "), "warn"),
            (Some("OFF"), "off"),
            (Some("info,deltaic::egress=debug"), "deltaic::egress=debug,info"),
        ] {
            assert_eq!(filter(directives).map(|filter| filter.to_string()), Ok(expected.to_owned()), "{directives:?}");
        }
        for wrong in ["json", "deltaic", "info,egress", "deltaic=loud", "info,", "="] {
            let error = filter(Some(wrong)).map(|filter| filter.to_string()).expect_err(wrong);
            assert!(error.to_string().contains("is no level of the log"), "{wrong}: {error}");
        }
    }
}
