//! All kinds of destinations as one type, so that a project and the delivery need not know which there are.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::{CallBatch, ConnectContext, Connector, DestinationSettings, Failure, Pace};
use crate::project::{ConnectorType, KnownKeys, SettingsSection};

/// A destination's kind, with what that kind needs.
#[derive(Clone)]
pub struct DestinationKind(Arc<dyn AnySettings>);

impl DestinationKind {
    /// That of these settings.
    pub fn new(settings: impl DestinationSettings) -> Self {
        DestinationKind(Arc::new(settings))
    }

    /// What `type` says in the project file.
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Whether it takes changes of audiences.
    pub fn takes_changes(&self) -> bool {
        self.0.takes_changes()
    }

    /// Whether it takes events.
    pub fn takes_events(&self) -> bool {
        self.0.takes_events()
    }

    /// The settings, where they are of this kind.
    pub fn settings<S: DestinationSettings>(&self) -> Option<&S> {
        self.0.as_any().downcast_ref()
    }

    /// See [`DestinationSettings::place`].
    pub fn place(&self) -> Vec<u8> {
        self.0.place()
    }

    /// How calls follow each other.
    pub fn pace(&self) -> Pace {
        self.0.pace()
    }

    /// The client.
    pub(in crate::egress) fn connect(&self, with: &ConnectContext<'_>) -> Result<Arc<dyn AnyConnector>, String> {
        self.0.connect(with)
    }
}

impl fmt::Debug for DestinationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for DestinationKind {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(&*other.0)
    }
}

impl Eq for DestinationKind {}

/// [`DestinationSettings`] of any kind.
trait AnySettings: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn takes_changes(&self) -> bool;
    fn takes_events(&self) -> bool;
    fn as_any(&self) -> &dyn Any;
    fn is_same(&self, other: &dyn AnySettings) -> bool;
    fn place(&self) -> Vec<u8>;
    fn pace(&self) -> Pace;
    fn connect(&self, with: &ConnectContext<'_>) -> Result<Arc<dyn AnyConnector>, String>;
}

impl<S: DestinationSettings> AnySettings for S {
    fn name(&self) -> &'static str {
        S::TYPE
    }

    fn takes_changes(&self) -> bool {
        S::TAKES_CHANGES
    }

    fn takes_events(&self) -> bool {
        S::TAKES_EVENTS
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_same(&self, other: &dyn AnySettings) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn place(&self) -> Vec<u8> {
        DestinationSettings::place(self)
    }

    fn pace(&self) -> Pace {
        DestinationSettings::pace(self)
    }

    fn connect(&self, with: &ConnectContext<'_>) -> Result<Arc<dyn AnyConnector>, String> {
        Ok(Arc::new(DestinationSettings::connect(self, with)?))
    }
}

/// A [`Connector`] of any kind.
pub(in crate::egress) trait AnyConnector: fmt::Debug + Send + Sync {
    /// See [`Connector::encode`].
    fn encode(self: Arc<Self>, call: &CallBatch) -> Box<dyn AnyCall>;

    /// See [`Connector::counters`].
    fn counters(&self) -> Vec<(&'static str, u64)>;
}

impl<C: Connector> AnyConnector for C {
    fn encode(self: Arc<Self>, call: &CallBatch) -> Box<dyn AnyCall> {
        let payload = Connector::encode(&*self, call);
        Box::new(EncodedCall { connector: self, payload })
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        Connector::counters(self)
    }
}

/// A call that is encoded, of any kind: what it sends, with who sends it. So nothing has to find out of which kind a payload is.
pub(in crate::egress) trait AnyCall: Send + Sync {
    /// See [`Connector::deliver`]. Each attempt sends the same.
    fn attempt(&self) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>>;
}

struct EncodedCall<C: Connector> {
    connector: Arc<C>,
    payload: C::Payload,
}

impl<C: Connector> AnyCall for EncodedCall<C> {
    fn attempt(&self) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> {
        Box::pin(self.connector.deliver(&self.payload))
    }
}

/// A kind of destination that a project may have.
#[derive(Clone, Debug)]
pub struct DestinationType {
    name: &'static str,
    keys: KnownKeys,
    read: fn(&mut SettingsSection<'_, '_>) -> Option<DestinationKind>,
}

impl DestinationType {
    /// That of these settings.
    pub fn of<S: DestinationSettings>() -> Self {
        DestinationType {
            name: S::TYPE,
            keys: KnownKeys::of(S::read),
            read: |section| S::read(section).map(DestinationKind::new),
        }
    }
}

impl ConnectorType for DestinationType {
    type Resolved = DestinationKind;

    fn name(&self) -> &'static str {
        self.name
    }

    fn keys(&self) -> &KnownKeys {
        &self.keys
    }

    fn read(&self, section: &mut SettingsSection<'_, '_>) -> Option<DestinationKind> {
        (self.read)(section)
    }
}
