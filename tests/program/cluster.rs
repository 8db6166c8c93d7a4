//! A cluster on this machine.

use std::path::PathBuf;

use tempfile::{NamedTempFile, TempDir};

use super::{EndedProgram, ServerProcess, project};
use crate::cluster::hosts;

/// A project, where the processes that run it meet, and a data folder for each of them.
pub struct Cluster {
    pub project: TempDir,
    pub hosts: NamedTempFile,
    pub data: TempDir,
    processes: usize,
}

impl Cluster {
    /// One of so many processes, which is not started yet.
    pub fn new(toml: &str, processes: usize) -> Self {
        Cluster { project: project(toml), hosts: hosts(processes), data: TempDir::new().unwrap(), processes }
    }

    /// The data folder of a process.
    pub fn data(&self, process: usize) -> PathBuf {
        self.data.path().join(process.to_string())
    }

    /// Begins to start a process.
    pub fn begin(&self, process: usize, more: &[&str], environment: &[(&str, &str)]) -> ServerProcess {
        let (data, process) = (self.data(process), process.to_string());
        let hosts = self.hosts.path().to_str().unwrap();
        let arguments = ["--process", &process, "--hosts", hosts, "--data", data.to_str().unwrap()];
        ServerProcess::begin(self.project.path(), &[&arguments[..], more].concat(), environment)
    }

    /// Starts all of them.
    pub async fn start(&self, more: &[&str], environment: &[(&str, &str)]) -> Vec<ServerProcess> {
        Self::ready((0..self.processes).map(|process| self.begin(process, more, environment)).collect()).await
    }

    /// Those that were begun, once they take events in: for that they need each other.
    pub async fn ready(begun: Vec<ServerProcess>) -> Vec<ServerProcess> {
        let mut servers = Vec::with_capacity(begun.len());
        for server in begun {
            servers.push(server.ready().await);
        }
        servers
    }

    /// Stops all of them: a cluster stops as a whole. Gives how they ended.
    pub fn stop(servers: Vec<ServerProcess>) -> Vec<EndedProgram> {
        servers.iter().for_each(ServerProcess::terminate);
        servers.into_iter().map(ServerProcess::end).collect()
    }
}
