//! The file of a version: sections with names, then where each is, then where that is.
//!
//! ```text
//! sections … · "TOC!" · count (u32) · { place (u64) · bytes (u64) · bytes of name (u16) · name } …
//! "SFA!" · 1 · 0 · XXH3 of the contents (u128) · their place (u64) · their bytes (u64)
//! tables:      levels (u8) · { runs (u8) · { tables (u32) · { id (u64) · 0 · XXH3 (u128) · sequence number (u64) } … } … } …
//! blob_files:  count (u32) · { id (u64) · 0 · XXH3 (u128) } …
//! ```

/// What belongs to a version: the number of each file, and its checksum.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct KeyspaceVersion {
    pub tables: Vec<(u64, u128)>,
    pub blobs: Vec<(u64, u128)>,
}

impl KeyspaceVersion {
    /// Reads the file; nothing where it is none. What it says of counts is believed no further than it has bytes.
    pub fn read(file: &[u8]) -> Option<Self> {
        const TRAILER: usize = 38;
        let mut trailer = VersionReader(file.get(file.len().checked_sub(TRAILER)?..)?);
        if trailer.take(6)? != b"SFA!\x01\x00" {
            return None;
        }
        trailer.take(16)?;
        let mut contents = VersionReader(file.get(usize::try_from(trailer.u64()?).ok()?..)?);
        if contents.take(4)? != b"TOC!" {
            return None;
        }
        let mut version = KeyspaceVersion::default();
        let (mut has_tables, mut has_blobs) = (false, false);
        for _ in 0..contents.u32()? {
            let (place, bytes) = (usize::try_from(contents.u64()?).ok()?, usize::try_from(contents.u64()?).ok()?);
            let name_bytes = contents.u16()?;
            let name = contents.take(name_bytes.into())?;
            let section = VersionReader(file.get(place..place.checked_add(bytes)?)?);
            match name {
                b"tables" => (version.tables, has_tables) = (tables(section)?, true),
                b"blob_files" => (version.blobs, has_blobs) = (blobs(section)?, true),
                _ => {}
            }
        }
        (has_tables && has_blobs).then_some(version)
    }
}

fn tables(mut section: VersionReader<'_>) -> Option<Vec<(u64, u128)>> {
    let mut tables = Vec::new();
    for _ in 0..section.u8()? {
        for _ in 0..section.u8()? {
            for _ in 0..section.u32()? {
                tables.push(section.file()?);
                section.u64()?;
            }
        }
    }
    Some(tables)
}

fn blobs(mut section: VersionReader<'_>) -> Option<Vec<(u64, u128)>> {
    let count = section.u32()?;
    (0..count).map(|_| section.file()).collect()
}

/// What is left to be read.
struct VersionReader<'a>(&'a [u8]);

impl<'a> VersionReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number and a checksum, whose kind is 0.
    fn file(&mut self) -> Option<(u64, u128)> {
        let number = self.u64()?;
        (self.u8()? == 0).then_some(())?;
        Some((number, self.array().map(u128::from_le_bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A version that the storage wrote, of a keyspace with two tables.
    fn written() -> Vec<u8> {
        let file = "tests/format/v2/data/store/keyspaces/0/v9";
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
    }

    #[test]
    fn the_tables_of_a_version_are_those_that_are_there() {
        let version = KeyspaceVersion::read(&written()).unwrap();
        let mut tables: Vec<u64> = version.tables.iter().map(|(number, _)| *number).collect();
        tables.sort_unstable();
        assert_eq!((tables, version.blobs), (vec![6, 7], vec![]));
    }

    #[test]
    fn a_version_that_was_cut_is_none() {
        let file = written();
        for end in 0..file.len() {
            assert_eq!(KeyspaceVersion::read(&file[..end]), None, "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn changed_bytes_are_no_panic(at: prop::sample::Index, to: u8, more: prop::sample::Index, too: u8) {
            let mut file = written();
            let (at, more) = (at.index(file.len()), more.index(file.len()));
            (file[at], file[more]) = (to, too);
            KeyspaceVersion::read(&file);
        }
    }
}
