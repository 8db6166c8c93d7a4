//! A history in S3-compatible storage.
//!
//! The storage has to know conditional writes (`If-Match`, `If-None-Match`): the manifest is replaced only where it is still the one
//! that was read or written last. So neither a call that is answered late, or never, nor another process under the same address can
//! bring an older one back.
//!
//! Calls are made on a thread of its own; who asks waits for them, on a thread that may wait.

mod failure;
mod http;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
    UpdateVersion,
};
use parking_lot::Mutex;
use reqwest::Url;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use self::failure::BucketFailure;
use super::manifest::MANIFEST;
use super::{HistoryError, HistoryFiles};
use crate::limits::{
    HISTORY_FILES_MAX, HISTORY_MANIFEST_BYTES_MAX, HISTORY_MANIFEST_CALL_MAX, HISTORY_OPERATION_MAX,
    HISTORY_RETRIES_MAX, HISTORY_RETRY_MAX, HISTORY_STOP_MAX,
};
use crate::project::BucketSettings;

/// Manifests without an answer that are remembered: such a call comes to its end within minutes, and an attempt is one of 30 s.
const UNANSWERED_MAX: usize = 64;

/// One of these must be known. Without any the library would ask the machine's own cloud, which may be none.
const CREDENTIALS: [AmazonS3ConfigKey; 4] = [
    AmazonS3ConfigKey::AccessKeyId,
    AmazonS3ConfigKey::WebIdentityTokenFile,
    AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
    AmazonS3ConfigKey::ContainerCredentialsFullUri,
];

/// The history under `settings.url`. Nothing is asked of the storage yet.
pub fn open_bucket(settings: &BucketSettings) -> Result<Arc<dyn HistoryFiles>, HistoryError> {
    Ok(Arc::new(Bucket::new(settings)?))
}

/// A bucket, or a part of it.
#[derive(Debug)]
struct Bucket {
    title: String,
    store: AmazonS3,
    prefix: Path,
    manifest: Mutex<KnownManifest>,
    /// Taken when it goes: a runtime cannot be dropped everywhere.
    runtime: Option<Runtime>,
    /// When what is being done is given up, once the process stops.
    over_at: watch::Sender<Option<Instant>>,
}

/// What is known of the manifest there.
#[derive(Debug, Default)]
struct KnownManifest {
    version: ManifestVersion,
    /// Sums of those that were sent and not answered: each may be there, or not.
    unanswered: VecDeque<u64>,
}

#[derive(Debug, Default)]
enum ManifestVersion {
    /// Nobody has looked yet, or the storage does not tell.
    #[default]
    Unknown,
    /// There is none.
    Missing,
    /// What the storage calls it.
    Tag(String),
}

impl ManifestVersion {
    fn of(tag: Option<String>) -> Self {
        tag.map_or(ManifestVersion::Unknown, ManifestVersion::Tag)
    }

    fn mode(&self) -> PutMode {
        match self {
            ManifestVersion::Unknown => PutMode::Overwrite,
            ManifestVersion::Missing => PutMode::Create,
            ManifestVersion::Tag(tag) => PutMode::Update(UpdateVersion { e_tag: Some(tag.clone()), version: None }),
        }
    }
}

impl Bucket {
    fn new(settings: &BucketSettings) -> Result<Self, HistoryError> {
        let title = settings.url.to_string();
        let wrong = |reason: String| HistoryError::Settings { place: settings.url.to_string(), reason };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(settings.url.bucket())
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: Duration::from_millis(100), ..BackoffConfig::default() },
                max_retries: HISTORY_RETRIES_MAX,
                retry_timeout: HISTORY_RETRY_MAX,
            });
        if let Some(endpoint) = &settings.endpoint {
            // The one that goes before what the environment says.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(region) = &settings.region {
            builder = builder.with_region(region);
        }
        if let Some(keys) = &settings.keys {
            builder = builder.with_access_key_id(keys.id.expose()).with_secret_access_key(keys.secret.expose());
        }
        let said = |keys: &[AmazonS3ConfigKey]| keys.iter().find_map(|key| builder.get_config_value(key));
        if said(&CREDENTIALS).is_none() {
            let reason = "there is nothing to open it with: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
            return Err(wrong(reason.to_owned()));
        }
        let endpoint = said(&[AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]);
        let endpoint = endpoint.unwrap_or_else(|| "https://s3.amazonaws.com".to_owned());
        let url = Url::parse(&endpoint).map_err(|error| wrong(format!("its endpoint {endpoint}: {error}")))?;
        let builder = builder.with_http_connector(http::BucketConnector { url });
        let store = builder.build().map_err(|error| wrong(http::last(&error)))?;
        let prefix = Path::parse(settings.url.prefix()).map_err(|error| wrong(error.to_string()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("history")
            .enable_all()
            .build()
            .map_err(|error| wrong(format!("no thread for it: {error}")))?;
        let (over_at, _) = watch::channel(None);
        Ok(Bucket { title, store, prefix, manifest: Mutex::default(), runtime: Some(runtime), over_at })
    }

    /// Does something on the thread of calls, and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, BucketFailure> {
        let (sender, receiver) = mpsc::channel();
        let mut over_at = self.over_at.subscribe();
        let runtime = self.runtime.as_ref().ok_or(BucketFailure::Over)?;
        runtime.spawn(async move {
            let done = tokio::select! {
                done = tokio::time::timeout(within, call) => match done {
                    Ok(done) => done.map_err(BucketFailure::of),
                    Err(_) => Err(BucketFailure::Passing(format!("no answer within {} s", within.as_secs()))),
                },
                () = async {
                    // An error means that there is nobody left to say it.
                    let at = over_at.wait_for(Option::is_some).await.ok().and_then(|at| *at);
                    tokio::time::sleep_until(at.unwrap_or_else(Instant::now)).await;
                } => Err(BucketFailure::Over),
            };
            // Whoever asked waits for it.
            _ = sender.send(done);
        });
        receiver.recv().unwrap_or(Err(BucketFailure::Over))
    }

    fn path(&self, name: &str) -> Path {
        // The parts of a name are digits, dashes and dots, all of which stay as they are.
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// The content of `name` from `start` on, of at most `bytes_max`, with its version; whether there is more is not looked at.
    fn get(&self, name: &str, start: u64, bytes_max: usize, within: Duration) -> Result<Got, BucketFailure> {
        let (store, path) = (self.store.clone(), self.path(name));
        self.wait(within, async move {
            let range = (start > 0).then_some(GetRange::Offset(start));
            let got = store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await?;
            let (size, tag) = (got.meta.size, got.meta.e_tag.clone());
            let promised = usize::try_from(size.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes_max);
            let mut content = Vec::with_capacity(promised);
            let mut pieces = got.into_stream();
            while content.len() < bytes_max {
                let Some(piece) = pieces.next().await else { break };
                let piece = piece?;
                content.extend_from_slice(&piece[..piece.len().min(bytes_max - content.len())]);
            }
            Ok(Got { content: content.into(), tag })
        })
    }

    fn put(&self, name: &str, content: Bytes, mode: PutMode) -> Result<Option<String>, BucketFailure> {
        let (store, path) = (self.store.clone(), self.path(name));
        self.wait(HISTORY_OPERATION_MAX, async move {
            let options = PutOptions { mode, ..PutOptions::default() };
            Ok(store.put_opts(&path, content.into(), options).await?.e_tag)
        })
    }

    /// The manifest and its version.
    fn look(&self) -> Result<Option<Got>, BucketFailure> {
        let bytes_max = usize::try_from(HISTORY_MANIFEST_BYTES_MAX + 1).unwrap_or(usize::MAX);
        match self.get(MANIFEST, 0, bytes_max, HISTORY_MANIFEST_CALL_MAX) {
            Err(BucketFailure::Missing) => Ok(None),
            got => got.map(Some),
        }
    }
}

