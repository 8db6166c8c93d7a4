//! Which engine delivers from a data folder: the file `INSTANCE`.
//!
//! Of two engines on copies of one folder each would tell destinations what the other told them. So the file says which instance it is
//! of, by name, and which file it is itself, by its inode and the time of its birth: a copy of the folder has another one. The device
//! does not count, since that changes with each mount. What neither shows, such as a snapshot of a whole machine, a name does that
//! comes from the environment of the machine.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use crate::log::{read_small, write_opened};

/// The data folder of an instance.
#[derive(Clone, Debug)]
pub struct Instance {
    file: PathBuf,
    name: String,
}

/// What the file says.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct InstanceFile {
    instance: String,
    #[serde(flatten)]
    identity: Identity,
}

/// Which file a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Identity {
    inode: u64,
    /// Nanoseconds since 1970, where the file system knows it.
    born_ns: Option<u64>,
}

impl Instance {
    /// The instance `name`, with its data in `folder`.
    pub fn new(folder: &Path, name: &str) -> Self {
        Instance { file: folder.join("INSTANCE"), name: name.to_owned() }
    }

    /// Makes the folder that of this instance, where it is nobody's yet. Else says what speaks against that it is.
    pub fn claim(&self) -> io::Result<Option<String>> {
        let Some(found) = read_small(&self.file)? else { return self.take_over().map(|()| None) };
        let Ok(found) = serde_json::from_slice::<InstanceFile>(&found) else {
            return Ok(Some("the file INSTANCE of the data folder cannot be read".to_owned()));
        };
        let identity = Identity::of(&File::open(&self.file)?)?;
        Ok(if found.instance != self.name {
            Some(format!("the data folder is that of the instance `{}`, and this is `{}`", found.instance, self.name))
        } else if !found.identity.is_same(identity) {
            Some("the data folder was copied, or restored from a copy".to_owned())
        } else {
            None
        })
    }

    /// Makes the folder that of this instance, whosever it was.
    pub fn take_over(&self) -> io::Result<()> {
        write_opened(&self.file, |file| {
            let written = InstanceFile { instance: self.name.clone(), identity: Identity::of(file)? };
            Ok(serde_json::to_vec(&written)?)
        })
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let found = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::BTIME)?;
        let knows_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = u64::try_from(found.stx_btime.tv_sec).unwrap_or_default().saturating_mul(1_000_000_000);
        let born_ns = knows_birth.then(|| born.saturating_add(found.stx_btime.tv_nsec.into()));
        Ok(Identity { inode: found.stx_ino, born_ns })
    }

    /// Where the time of birth is not known of one of them, the inode says it.
    fn is_same(self, other: Self) -> bool {
        let are_born = self.born_ns.zip(other.born_ns);
        self.inode == other.inode && are_born.is_none_or(|(one, other)| one == other)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_copy_is_told_from_the_folder_it_was_made_of() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        fs::create_dir(&one).unwrap();
        let claim = |folder: &Path, name| Instance::new(folder, name).claim().unwrap();
        assert_eq!(claim(&one, "a"), None, "it was nobody's");
        assert_eq!(claim(&one, "a"), None);
        let spoken = claim(&one, "b").unwrap();
        assert!(spoken.contains("of the instance `a`, and this is `b`"), "{spoken}");

        fs::rename(&one, &other).unwrap();
        assert_eq!(claim(&other, "a"), None, "moved");
        fs::create_dir(&one).unwrap();
        fs::copy(other.join("INSTANCE"), one.join("INSTANCE")).unwrap();
        assert!(claim(&one, "a").unwrap().contains("copied"));
        // Whoever only asks changes nothing.
        assert!(claim(&one, "a").is_some());
        Instance::new(&one, "a").take_over().unwrap();
        assert_eq!((claim(&one, "a"), claim(&other, "a")), (None, None));

        for damaged in ["", "{}", "{\"instance\":1}", "\0"] {
            fs::write(one.join("INSTANCE"), damaged).unwrap();
            assert!(claim(&one, "a").unwrap().contains("cannot be read"), "{damaged:?}");
        }
    }
}
