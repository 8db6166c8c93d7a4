//! One file of several, or of a part of one: row groups are copied as they are, so it costs no more than reading and writing them.

use std::ops::Range;

use bytes::Bytes;
use dataflows::model::Tick;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use parquet::file::writer::SerializedFileWriter;

use super::manifest::{DataFile, FileContent, day};
use super::schema::place;
use super::{HistoryError, schema};
use crate::limits::{HISTORY_FILE_BYTES, HISTORY_MERGED_FILES};

/// Which of `files` are to be made one: the last ones of a day, where there are many that are one file's worth at most. Each event
/// is copied a few times at most, since what was merged to a large file is not again.
pub(super) fn due(files: &[DataFile]) -> Option<Range<usize>> {
    let last = files.last()?;
    let mut bytes = 0;
    let fits = |file: &&DataFile| {
        bytes += file.bytes;
        bytes <= HISTORY_FILE_BYTES as u64 && day(file.first) == day(last.first) && file.key == last.key
    };
    let count = files.iter().rev().take_while(fits).count();
    (count >= HISTORY_MERGED_FILES).then(|| files.len() - count..files.len())
}

/// The file that has all that `files` have, which are sorted and have these contents.
pub(super) fn merge(files: &[DataFile], contents: &[Bytes]) -> Result<(DataFile, FileContent), HistoryError> {
    let (first, last) = (&files[0], &files[files.len() - 1]);
    let content = concatenated(contents, |_| true).map_err(|error| HistoryError::write(first.first, &error))?;
    let [rows, unread] =
        [|file: &DataFile| file.rows, |file: &DataFile| file.unread].map(|of| files.iter().map(of).sum());
    let merged = DataFile::new((first.first, last.last), rows, unread, first.key.clone(), &content);
    Ok((merged, content))
}

/// The file that has of another one, with this content, what came up to `until`: nothing where all of it came later. A checkpoint ends
/// a row group, so none is of both sides of one.
pub(super) fn cut(
    file: &DataFile,
    content: &Bytes,
    until: Tick,
) -> Result<Option<(DataFile, FileContent)>, HistoryError> {
    let failed = |error| HistoryError::write(file.first, &error);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(content).map_err(failed)?;
    let stays: Vec<(Tick, u64)> = metadata
        .row_groups()
        .iter()
        .map(|group| (last_of(group).unwrap_or(Tick::MAX), group.num_rows().cast_unsigned()))
        .take_while(|(last, _)| *last <= until)
        .collect();
    let Some((last, _)) = stays.last().copied() else { return Ok(None) };
    let content = concatenated(std::slice::from_ref(content), |place| place < stays.len()).map_err(failed)?;
    let rows = stays.iter().map(|(_, rows)| rows).sum();
    // Which of them nobody could read is not known: some, if any were.
    let new = DataFile::new((file.first, last), rows, file.unread.min(rows), file.key.clone(), &content);
    Ok(Some((DataFile { copy: file.copy.saturating_add(1), ..new }, content)))
}

/// The last tick of a row group.
fn last_of(group: &RowGroupMetaData) -> Option<Tick> {
    match group.column(place::TICK).statistics()? {
        Statistics::Int64(ticks) => ticks.max_opt().map(|last| Tick::from_ms(last.cast_unsigned())),
        _ => None,
    }
}

/// The row groups of files, one behind the other, as far as `takes` says so of their place.
fn concatenated(contents: &[Bytes], takes: impl Fn(usize) -> bool) -> Result<FileContent, ParquetError> {
    let properties = schema::properties()?.into();
    let mut file = SerializedFileWriter::new(Vec::new(), schema::schema(), properties)?;
    for content in contents {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(content)?;
        for (_, group) in metadata.row_groups().iter().enumerate().filter(|(place, _)| takes(*place)) {
            let mut copy = file.next_row_group()?;
            for column in group.columns() {
                let close = ColumnCloseResult {
                    bytes_written: column.compressed_size().cast_unsigned(),
                    rows_written: group.num_rows().cast_unsigned(),
                    metadata: column.clone(),
                    bloom_filter: Sbbf::read_from_column_chunk(column, content)?,
                    column_index: None,
                    offset_index: None,
                };
                copy.append_column(content, close)?;
            }
            copy.close()?;
        }
    }
    let metadata = file.finish()?;
    let whole = std::mem::take(file.inner_mut());
    Ok(FileContent { tail: schema::tail(&metadata, whole.len()), whole: whole.into() })
}
