//! Latencies as an HdrHistogram interval log, for the public tools that read these (HistogramLogAnalyzer, hdr-plot, the
//! HdrHistogram libraries): of `deltaic run --hlog FILE` and `deltaic load --hlog FILE`. [`read`] reads them again.
//!
//! One line per series and second, tagged with the name of the series, such as that of a stage; values are nanoseconds. A
//! second in which nothing was recorded has no line.

use std::fs::File;
use std::io::{self, LineWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriter, IntervalLogWriterBuilder, Tag};

use super::latency::{Latency, Stage, Total};
use crate::ending::{Ending, Exit, report, vital};
use crate::faults;

mod read;

pub use read::{ReadError, read};

/// The time between lines of a series.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the column "maximum" is divided by: nanoseconds become milliseconds, as the tools expect.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// An interval log that is being written.
#[derive(Debug)]
pub struct IntervalLog {
    stop: mpsc::Sender<()>,
    writer: JoinHandle<io::Result<()>>,
}

/// Something that is recorded over and over.
pub struct HistogramSeries {
    /// Its name: without spaces and commas.
    pub tag: String,
    /// All that was recorded so far, in nanoseconds.
    pub total: Box<dyn Fn() -> Histogram<u64> + Send>,
}

impl IntervalLog {
    /// Opens the file, at whose end it goes on, and begins to write every second, on a thread of its own. What was there stays:
    /// each start has a head with its own time, which readers take for the lines after it.
    pub fn start(path: &Path, latency: Arc<Latency>) -> io::Result<Self> {
        Self::of(path, stages(&latency))
    }

    /// The same for other series than the stages of the engine.
    pub fn of(path: &Path, series: Vec<HistogramSeries>) -> io::Result<Self> {
        let file = LineWriter::new(at_the_end_of(path)?);
        let (stop, stopped) = mpsc::channel();
        let writer = thread::Builder::new().name("hlog".into()).spawn(move || {
            let was_to_end = |written: &io::Result<()>| match written {
                Ok(()) => stopped.try_recv() == Err(TryRecvError::Disconnected),
                Err(error) => {
                    report(Ending::at_once(Exit::Wrong, format!("the interval log cannot be written: {error}")));
                    true
                }
            };
            vital("the writer of the interval log", was_to_end, || write_until(file, &series, INTERVAL, &stopped))
        })?;
        Ok(IntervalLog { stop, writer })
    }

    /// Writes what happened since the last line and closes the file. Tells of an error in writing, also an earlier one.
    pub fn stop(self) -> io::Result<()> {
        drop(self.stop);
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer of the interval log panicked")))
    }
}

