//! What is wrong with the files of a data folder.

use std::fmt;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The file, seen from the data folder.
    pub file: String,
    /// The byte of it, where that is known.
    pub place: Option<u64>,
    /// What is wrong.
    pub reason: String,
    /// What is lost with it.
    pub lost: String,
}

impl Flaw {
    /// A file is wrong as a whole.
    pub fn new(file: &str, reason: &str, lost: &str) -> Self {
        Flaw { file: file.to_owned(), place: None, reason: reason.to_owned(), lost: lost.to_owned() }
    }

    /// It is wrong from a byte on.
    pub fn at(file: &str, place: u64, reason: &str, lost: &str) -> Self {
        Flaw { place: Some(place), ..Flaw::new(file, reason, lost) }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flaw { file, place, reason, lost } = self;
        write!(f, "{file}")?;
        if let Some(place) = place {
            write!(f, ", byte {place}")?;
        }
        write!(f, ": {reason}; lost with it: {lost}")
    }
}
