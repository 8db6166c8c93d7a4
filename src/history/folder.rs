//! A history in a folder of a disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::HistoryFiles;
use super::manifest::MANIFEST;
use crate::limits::HISTORY_MANIFEST_BYTES_MAX;

/// A folder. A data folder is locked by its process, so there is one writer.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The history in `root`.
    pub fn new(root: PathBuf) -> Self {
        Folder { root }
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)
    }

    /// Writes a file whole or not at all, and onto the disk. It is only there under its name when it is complete.
    fn write_whole(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.root);
        if !folder.is_dir() {
            self.make(folder)?;
            // The new folder's own entry.
            sync(folder.parent().unwrap_or(&self.root))?;
        }
        let new = path.with_extension("new");
        let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync(folder)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl HistoryFiles for Folder {
    fn title(&self) -> String {
        self.root.display().to_string()
    }

    fn manifest(&self) -> io::Result<Option<Bytes>> {
        let file = match File::open(self.root.join(MANIFEST)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut content = Vec::new();
        file.take(HISTORY_MANIFEST_BYTES_MAX + 1).read_to_end(&mut content)?;
        if content.len() as u64 > HISTORY_MANIFEST_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is larger than any manifest"));
        }
        Ok(Some(content.into()))
    }

    fn replace_manifest(&self, content: Bytes) -> io::Result<()> {
        self.write_whole(&self.root.join(MANIFEST), &content)
    }

    fn write(&self, name: &str, content: Bytes) -> io::Result<()> {
        self.write_whole(&self.root.join(name), &content)
    }

    fn read(&self, name: &str, start: u64, bytes: usize) -> io::Result<Bytes> {
        let file = File::open(self.root.join(name))?;
        // Not more than there is, whatever the manifest says.
        if file.metadata()?.len() < start.saturating_add(bytes as u64) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut content = vec![0; bytes];
        file.read_exact_at(&mut content, start)?;
        Ok(content.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                // Goes with its last file.
                _ = path.parent().filter(|folder| *folder != self.root).map(fs::remove_dir);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let days = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(names),
            days => days?,
        };
        for day in days {
            let day = day?;
            let Some(name) = day.file_name().to_str().map(str::to_owned) else { continue };
            // What is not ours is left alone.
            if !day.file_type()?.is_dir() || !name.starts_with("day=") {
                continue;
            }
            for file in fs::read_dir(day.path())? {
                names.extend(file?.file_name().to_str().map(|file| format!("{name}/{file}")));
            }
        }
        Ok(names)
    }
}
