//! Which process of how many something belongs to.

use std::fmt;
use std::str::FromStr;

/// One process of a cluster, as the files of a data folder say it: `process 1 of 3`. One on its own is `process 0 of 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessNumber {
    process: u32,
    processes: u32,
}

impl ProcessNumber {
    /// A process on its own.
    pub const ALONE: ProcessNumber = ProcessNumber { process: 0, processes: 1 };

    /// This process, counted from 0, of so many.
    pub fn new(process: usize, processes: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        ProcessNumber { process: number(process), processes: number(processes) }
    }

    /// Which one, counted from 0.
    pub fn process(self) -> u32 {
        self.process
    }

    /// Whether there are others.
    pub fn is_of_cluster(self) -> bool {
        self.processes > 1
    }
}

impl fmt::Display for ProcessNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.process, self.processes)
    }
}

impl FromStr for ProcessNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (process, processes) = text.strip_prefix("process ").and_then(|rest| rest.split_once(" of ")).ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        let (process, processes) = (number(process)?, number(processes)?);
        if process < processes { Ok(ProcessNumber { process, processes }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        for (process, processes) in [(0, 1), (1, 3), (63, 64)] {
            let number = ProcessNumber::new(process, processes);
            assert_eq!(number.to_string().parse(), Ok(number));
        }
        assert_eq!("process 0 of 1".parse(), Ok(ProcessNumber::ALONE));
        for bad in ["", "process 0 o", "process 1 of", "process 3 of 3", "process -1 of 3", "process 0 of 1 "] {
            assert_eq!(bad.parse::<ProcessNumber>(), Err(()), "{bad:?}");
        }
    }
}