/// What was read.
struct Got {
    content: Bytes,
    tag: Option<String>,
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl HistoryFiles for Bucket {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn manifest(&self) -> io::Result<Option<Bytes>> {
        let found = self.look()?;
        if found.as_ref().is_some_and(|found| found.content.len() as u64 > HISTORY_MANIFEST_BYTES_MAX) {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is larger than any manifest"));
        }
        let mut known = self.manifest.lock();
        *known = KnownManifest::default();
        let Some(Got { content, tag }) = found else {
            known.version = ManifestVersion::Missing;
            return Ok(None);
        };
        known.version = ManifestVersion::of(tag);
        Ok(Some(content))
    }

    fn replace_manifest(&self, content: Bytes) -> io::Result<()> {
        let mut known = self.manifest.lock();
        let sum = xxh3_64(&content);
        for _ in 0..2 {
            match self.put(MANIFEST, content.clone(), known.version.mode()) {
                Ok(tag) => {
                    *known = KnownManifest { version: ManifestVersion::of(tag), unanswered: VecDeque::new() };
                    return Ok(());
                }
                Err(BucketFailure::Changed) => {}
                Err(failure) => {
                    known.unanswered.push_back(sum);
                    if known.unanswered.len() > UNANSWERED_MAX {
                        known.unanswered.pop_front();
                    }
                    return Err(failure.into());
                }
            }
            // It is not what it was: one of ours came there without an answer, or somebody else's.
            let Some(Got { content: found, tag }) = self.look()? else {
                known.version = ManifestVersion::Missing;
                continue;
            };
            if found == content {
                *known = KnownManifest { version: ManifestVersion::of(tag), unanswered: VecDeque::new() };
                return Ok(());
            }
            if !known.unanswered.contains(&xxh3_64(&found)) {
                break;
            }
            known.version = ManifestVersion::of(tag);
        }
        let reason = "another process has replaced it: two engines must not write to one history; stop one of them, and start the \
                      other anew";
        Err(io::Error::new(ErrorKind::ResourceBusy, reason))
    }

    fn write(&self, name: &str, content: Bytes) -> io::Result<()> {
        self.put(name, content, PutMode::Overwrite)?;
        Ok(())
    }

    fn read(&self, name: &str, start: u64, bytes: usize) -> io::Result<Bytes> {
        let Got { content, .. } = self.get(name, start, bytes, HISTORY_OPERATION_MAX)?;
        if content.len() < bytes { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(content) }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let (store, path) = (self.store.clone(), self.path(name));
        match self.wait(HISTORY_OPERATION_MAX, async move { store.delete(&path).await }) {
            Ok(()) | Err(BucketFailure::Missing) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let (store, prefix) = (self.store.clone(), self.prefix.clone());
        let found = self.wait(HISTORY_OPERATION_MAX, async move {
            let mut names = Vec::new();
            let mut objects = store.list(Some(&prefix));
            while let Some(object) = objects.next().await {
                let location = object?.location;
                let Some(parts) = location.prefix_match(&prefix) else { continue };
                let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
                // What is not ours is left alone.
                if parts.len() == 2 && parts[0].starts_with("day=") {
                    names.push(parts.join("/"));
                }
                if names.len() > 2 * HISTORY_FILES_MAX {
                    break;
                }
            }
            Ok(names)
        });
        Ok(found?)
    }

    fn give_up(&self) {
        self.over_at.send_replace(Some(Instant::now() + HISTORY_STOP_MAX));
    }
}
