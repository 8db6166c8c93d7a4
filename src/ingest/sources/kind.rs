//! All kinds of sources as one type, so that a project and the engine need not know which there are.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{SourceInput, SourceSettings};
use crate::project::{ConnectorType, KnownKeys, Secret, SettingsSection};

/// A source's kind, with what that kind needs.
#[derive(Clone)]
pub struct SourceKind(Arc<dyn AnySource>);

/// A run of a source.
pub(super) type SourceRun<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

impl SourceKind {
    /// That of these settings.
    pub fn new(settings: impl SourceSettings) -> Self {
        SourceKind(Arc::new(settings))
    }

    /// What `type` says in the project file.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// The settings, where they are of this kind.
    pub fn settings<S: SourceSettings>(&self) -> Option<&S> {
        self.0.as_any().downcast_ref()
    }

    /// See [`SourceSettings::write_keys`].
    pub fn write_keys(&self) -> &[Secret] {
        self.0.write_keys()
    }

    /// See [`SourceSettings::without_write_keys`].
    pub fn without_write_keys(&self) -> Self {
        self.0.without_write_keys()
    }

    /// See [`SourceSettings::run`].
    pub(super) fn run(&self, input: SourceInput) -> SourceRun<'_> {
        self.0.run(input)
    }
}

impl fmt::Debug for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for SourceKind {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&*other.0)
    }
}

impl Eq for SourceKind {}

/// [`SourceSettings`] of any kind.
trait AnySource: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn as_any(&self) -> &dyn Any;
    fn is_same(&self, other: &dyn AnySource) -> bool;
    fn write_keys(&self) -> &[Secret];
    fn without_write_keys(&self) -> SourceKind;
    fn run(&self, input: SourceInput) -> SourceRun<'_>;
}

impl<S: SourceSettings> AnySource for S {
    fn name(&self) -> &'static str {
        S::TYPE
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_same(&self, other: &dyn AnySource) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn write_keys(&self) -> &[Secret] {
        SourceSettings::write_keys(self)
    }

    fn without_write_keys(&self) -> SourceKind {
        SourceKind::new(SourceSettings::without_write_keys(self))
    }

    fn run(&self, input: SourceInput) -> SourceRun<'_> {
        Box::pin(SourceSettings::run(self, input))
    }
}

/// A kind of source that a project may have.
#[derive(Clone, Debug)]
pub struct SourceType {
    name: &'static str,
    keys: KnownKeys,
    read: fn(&mut SettingsSection<'_, '_>) -> Option<SourceKind>,
}

impl SourceType {
    /// That of these settings.
    pub fn of<S: SourceSettings>() -> Self {
        SourceType {
            name: S::TYPE,
            keys: KnownKeys::of(S::read),
            read: |section| S::read(section).map(SourceKind::new),
        }
    }
}

impl ConnectorType for SourceType {
    type Resolved = SourceKind;

    fn name(&self) -> &'static str {
        self.name
    }

    fn keys(&self) -> &KnownKeys {
        &self.keys
    }

    fn read(&self, section: &mut SettingsSection<'_, '_>) -> Option<SourceKind> {
        (self.read)(section)
    }
}
