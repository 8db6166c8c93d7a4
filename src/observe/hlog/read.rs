//! Reads interval logs.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use thiserror::Error;

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// A line is wrong.
    #[error(
        "this is no interval log of HdrHistogram (V2): expected what `--hlog` of `deltaic run` or `deltaic load` wrote"
    )]
    Line,
    /// The histogram of a line is wrong.
    #[error(
        "a histogram is damaged, or was written by something else than `deltaic`: expected V2, compressed, in base64"
    )]
    Histogram,
}

/// The series of an interval log in the order of their names, each with all of its intervals added up. Lines without a tag
/// are a series without a name.
pub fn read(log: &[u8]) -> Result<Vec<(String, Histogram<u64>)>, ReadError> {
    let mut series: Vec<(String, Histogram<u64>)> = Vec::new();
    for interval in intervals(log) {
        let (tag, _, histogram) = interval?;
        match series.iter_mut().find(|(known, _)| *known == tag) {
            Some((_, total)) => total.add(histogram).map_err(|_| ReadError::Histogram)?,
            None => series.push((tag, histogram)),
        }
    }
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(series)
}

/// The intervals: tag, time from the beginning of the file, values. A file that was gone on with has a start time for each beginning.
pub(super) fn intervals(log: &[u8]) -> impl Iterator<Item = Result<(String, Duration, Histogram<u64>), ReadError>> {
    let (mut first, mut later) = (None, Duration::ZERO);
    IntervalLogIterator::new(log).filter_map(move |entry| match entry {
        Ok(LogEntry::StartTime(at)) => {
            later = at.saturating_sub(*first.get_or_insert(at));
            None
        }
        Ok(LogEntry::Interval(interval)) => {
            let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
            let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).map_err(|_| ReadError::Histogram);
            let histogram = bytes.and_then(|bytes| {
                let mut histogram: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|_| ReadError::Histogram)?;
                histogram.auto(true);
                Ok(histogram)
            });
            Some(histogram.map(|histogram| (tag, interval.start_timestamp() + later, histogram)))
        }
        Ok(_) => None,
        Err(_) => Some(Err(ReadError::Line)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_log_is_told() {
        assert_eq!(read(b"not a log").unwrap_err(), ReadError::Line);
        assert_eq!(read(b"Tag=a,0.0,1.0,2.0,AAAA\n").unwrap_err(), ReadError::Histogram);
        assert!(read(b"#[Histogram log format version 1.3]\n").unwrap().is_empty());
    }
}
