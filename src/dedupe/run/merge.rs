//! One run of several.

use std::iter::Peekable;
use std::path::Path;

use dataflows::model::Tick;

use super::{IdRunError, Run, RunWriter};

/// Ids that are merged between two looks at what else there is to do.
const IDS_BETWEEN_LOOKS: u64 = 64 * 1024;

/// A merge was stopped before its end: there is no run of it.
#[derive(Debug)]
pub struct Stopped;

/// Writes all ids of `runs` into one run at `path`: each once, as of the latest tick at which it counted, if `stays` says so of
/// that. `goes_on` is asked now and then, and may do something else meanwhile.
pub fn merge<'a>(
    runs: impl Iterator<Item = &'a Run>,
    path: &Path,
    stays: impl Fn(Tick) -> bool,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Result<(), Stopped>, IdRunError> {
    let io = |source| IdRunError::Io { file: path.to_owned(), source };
    let runs: Vec<&Run> = runs.collect();
    let ids_max = runs.iter().map(|run| run.head().records).sum();
    let mut writer = RunWriter::create(path, ids_max).map_err(io)?;
    let mut sources: Vec<_> = runs.iter().map(|run| run.records().peekable()).collect();
    let mut looked_after = 0;
    while let Some(id) = sources.iter_mut().filter_map(least).min() {
        let mut latest = Tick::default();
        for source in &mut sources {
            while let Some(record) = source.next_if(|record| record.as_ref().map_or(true, |(other, _)| *other <= id)) {
                latest = latest.max(record?.1);
            }
        }
        if stays(latest) {
            writer.push(id, latest).map_err(io)?;
        }
        looked_after += 1;
        if looked_after == IDS_BETWEEN_LOOKS {
            looked_after = 0;
            if !goes_on() {
                return Ok(Err(Stopped));
            }
        }
    }
    writer.finish().map_err(io)?;
    Ok(Ok(()))
}

/// The next id of a source; of one that failed the least of all, so that its error comes out.
fn least(source: &mut Peekable<impl Iterator<Item = Result<(u128, Tick), IdRunError>>>) -> Option<u128> {
    source.peek().map(|record| record.as_ref().map_or(0, |(id, _)| *id))
}
