//! Small files of a data folder, written whole or not at all, and who may read what is in it: nobody but its owner.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::limits::SMALL_FILE_BYTES_MAX;

/// Writes a file whole or not at all, and onto the disk.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    write_opened(path, |_| Ok(content))
}

/// The same with what is only known once the file is there.
pub(crate) fn write_opened<T: AsRef<[u8]>>(
    path: &Path,
    content: impl FnOnce(&File) -> io::Result<T>,
) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let content = content(&file)?;
    file.write_all(content.as_ref())?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Copies a file, or a folder with all that is in it, onto the disk.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(from)?, &mut file)?;
        return file.sync_all();
    }
    make_folder(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    sync_folder(to)
}

/// The same with files that never change: where the disk can, both names are of one file.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::hard_link(from, to).or_else(|_| copy(from, to));
    }
    make_folder(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        link(&from.join(&name), &to.join(&name))?;
    }
    sync_folder(to)
}

/// What is in a small file; nothing where there is none.
pub(crate) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(SMALL_FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SMALL_FILE_BYTES_MAX {
        let reason = format!("it has more than {SMALL_FILE_BYTES_MAX} bytes, and cannot be what it should be");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(Some(content))
}

/// Makes a folder, and those that it is in, where there are none yet.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The names in a folder are on the disk when this returns.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Takes the rights of all but the owner from a folder and all that is in it. The storage makes files as it likes while it
/// runs; they are in a folder that nobody else can enter, and get their modes here.
pub(super) fn close_to_others(folder: &Path) -> io::Result<()> {
    let close = |path: &Path, metadata: &fs::Metadata, mode: u32| match metadata.permissions().mode() & 0o777 {
        now if now == mode => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(mode)),
    };
    close(folder, &fs::symlink_metadata(folder)?, 0o700)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // The storage removes files at any time.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let closed = match metadata.file_type() {
            kind if kind.is_dir() => close_to_others(&path),
            kind if kind.is_file() => close(&path, &metadata, 0o600),
            _ => Ok(()),
        };
        match closed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of all files in a folder.
pub(super) fn bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        bytes += if metadata.is_dir() { self::bytes(&path)? } else { metadata.len() };
    }
    Ok(bytes)
}
