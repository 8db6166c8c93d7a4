//! `deltaic hist`: the percentiles of interval logs, and the difference of two of them.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use hdrhistogram::Histogram;
use thiserror::Error;

use crate::load::table::{NS_PER_MS, PERCENTILES, milliseconds};
use crate::load::{LoadError, plot};
use crate::observe::hlog::{ReadError, read};

/// What is asked for.
#[derive(Args, Clone, Debug)]
pub struct HistOptions {
    /// Interval logs that `--hlog` has written. Of two, the difference is shown, too.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Draw the percentile curves into this file (SVG).
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Why there are no percentiles.
#[derive(Debug, Error)]
pub enum HistError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no interval log.
    #[error("{path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// The picture failed.
    #[error(transparent)]
    Plot(#[from] LoadError),
}

type NamedHistograms = Vec<(String, Histogram<u64>)>;

/// Reads the logs; gives what is to be printed.
pub fn run(options: &HistOptions) -> Result<String, HistError> {
    let logs = options.files.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for (path, log) in options.files.iter().zip(&logs) {
        text += &format!("{}\n{}", path.display(), table(log));
    }
    if let [before, after] = logs.as_slice() {
        text += &format!("the second against the first\n{}", difference(before, after));
    }
    if let Some(path) = &options.plot {
        plot::draw(path, &curves(&options.files, logs))?;
    }
    Ok(text)
}

fn load(path: &Path) -> Result<NamedHistograms, HistError> {
    let bytes = std::fs::read(path).map_err(|source| HistError::Read { path: path.to_owned(), source })?;
    read(&bytes).map_err(|source| HistError::Log { path: path.to_owned(), source })
}

/// The curves of all logs; of several, with the name of the file.
fn curves(files: &[PathBuf], logs: Vec<NamedHistograms>) -> NamedHistograms {
    let of = |(path, log): (&PathBuf, NamedHistograms)| {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = move |tag: String| if files.len() > 1 { format!("{file}: {tag}") } else { tag };
        log.into_iter().map(|(tag, histogram)| (name(tag), histogram)).collect::<NamedHistograms>()
    };
    files.iter().zip(logs).flat_map(of).collect()
}

fn head(last: &str) -> String {
    let percentiles: String = PERCENTILES.iter().map(|(name, _)| format!(" {name:>9}")).collect();
    format!("  {:<24}{percentiles} {:>9} {last:>10}\n", "ms", "max")
}

fn table(log: &NamedHistograms) -> String {
    let mut text = head("measured");
    for (tag, histogram) in log {
        text += &format!("  {tag:<24}");
        for (_, percent) in PERCENTILES {
            text += &format!(" {:>9}", milliseconds(histogram.value_at_percentile(percent)));
        }
        text += &format!(" {:>9} {:>10}\n", milliseconds(histogram.max()), histogram.len());
    }
    text
}

/// What the series that both have differ by.
fn difference(before: &NamedHistograms, after: &NamedHistograms) -> String {
    let mut text = head("");
    for (tag, histogram) in after {
        let Some((_, earlier)) = before.iter().find(|(known, _)| known == tag) else { continue };
        text += &format!("  {tag:<24}");
        let at = |percent| (earlier.value_at_percentile(percent), histogram.value_at_percentile(percent));
        for (from, to) in PERCENTILES.map(|(_, percent)| at(percent)).into_iter().chain([at(100.0)]) {
            text += &format!(" {:>9}", format!("{:+.2}", (to as f64 - from as f64) / NS_PER_MS));
        }
        text.push('\n');
    }
    // Lines end where their text does.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::observe::hlog::IntervalLog;
    use crate::observe::latency::{Latency, Stage};

    fn log(folder: &Path, name: &str, factor: u64) -> PathBuf {
        let latency = Arc::new(Latency::new());
        let path = folder.join(name);
        let log = IntervalLog::start(&path, latency.clone()).unwrap();
        (1..=1_000).for_each(|n| latency.record(Stage::Accepted, Duration::from_micros(n * factor)));
        log.stop().unwrap();
        path
    }

    #[test]
    fn two_logs_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let files = vec![log(folder.path(), "a.hlog", 10), log(folder.path(), "b.hlog", 15)];
        let plot = folder.path().join("out.svg");
        let text = run(&HistOptions { files, plot: Some(plot.clone()) }).unwrap();
        insta::assert_snapshot!(text.replace(&format!("{}/", folder.path().display()), ""));
        assert!(std::fs::read_to_string(plot).unwrap().contains("b.hlog: accepted"));
    }

    #[test]
    fn what_is_no_log_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "hello").unwrap();
        let error = run(&HistOptions { files: vec![path], plot: None }).unwrap_err().to_string();
        assert!(error.contains("this is no interval log"), "{error}");
    }
}
