//! Why a call to S3-compatible storage failed, in words that have no secret in them.

use std::io::{self, ErrorKind};

use object_store::Error;

use super::http::last;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum BucketFailure {
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

impl BucketFailure {
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
            _ if is_missing => BucketFailure::Refused("there is no such bucket (NoSuchBucket)".to_owned()),
            Error::NotFound { .. } => BucketFailure::Missing,
            Error::Precondition { .. } | Error::AlreadyExists { .. } | Error::NotModified { .. } => {
                BucketFailure::Changed
            }
            Error::Generic { .. } if status.as_deref() == Some("416") => BucketFailure::Short,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                BucketFailure::Refused(format!("denied: {told}"))
            }
            Error::Generic { .. } => match status.as_deref() {
                // Those that a client can do something about; others come and go.
                Some(status) if status.starts_with('4') && !["408", "429"].contains(&status) => {
                    BucketFailure::Refused(told)
                }
                Some("501") => BucketFailure::Refused(told),
                _ => BucketFailure::Passing(told),
            },
            _ => BucketFailure::Refused(told),
        }
    }
}

impl From<BucketFailure> for io::Error {
    fn from(failure: BucketFailure) -> Self {
        match failure {
            BucketFailure::Missing => ErrorKind::NotFound.into(),
            BucketFailure::Short => ErrorKind::UnexpectedEof.into(),
            BucketFailure::Changed => io::Error::new(ErrorKind::ResourceBusy, "somebody else has changed it"),
            BucketFailure::Refused(reason) => io::Error::new(ErrorKind::PermissionDenied, reason),
            BucketFailure::Passing(reason) => io::Error::new(ErrorKind::NotConnected, reason),
            BucketFailure::Over => io::Error::new(ErrorKind::NotConnected, "the process stops"),
        }
    }
}
