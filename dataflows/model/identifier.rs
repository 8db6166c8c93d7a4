//! Identifiers, and the profiles that they resolve to.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::Text;

/// The project's own key of the identifier hash, so that nobody outside can make two identifiers collide.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdentifierKey([u8; 16]);

impl IdentifierKey {
    /// Derives the key from a secret text of any length.
    pub fn from_secret(secret: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x64656c7461696301, 0x6964656e74697479);
        hasher.write(secret.as_bytes());
        IdentifierKey(hasher.finish128().as_bytes())
    }

    /// The same for the same key, and says nothing of it: whether two have the same.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(b"fingerprint of this key");
        hasher.finish()
    }
}

impl fmt::Debug for IdentifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentifierKey(..)")
    }
}

/// The 128-bit keyed hash (SipHash-1-3) of an identifier's type and value.
///
/// Two 64-bit halves rather than one `u128`, which would be aligned to 16 bytes and pad every record that holds it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentifierId {
    high: u64,
    low: u64,
}

impl IdentifierId {
    /// A word of the hash, for routing between workers.
    pub fn route(&self) -> u64 {
        self.low
    }

    /// By how many milliseconds the ends of windows of this grain are shifted for what this identifier holds: the first 64 bits of
    /// the hash modulo the grain (docs/concepts/windows.md). So the people of one grain do not all leave at one tick.
    ///
    /// ```
    /// use dataflows::model::IdentifierId;
    /// let mut bytes = [0; 16];
    /// bytes[7] = 203;
    /// assert_eq!(IdentifierId::from_bytes(bytes).shift_ms(100), 3);
    /// ```
    pub fn shift_ms(&self, grain_ms: u64) -> u64 {
        self.high % grain_ms
    }

    /// The bytes of the hash, in the order in which it is printed.
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.high) << 64) | u128::from(self.low)).to_be_bytes()
    }

    /// From those bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let hash = u128::from_be_bytes(bytes);
        IdentifierId { high: (hash >> 64) as u64, low: hash as u64 }
    }
}

impl fmt::Display for IdentifierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for IdentifierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A profile, named by the identifier at its root.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileId(IdentifierId);

impl ProfileId {
    /// The profile whose root is `root`.
    pub fn of_root(root: IdentifierId) -> Self {
        ProfileId(root)
    }

    /// The identifier at the root.
    pub fn root(&self) -> IdentifierId {
        self.0
    }

    /// A word of the hash, for routing between workers.
    pub fn route(&self) -> u64 {
        self.0.route()
    }

    /// The first byte of the hash: in which of 256 parts of all profiles this one is.
    pub fn part(&self) -> u8 {
        self.0.high.to_be_bytes()[0]
    }

    /// The least id of a part.
    pub fn first_of_part(part: u8) -> Self {
        ProfileId(IdentifierId { high: u64::from(part) << 56, low: 0 })
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An identifier went from one profile to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdentityChange {
    /// Which identifier.
    pub identifier: IdentifierId,
    /// Where it was; its own profile where it is new.
    pub from: ProfileId,
    /// Where it is.
    pub to: ProfileId,
}

/// What is wrong with the text of a [`ProfileId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAProfileId;

impl fmt::Display for NotAProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile id is 32 hexadecimal digits")
    }
}

impl std::error::Error for NotAProfileId {}

impl FromStr for ProfileId {
    type Err = NotAProfileId;

    fn from_str(text: &str) -> Result<Self, NotAProfileId> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAProfileId);
        }
        let half = |part: &str| u64::from_str_radix(part, 16).map_err(|_| NotAProfileId);
        Ok(ProfileId(IdentifierId { high: half(&text[..16])?, low: half(&text[16..])? }))
    }
}

/// A (type, value) pair as an event carries it, already normalised, with its hash.
///
/// Both parts are kept as one text, `type:value`; a type has no colon in its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identifier {
    id: IdentifierId,
    text: Text,
}

impl Identifier {
    /// The identifier `kind:value` under the project's key.
    ///
    /// `value` must be normalised and `kind` free of colons: ingestion sees to both.
    pub fn new(key: &IdentifierKey, kind: &str, value: &str) -> Self {
        debug_assert!(!kind.contains(':'), "an identifier type has no colon");
        let text: Text = [kind, ":", value].concat().into();
        let mut hasher = SipHasher13::new_with_key(&key.0);
        hasher.write(text.as_bytes());
        let hash = hasher.finish128();
        Identifier { id: IdentifierId { high: hash.h1, low: hash.h2 }, text }
    }

    /// The keyed hash.
    pub fn id(&self) -> IdentifierId {
        self.id
    }

    /// `type:value`.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// The type, such as `email`.
    pub fn kind(&self) -> &str {
        kind_of(&self.text)
    }

    /// Whether it is `kind:value`.
    ///
    /// ```
    /// use dataflows::model::{Identifier, IdentifierKey};
    /// let email = Identifier::new(&IdentifierKey::from_secret("secret"), "email", "a:b");
    /// assert!(email.is("email", "a:b"));
    /// assert!(!email.is("email", "b") && !email.is("mail", "a:b") && !email.is("", "a:b"));
    /// ```
    pub fn is(&self, kind: &str, value: &str) -> bool {
        debug_assert!(!kind.contains(':'), "an identifier type has no colon");
        self.text.strip_prefix(kind).and_then(|rest| rest.strip_prefix(':')) == Some(value)
    }

    /// The value, such as `a@b.org`.
    pub fn value(&self) -> &str {
        &self.text[self.kind().len() + 1..]
    }
}

/// The type of an identifier that is written `type:value`.
pub fn kind_of(text: &str) -> &str {
    // Types are short: a search by words takes longer to begin.
    text.bytes().position(|byte| byte == b':').map_or("", |colon| &text[..colon])
}

impl fmt::Debug for Identifier {
    /// Shows the hash, since the value is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id)
    }
}
