//! The columns of a file, and how each is written. `docs/reference/history.md` says what they mean.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::limits::HISTORY_GROUP_ROWS_MAX;

/// The columns, in their order. Another message is another version of the manifest.
const MESSAGE: &str = "
message event {
    REQUIRED INT64 tick (TIMESTAMP(MILLIS, true));
    OPTIONAL INT32 process (INTEGER(16, false));
    OPTIONAL INT32 position (INTEGER(32, false));
    OPTIONAL INT64 timestamp (TIMESTAMP(MILLIS, true));
    OPTIONAL BYTE_ARRAY source (STRING);
    OPTIONAL BYTE_ARRAY type (STRING);
    OPTIONAL BYTE_ARRAY name (STRING);
    REQUIRED FIXED_LEN_BYTE_ARRAY(16) message;
    REQUIRED GROUP identifiers (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (STRING); } }
    REQUIRED GROUP identifier_hashes (LIST) { REPEATED GROUP list { REQUIRED FIXED_LEN_BYTE_ARRAY(16) element; } }
    OPTIONAL BYTE_ARRAY attributes (STRING);
    OPTIONAL BYTE_ARRAY consent (STRING);
    REQUIRED BYTE_ARRAY event (STRING);
}";

/// Places of the columns that are read back.
pub(super) mod place {
    pub const TICK: usize = 0;
    pub const PROCESS: usize = 1;
    pub const POSITION: usize = 2;
    pub const SOURCE: usize = 4;
    pub const MESSAGE: usize = 7;
    pub const HASHES: usize = 9;
    pub const EVENT: usize = 12;
}

/// How often a filter says of a file that it may hold an identifier that it does not hold. Such a file is read for nothing at an
/// erasure; a tenth as often would cost half as many bytes more.
const FALSE_POSITIVES: f64 = 0.01;

/// Bytes of a dictionary: the hashes of a row group whose events have two identifiers each fit in, where people come back.
const DICTIONARY_BYTES_MAX: usize = 1024 * 1024;

/// The schema of a file.
pub(super) fn schema() -> TypePtr {
    Arc::new(parse_message_type(MESSAGE).expect("the message is right: a test reads it back"))
}

/// How files are written.
pub(super) fn properties() -> Result<WriterProperties, ParquetError> {
    let path = |path: &str| ColumnPath::from(path.split('.').map(str::to_owned).collect::<Vec<_>>());
    let (hashes, identifiers) = (path("identifier_hashes.list.element"), path("identifiers.list.element"));
    let mut properties = WriterProperties::builder()
        // The lowest level: higher ones cost several times as much for a few per cent.
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        // Pages end between such batches; a batch of events of the largest size by default is 8 MB.
        .set_write_batch_size(256)
        .set_column_bloom_filter_fpp(hashes.clone(), FALSE_POSITIVES)
        // All of them with the footer, so that one read gets them.
        .set_bloom_filter_position(BloomFilterPosition::End)
        // It is folded to what is needed.
        .set_column_bloom_filter_max_ndv(hashes, 4 * HISTORY_GROUP_ROWS_MAX as u64)
        // Hashes of messages are all different, and do not compress.
        .set_column_compression(path("message"), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(identifiers, true);
    for whole in ["tick", "position", "timestamp"].map(path) {
        properties = properties
            .set_column_dictionary_enabled(whole.clone(), false)
            .set_column_encoding(whole, Encoding::DELTA_BINARY_PACKED);
    }
    for unique in ["message", "attributes", "event"].map(path) {
        properties = properties.set_column_dictionary_enabled(unique, false);
    }
    // What others skip row groups by. None of them says who somebody is.
    for sought in ["tick", "timestamp", "source", "type", "name"].map(path) {
        properties = properties.set_column_statistics_enabled(sought, EnabledStatistics::Chunk);
    }
    Ok(properties.build())
}

/// Where in a file of `bytes` bytes its filters begin, which stand before its footer.
pub(super) fn tail(metadata: &ParquetMetaData, bytes: usize) -> usize {
    let filters = metadata.row_groups().iter().flat_map(|group| group.columns());
    let first = filters.filter_map(|column| usize::try_from(column.bloom_filter_offset()?).ok()).min();
    first.map_or(bytes, |first| first.min(bytes))
}
