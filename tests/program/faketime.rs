//! Programs that are told a wrong time, by `libfaketime`.

use std::path::PathBuf;
use std::process::Command;

use super::{Program, ServerProcess};

/// What a program is told of the time: a file says it, and can say something else at any moment.
pub struct Faketime {
    told: PathBuf,
    /// Whether the time since the start of the machine is lied about, too, as on one that was suspended.
    pub is_suspended: bool,
}

impl Faketime {
    /// The right time, at first.
    pub fn new(told: PathBuf) -> Self {
        let faketime = Faketime { told, is_suspended: false };
        faketime.set("+0");
        faketime
    }

    /// Sets the clock: `+1h` is an hour ahead of what is true.
    pub fn set(&self, told: &str) {
        let new = self.told.with_extension("new");
        std::fs::write(&new, format!("{told}\n")).unwrap();
        std::fs::rename(new, &self.told).unwrap();
    }

    /// Starts `deltaic`, which believes it.
    pub fn program(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deltaic"));
        // The tests themselves may be told another time.
        command.env_remove("FAKETIME").env_remove("FAKETIME_SHARED");
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
        command.env("FAKETIME_TIMESTAMP_FILE", &self.told).env("FAKETIME_NO_CACHE", "1").env("NO_FAKE_STAT", "1");
        match self.is_suspended {
            true => command.env_remove("FAKETIME_DONT_FAKE_MONOTONIC"),
            false => command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        };
        command.args(arguments);
        Program::spawn(command, environment)
    }

    /// Starts a server on a free port.
    pub fn server(&self, folder: &str, arguments: &[&str]) -> ServerProcess {
        ServerProcess::of(self.program(&[&["run", folder, "--listen", "127.0.0.1:0"], arguments].concat(), &[]))
    }
}

/// What `libfaketime` leaves of a process that was killed, and what is in the way of a later one of its number.
pub fn sweep(process: u32) {
    for name in [format!("faketime_shm_{process}"), format!("sem.faketime_sem_{process}")] {
        // Nearly always there is nothing.
        _ = std::fs::remove_file(std::path::Path::new("/dev/shm").join(name));
    }
}
