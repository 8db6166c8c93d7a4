//! Whose history it is, where it is not in the data folder itself: two engines that wrote to one place would each remove the other's
//! files.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use super::HistoryError;
use crate::log::{read_small, write_whole};

/// What tells the history of a data folder from those of others: the data folder has it, and the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryOwner(String);

impl HistoryOwner {
    /// The file in the data folder.
    pub const FILE: &'static str = "HISTORY-OWNER";

    /// That of a data folder. Where it has none, a new one, which is there with [`HistoryOwner::keep`].
    pub fn of(data: &Path) -> Result<Self, HistoryError> {
        let file = data.join(Self::FILE);
        match read_small(&file) {
            Ok(None) => Ok(Self::new()),
            Ok(Some(content)) => {
                let text = String::from_utf8(content).ok();
                let text = text.as_deref().and_then(|text| text.strip_suffix('\n')).filter(|text| is_one(text));
                text.map(|text| HistoryOwner(text.to_owned())).ok_or_else(|| {
                    let reason = io::Error::new(io::ErrorKind::InvalidData, "expected 32 hexadecimal digits in a line");
                    HistoryError::Owner { file, source: reason }
                })
            }
            Err(source) => Err(HistoryError::Owner { file, source }),
        }
    }

    fn new() -> Self {
        // Each has keys of the system's randomness; it is no secret, only another one each time.
        let part = || RandomState::new().hash_one(std::process::id());
        HistoryOwner(format!("{:016x}{:016x}", part(), part()))
    }

    /// Writes it to the data folder, before the history there has it.
    pub fn keep(&self, data: &Path) -> Result<(), HistoryError> {
        let file: PathBuf = data.join(Self::FILE);
        write_whole(&file, format!("{}\n", self.0).as_bytes()).map_err(|source| HistoryError::Owner { file, source })
    }

    /// As the manifest has it.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Whether it is what one looks like.
pub(super) fn is_one(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
