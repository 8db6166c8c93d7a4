//! Which processes of a cluster stop. They stop together: one that is told earlier goes on working for the others, and
//! says so, so that nobody has to guess why it is still there.

/// Who stops so far.
#[derive(Debug)]
pub struct Stops {
    own: usize,
    /// Where the processes are, as the hosts file has them.
    hosts: Vec<String>,
    /// By process.
    has_stopped: Vec<bool>,
}

impl Stops {
    /// Nobody yet, as process `own` sees it.
    pub fn new(own: usize, hosts: Vec<String>) -> Self {
        let has_stopped = vec![false; hosts.len()];
        Stops { own, hosts, has_stopped }
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.hosts.len()
    }

    /// A process takes nothing in any more. Gives what an operator has to know of it, if anything.
    pub fn stopped(&mut self, process: usize) -> Option<String> {
        if std::mem::replace(&mut self.has_stopped[process], true) {
            return None;
        }
        let waits_for: Vec<String> = (0..self.hosts.len())
            .filter(|process| !self.has_stopped[*process])
            .map(|process| format!("process {process} ({})", self.hosts[process]))
            .collect();
        let waits_for = waits_for.join(", ");
        if waits_for.is_empty() {
            return None;
        }
        if self.has_stopped[self.own] {
            return Some(format!(
                "stopping: a cluster stops as a whole, so this process waits for {waits_for}, and works on for them; stop them, too"
            ));
        }
        Some(format!(
            "process {process} ({}) stops and takes nothing in any more; a cluster stops as a whole, so it waits for {waits_for}: stop \
             them, too",
            self.hosts[process]
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_who_waits_for_whom() {
        let hosts = || vec!["a:1".to_owned(), "b:1".to_owned(), "c:1".to_owned()];
        let mut stops = Stops::new(1, hosts());
        assert_eq!(stops.processes(), 3);
        let said = stops.stopped(2).unwrap();
        assert!(said.starts_with("process 2 (c:1) stops") && said.contains("process 0 (a:1), process 1 (b:1)"));
        assert_eq!(stops.stopped(2), None, "once");
        let said = stops.stopped(1).unwrap();
        assert!(said.contains("this process waits for process 0 (a:1), and works on"), "{said}");
        assert_eq!(stops.stopped(0), None, "nobody waits any more");
    }
}
