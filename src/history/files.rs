//! Where a history is: files by name, each written whole, and a manifest that is replaced whole.

use std::fmt::Debug;
use std::io;

use bytes::Bytes;

/// Where a history is. All that is written is safe when the call returns.
pub trait HistoryFiles: Debug + Send + Sync {
    /// How it is called in messages.
    fn title(&self) -> String;

    /// The manifest; nothing where there is none.
    fn manifest(&self) -> io::Result<Option<Bytes>>;

    /// Replaces the manifest.
    fn replace_manifest(&self, content: Bytes) -> io::Result<()>;

    /// Writes a file, in the place of one of that name.
    fn write(&self, name: &str, content: Bytes) -> io::Result<()>;

    /// The bytes of a file from `start` on.
    fn read(&self, name: &str, start: u64, bytes: usize) -> io::Result<Bytes>;

    /// Removes a file; one that is not there is no error.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// The names of all files but the manifest.
    fn names(&self) -> io::Result<Vec<String>>;

    /// The process stops: what is being done, and all that follows, ends soon, with an error if need be.
    fn give_up(&self) {}
}
