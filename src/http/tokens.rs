//! Tokens that let somebody in: how they are sent, and how they are compared.
//!
//! Not `headers`, whose Basic has to have a colon, which some libraries leave out.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::project::Secret;

/// The tokens that are let in. Only their digests are kept.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Lets in whoever has one of these.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        Tokens(secrets.into_iter().map(|secret| Sha256::digest(secret.expose()).into()).collect())
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Which of the tokens this is, by position. The time that it takes tells nothing of them: it compares digests, all of
    /// them to their ends.
    pub fn find(&self, token: &str) -> Option<usize> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        let mut found = u64::MAX;
        for (index, known) in (0u64..).zip(&self.0) {
            found.conditional_assign(&index, known[..].ct_eq(&digest));
        }
        usize::try_from(found).ok().filter(|index| *index < self.0.len())
    }
}

/// The token in the `Authorization` header: that of `Bearer`, or the user name of `Basic`. An empty one is none.
pub fn sent_token(headers: &HeaderMap) -> Option<String> {
    let (scheme, credentials) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(credentials.trim()).ok()?).ok()?;
        decoded.split(':').next().unwrap_or_default().to_owned()
    } else {
        return None;
    };
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authorization: &str, expected: Option<&str>) {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())]);
        assert_eq!(sent_token(&headers).as_deref(), expected, "{authorization}");
    }

    #[test]
    fn headers() {
        check("Bearer key", Some("key"));
        check("bearer  key ", Some("key"));
        check("Basic a2V5Og==", Some("key"));
        check("basic a2V5OnBhc3M=", Some("key"));
        check("Basic a2V5", Some("key"));
        check("Basic Og==", None);
        check("Basic !", None);
        check("Basic /w==", None);
        check("Digest key", None);
        check("key", None);
    }

    #[test]
    fn tokens() {
        let tokens = Tokens::new(&["a", "bb"].map(|secret| Secret::new(secret.into())));
        assert_eq!(["a", "bb", "b", "", "aa"].map(|token| tokens.find(token)), [Some(0), Some(1), None, None, None]);
    }
}
