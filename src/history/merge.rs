//! One file of several: row groups are copied as they are, so it costs no more than reading and writing them.

use std::ops::Range;

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::writer::SerializedFileWriter;

use super::manifest::{Content, DataFile, day};
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
pub(super) fn merge(files: &[DataFile], contents: &[Bytes]) -> Result<(DataFile, Content), HistoryError> {
    let (first, last) = (&files[0], &files[files.len() - 1]);
    let content = concatenated(contents).map_err(|error| HistoryError::write(first.first, &error))?;
    let [rows, unread] =
        [|file: &DataFile| file.rows, |file: &DataFile| file.unread].map(|of| files.iter().map(of).sum());
    let merged = DataFile::new((first.first, last.last), rows, unread, first.key.clone(), &content);
    Ok((merged, content))
}

fn concatenated(contents: &[Bytes]) -> Result<Content, ParquetError> {
    let properties = schema::properties()?.into();
    let mut file = SerializedFileWriter::new(Vec::new(), schema::schema(), properties)?;
    for content in contents {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(content)?;
        for group in metadata.row_groups() {
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
    Ok(Content { tail: schema::tail(&metadata, whole.len()), whole: whole.into() })
}
