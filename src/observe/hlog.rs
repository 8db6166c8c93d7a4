//! `deltaic run --hlog FILE`: latencies as an HdrHistogram interval log, for the public tools that read these
//! (HistogramLogAnalyzer, hdr-plot, the HdrHistogram libraries).
//!
//! One line per stage and second, tagged with the stage's name; values are nanoseconds. A second in which a stage was
//! not reached has no line for it.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};

use super::latency::{Latency, Stage, Total};

/// The time between lines of a stage.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the column "maximum" is divided by: nanoseconds become milliseconds, as the tools expect.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// An interval log that is being written.
#[derive(Debug)]
pub struct IntervalLog {
    stop: mpsc::Sender<()>,
    writer: JoinHandle<io::Result<()>>,
}

impl IntervalLog {
    /// Creates the file (an existing one is overwritten) and begins to write every second, on a thread of its own.
    pub fn start(path: &Path, latency: Arc<Latency>) -> io::Result<Self> {
        let file = LineWriter::new(File::create(path)?);
        let (stop, stopped) = mpsc::channel();
        let writer = thread::Builder::new()
            .name("hlog".into())
            .spawn(move || write_until(file, &latency, INTERVAL, &stopped))?;
        Ok(IntervalLog { stop, writer })
    }

    /// Writes what happened since the last line and closes the file. Tells of an error in writing, also an earlier one.
    pub fn stop(self) -> io::Result<()> {
        drop(self.stop);
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer of the interval log panicked")))
    }
}

/// Writes an interval every `interval` until the other end of `stopped` is gone, then the last one.
fn write_until(
    mut out: impl Write,
    latency: &Latency,
    interval: Duration,
    stopped: &mpsc::Receiver<()>,
) -> io::Result<()> {
    let (began_at, began) = (SystemTime::now(), Instant::now());
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(concat!("[Logged with deltaic ", env!("CARGO_PKG_VERSION"), ", times in nanoseconds]"))
        .with_start_time(began_at)
        .with_base_time(began_at)
        .with_max_value_divisor(MAX_VALUE_DIVISOR)
        .begin_log_with(&mut out, &mut serializer)?;

    let mut written = Stage::ALL.map(|_| Total::new().histogram);
    let mut from = Duration::ZERO;
    loop {
        // Measured from the beginning, so that lines do not drift.
        let next = from + interval;
        let stopping = stopped.recv_timeout(next.saturating_sub(began.elapsed())) != Err(RecvTimeoutError::Timeout);
        let to = began.elapsed();
        write_interval(&mut log, latency, &mut written, from, to)?;
        if stopping {
            return Ok(());
        }
        from = to;
    }
}

/// Writes what was recorded since `written`, and remembers it there.
fn write_interval<W: Write>(
    log: &mut IntervalLogWriter<'_, '_, W, V2DeflateSerializer>,
    latency: &Latency,
    written: &mut [Histogram<u64>; Stage::ALL.len()],
    from: Duration,
    to: Duration,
) -> io::Result<()> {
    for (stage, written) in Stage::ALL.into_iter().zip(written) {
        let total = latency.total(stage).histogram;
        if total.len() == written.len() {
            continue;
        }
        let mut interval = total.clone();
        interval.subtract(&*written).map_err(io::Error::other)?;
        log.write_histogram(&interval, from, to - from, Tag::new(stage.name()))
            .map_err(|error| io::Error::other(error.to_string()))?;
        *written = total;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    /// The intervals of a log: tag, seconds from the base time, values.
    fn read(log: &[u8]) -> Vec<(String, Duration, Histogram<u64>)> {
        IntervalLogIterator::new(log)
            .map(|entry| entry.expect("the log is well formed"))
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .map(|interval| {
                let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).unwrap();
                let histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                (interval.tag().unwrap().to_string(), interval.start_timestamp(), histogram)
            })
            .collect()
    }

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.hlog");
        let latency = Arc::new(Latency::new());
        let log = IntervalLog::start(&path, latency.clone()).unwrap();
        for ms in 1..=100 {
            latency.record(Stage::Accepted, Duration::from_millis(ms));
            latency.record(Stage::Acknowledged, Duration::from_millis(2 * ms));
        }
        log.stop().unwrap();

        let intervals = read(&std::fs::read(&path).unwrap());
        for (tag, ms_max) in [("accepted", 100), ("acknowledged", 200)] {
            let of_stage: Vec<_> = intervals.iter().filter(|(stage, ..)| stage == tag).collect();
            assert_eq!(of_stage.iter().map(|(.., histogram)| histogram.len()).sum::<u64>(), 100, "{tag}");
            let max = of_stage.iter().map(|(.., histogram)| histogram.max()).max().unwrap();
            assert!(latency.total(Stage::Accepted).histogram.equivalent(max, ms_max * 1_000_000), "{tag}: {max}");
        }
        assert!(intervals.iter().all(|(tag, ..)| ["accepted", "acknowledged"].contains(&tag.as_str())));
    }

    #[test]
    fn each_latency_is_in_one_interval_only() {
        let latency = Latency::new();
        let mut out = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut out, &mut serializer).unwrap();
        let mut written = Stage::ALL.map(|_| Total::new().histogram);
        for second in 0..3 {
            latency.record(Stage::Parsed, Duration::from_millis(10 - second));
            let [from, to] = [second, second + 1].map(Duration::from_secs);
            write_interval(&mut log, &latency, &mut written, from, to).unwrap();
        }
        let seconds: Vec<_> = read(&out)
            .into_iter()
            .map(|(_, from, histogram)| {
                let ms = (histogram.max() as f64 / 1e6).round();
                (from.as_secs(), histogram.len(), ms)
            })
            .collect();
        assert_eq!(seconds, [(0, 1, 10.0), (1, 1, 9.0), (2, 1, 8.0)]);
    }
}
