//! Why a call to S3-compatible storage failed, in words that have no secret in them.

use std::io::{self, ErrorKind};

use object_store::Error;

use super::http::last;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such object.
    Missing,
    /// The object has fewer bytes.
    Short,
    /// It is not the version that it was to be.
    Changed,
    /// Somebody has to change something.
    Refused(String),
    /// It may be better later.
    Passing(String),
    /// The process stops.
    Over,
}

impl Failure {
    /// What an error of the library is about.
    pub fn of(error: Error) -> Self {
        // The answer's text has more than is anybody's business, such as what was signed.
        let text = error.to_string();
        let between = |start: &str, end: char| {
            let from = text.find(start)? + start.len();
            let word = text[from..].split(end).next()?;
            (word.len() < 100).then(|| word.to_owned())
        };
        let code = between("<Code>", '<');
        let status = between("status code: ", ' ').filter(|status| status.bytes().all(|byte| byte.is_ascii_digit()));
        let told = match (&status, &code) {
            (Some(status), Some(code)) => format!("{code} ({status})"),
            (Some(status), None) => format!("it answers {status}"),
            (None, _) => last(&error),
        };
        let is_missing = code.as_deref() == Some("NoSuchBucket");
        match error {
            _ if is_missing => Failure::Refused("there is no such bucket (NoSuchBucket)".to_owned()),
            Error::NotFound { .. } => Failure::Missing,
            Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotModified { .. } => Failure::Changed,
            Error::Generic { .. } if status.as_deref() == Some("416") => Failure::Short,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Failure::Refused(format!("denied: {told}"))
            }
            Error::Generic { .. } => match status.as_deref() {
                // Those that a client can do something about; others come and go.
                Some(status) if status.starts_with('4') && !["408", "429"].contains(&status) => Failure::Refused(told),
                Some("501") => Failure::Refused(told),
                _ => Failure::Passing(told),
            },
            _ => Failure::Refused(told),
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing => ErrorKind::NotFound.into(),
            Failure::Short => ErrorKind::UnexpectedEof.into(),
            Failure::Changed => io::Error::new(ErrorKind::ResourceBusy, "somebody else has changed it"),
            Failure::Refused(reason) => io::Error::new(ErrorKind::PermissionDenied, reason),
            Failure::Passing(reason) => io::Error::new(ErrorKind::NotConnected, reason),
            Failure::Over => io::Error::new(ErrorKind::NotConnected, "the process stops"),
        }
    }
}
