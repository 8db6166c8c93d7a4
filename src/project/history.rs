//! `[history]`: for how long events are kept, and where.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;

use super::names::check_secret;
use super::problem::ProjectProblem;
use super::resolved::Secret;
use super::written::WrittenHistory;
use crate::features;

/// How events are kept when the log does not have them any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// For how long: new definitions can count what is in it. For ever where it does not say. Default: 90 days.
    pub keep: Option<Duration>,
    /// Where. Default: in the data folder.
    pub bucket: Option<BucketSettings>,
}

impl Default for HistorySettings {
    fn default() -> Self {
        HistorySettings { keep: Some(Duration::from_secs(90 * 24 * 60 * 60)), bucket: None }
    }
}

/// S3-compatible storage. What it does not say is taken from the environment, where it has the names that all tools know
/// (`AWS_ACCESS_KEY_ID` and so on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Which bucket, and what part of it.
    pub url: BucketUrl,
    /// Where the storage is, if it is not that of Amazon.
    pub endpoint: Option<Url>,
    /// Its region.
    pub region: Option<String>,
    /// What opens it.
    pub keys: Option<BucketKeys>,
}

/// What opens a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketKeys {
    /// The access key's id.
    pub id: Secret,
    /// The access key's secret.
    pub secret: Secret,
}

/// `s3://bucket/prefix`: a bucket, or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    bucket: String,
    /// Names with slashes between them; empty for the whole bucket.
    prefix: String,
}

impl BucketUrl {
    /// With what each such address begins.
    pub const SCHEME: &'static str = "s3://";

    /// The bucket.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The part of it; empty for all of it.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What is called `name` in it.
    #[must_use]
    pub fn within(&self, name: &str) -> Self {
        let prefix = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
        BucketUrl { bucket: self.bucket.clone(), prefix }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{}{}{slash}{}", Self::SCHEME, self.bucket, self.prefix)
    }
}

impl FromStr for BucketUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix(Self::SCHEME).ok_or("expected an address that starts with `s3://`")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_plain) {
            return Err("the name of a bucket has 3 to 63 small letters, digits, dots and dashes");
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b".-_=".contains(&byte);
        let is_name = |part: &str| !part.is_empty() && part.bytes().all(is_usual) && !part.starts_with('.');
        if prefix.len() > 512 || !(prefix.is_empty() || prefix.split('/').all(is_name)) {
            return Err("what follows the bucket are names of letters, digits and `.-_=`, with a slash between two");
        }
        Ok(BucketUrl { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// What the section says; nothing where there is to be no history.
pub(super) fn resolve(written: WrittenHistory, problems: &mut Vec<ProjectProblem>) -> Option<HistorySettings> {
    let WrittenHistory { enabled, keep, url, endpoint, region, access_key_id, secret_access_key } = written;
    for (key, what) in
        [(&access_key_id, "the id of an access key"), (&secret_access_key, "the secret of an access key")]
    {
        key.iter().for_each(|key| check_secret(key, what, problems));
    }
    let without_url = |place, problems: &mut Vec<ProjectProblem>| {
        let problem =
            ProjectProblem::at(place, "this is for a history in S3-compatible storage, and there is no `url`");
        problems.push(problem.help("write `url = \"s3://bucket/prefix\"` as well, or leave this out"));
    };
    if url.is_none() {
        let others = [&endpoint, &region, &access_key_id, &secret_access_key];
        others.into_iter().flatten().for_each(|text| without_url(text.place, problems));
    }
    if let Some(text) = url.as_ref().filter(|_| !features::HAS_S3) {
        problems.push(ProjectProblem::at(text.place, features::S3_MISSING).help(features::S3_HELP));
    }
    let keys = match (access_key_id, secret_access_key) {
        (Some(id), Some(secret)) => Some(BucketKeys { id: Secret::new(id.value), secret: Secret::new(secret.value) }),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let problem = ProjectProblem::at(one.place, "an access key has an id and a secret");
            problems.push(problem.help("write both `access_key_id` and `secret_access_key`, or none of them"));
            None
        }
    };
    let endpoint = endpoint.filter(|text| !text.is_broken).and_then(|text| {
        let parsed = Url::parse(&text.value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if parsed.is_none() {
            let problem = ProjectProblem::at(text.place, "expected a URL that starts with `http://` or `https://`");
            problems.push(problem.help("such as \"https://storage.example.com\""));
        }
        parsed
    });
    let bucket = url.filter(|text| !text.is_broken).and_then(|text| match text.value.parse() {
        Ok(url) => Some(BucketSettings { url, endpoint, region: region.map(|text| text.value), keys }),
        Err(wrong) => {
            problems.push(ProjectProblem::at(text.place, wrong).help("such as \"s3://bucket/prefix\""));
            None
        }
    });
    let keep = keep.unwrap_or(HistorySettings::default().keep);
    enabled.unwrap_or(true).then_some(HistorySettings { keep, bucket })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let url = text.parse::<BucketUrl>();
        assert_eq!(url.as_ref().ok().map(|url| (url.bucket(), url.prefix())), expected, "{text}");
        if let Ok(url) = url {
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
    }

    #[test]
    fn addresses_of_buckets() {
        check("s3://histories", Some(("histories", "")));
        check("s3://histories/", Some(("histories", "")));
        check("s3://histories/shop", Some(("histories", "shop")));
        check("s3://my.histories-2/a/b=c_d/", Some(("my.histories-2", "a/b=c_d")));
        for wrong in ["histories", "s3:/histories", "s3://", "s3://hi", "s3://Histories", "s3://key:secret@histories"] {
            check(wrong, None);
        }
        for wrong in [
            "s3://histories//a",
            "s3://histories/a//b",
            "s3://histories/../b",
            "s3://histories/a?b",
            "s3://histories/ü",
        ] {
            check(wrong, None);
        }
        check(&format!("s3://histories/{}", "a".repeat(513)), None);
        let part = "s3://histories/shop".parse::<BucketUrl>().unwrap().within("process-1");
        assert_eq!(part.to_string(), "s3://histories/shop/process-1");
        assert_eq!(
            "s3://histories".parse::<BucketUrl>().unwrap().within("process-1").to_string(),
            "s3://histories/process-1"
        );
    }
}