/// Opens a file to go on at its end, on a line of its own: who wrote the last one may have been killed meanwhile.
fn at_the_end_of(path: &Path) -> io::Result<File> {
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    // What is no file, such as a pipe, has no length.
    let bytes = file.metadata().map_or(0, |about| about.len());
    if bytes > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(bytes - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// The stages of the engine.
fn stages(latency: &Arc<Latency>) -> Vec<HistogramSeries> {
    let series = |stage: Stage| {
        let latency = latency.clone();
        HistogramSeries { tag: stage.name().to_owned(), total: Box::new(move || latency.total(stage).histogram) }
    };
    Stage::ALL.map(series).into()
}

/// Writes an interval every `interval` until the other end of `stopped` is gone, then the last one.
fn write_until(
    mut out: impl Write,
    series: &[HistogramSeries],
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

    let mut written: Vec<_> = series.iter().map(|_| Total::new().histogram).collect();
    let mut from = Duration::ZERO;
    loop {
        if faults::point("hlog") {
            return Ok(());
        }
        // Measured from the beginning, so that lines do not drift.
        let next = from + interval;
        let stopping = stopped.recv_timeout(next.saturating_sub(began.elapsed())) != Err(RecvTimeoutError::Timeout);
        let to = began.elapsed();
        write_interval(&mut log, series, &mut written, from, to)?;
        if stopping {
            return Ok(());
        }
        from = to;
    }
}

/// Writes what was recorded since `written`, and remembers it there.
fn write_interval<W: Write>(
    log: &mut IntervalLogWriter<'_, '_, W, V2DeflateSerializer>,
    series: &[HistogramSeries],
    written: &mut [Histogram<u64>],
    from: Duration,
    to: Duration,
) -> io::Result<()> {
    for (HistogramSeries { tag, total }, written) in series.iter().zip(written) {
        let total = total();
        if total.len() == written.len() {
            continue;
        }
        let mut interval = total.clone();
        interval.subtract(&*written).map_err(io::Error::other)?;
        log.write_histogram(&interval, from, to - from, Tag::new(tag))
            .map_err(|error| io::Error::other(error.to_string()))?;
        *written = total;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read::intervals;
    use super::*;

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

        let log = std::fs::read(&path).unwrap();
        let intervals: Vec<_> = intervals(&log).map(Result::unwrap).collect();
        for (tag, ms_max) in [("accepted", 100), ("acknowledged", 200)] {
            let of_stage: Vec<_> = intervals.iter().filter(|(stage, ..)| stage == tag).collect();
            assert_eq!(of_stage.iter().map(|(.., histogram)| histogram.len()).sum::<u64>(), 100, "{tag}");
            let max = of_stage.iter().map(|(.., histogram)| histogram.max()).max().unwrap();
            assert!(latency.total(Stage::Accepted).histogram.equivalent(max, ms_max * 1_000_000), "{tag}: {max}");
        }
        let tags: Vec<_> = read(&log).unwrap().into_iter().map(|(tag, total)| (tag, total.len())).collect();
        assert_eq!(tags, [("accepted".to_owned(), 100), ("acknowledged".to_owned(), 100)]);
    }

    /// A restart takes nothing away, nor does the end of a process in the middle of a line.
    #[test]
    fn what_was_written_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latency.hlog");
        for run in 1..=3u64 {
            let latency = Arc::new(Latency::new());
            let log = IntervalLog::start(&path, latency.clone()).unwrap();
            (0..run).for_each(|_| latency.record(Stage::Accepted, Duration::from_millis(run)));
            log.stop().unwrap();
            if run == 2 {
                let mut file = File::options().append(true).open(&path).unwrap();
                file.write_all(b"#cut").unwrap();
            }
        }
        let log = std::fs::read(&path).unwrap();
        let counts: Vec<u64> = intervals(&log).map(|interval| interval.unwrap().2.len()).collect();
        assert_eq!(counts, [1, 2, 3]);
        assert_eq!(String::from_utf8(log).unwrap().matches("#[StartTime: ").count(), 3);
    }

    /// Each start has its own time: what it wrote is so much later than what the first one did.
    #[test]
    fn times_go_on_where_a_file_does() {
        let mut file = Vec::new();
        for start in [1_000u64, 1_060] {
            let mut serializer = V2DeflateSerializer::new();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(start);
            let mut log = IntervalLogWriterBuilder::new();
            let mut log =
                log.with_start_time(at).with_base_time(at).begin_log_with(&mut file, &mut serializer).unwrap();
            let mut histogram = Total::new().histogram;
            histogram.record(5).unwrap();
            log.write_histogram(&histogram, Duration::from_secs(2), Duration::from_secs(1), Tag::new("a")).unwrap();
        }
        let from: Vec<u64> = intervals(&file).map(|interval| interval.unwrap().1.as_secs()).collect();
        assert_eq!(from, [2, 62]);
    }

    #[test]
    fn each_latency_is_in_one_interval_only() {
        let latency = Arc::new(Latency::new());
        let series = stages(&latency);
        let mut out = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut out, &mut serializer).unwrap();
        let mut written: Vec<_> = series.iter().map(|_| Total::new().histogram).collect();
        for second in 0..3 {
            latency.record(Stage::Parsed, Duration::from_millis(10 - second));
            let [from, to] = [second, second + 1].map(Duration::from_secs);
            write_interval(&mut log, &series, &mut written, from, to).unwrap();
        }
        let seconds: Vec<_> = intervals(&out)
            .map(Result::unwrap)
            .map(|(_, from, histogram)| {
                let ms = (histogram.max() as f64 / 1e6).round();
                (from.as_secs(), histogram.len(), ms)
            })
            .collect();
        assert_eq!(seconds, [(0, 1, 10.0), (1, 1, 9.0), (2, 1, 8.0)]);
    }
}
