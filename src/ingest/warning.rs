//! What is told of an event that counts all the same: a stable code for programs, a message for people. Neither carries a
//! value of the event.

use std::fmt;

/// What a sender should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A second identifier of an exclusive type was left out.
    OtherPerson,
    /// A decision on a purpose that the project does not have.
    UnknownPurpose,
    /// A decision that is neither yes nor no.
    UnreadableConsent,
    /// An identifier that identifies nobody.
    BlockedIdentifier,
}

impl Warning {
    /// All of them, in the order in which they are told.
    pub const ALL: [Warning; 4] =
        [Warning::OtherPerson, Warning::UnknownPurpose, Warning::UnreadableConsent, Warning::BlockedIdentifier];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Warning::OtherPerson => "other_person",
            Warning::UnknownPurpose => "unknown_purpose",
            Warning::UnreadableConsent => "unreadable_consent",
            Warning::BlockedIdentifier => "blocked_identifier",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Warning::OtherPerson => {
                "a second identifier of an exclusive type, such as an external id of the type `user_id` beside `userId`, is \
                 left out: an event is of one person"
            }
            Warning::UnknownPurpose => {
                "a decision on consent is left out: the project does not have the purpose (`purposes` of [consent])"
            }
            Warning::UnreadableConsent => {
                "a decision on consent is left out: it is neither yes (true, \"yes\", \"granted\", 1) nor no (false, \"no\", \
                 \"denied\", 0, null)"
            }
            Warning::BlockedIdentifier => {
                "an identifier is left out, since its value stands for nobody (such as `null`, `test`, only zeros, or one of `blocked` in \
                 [identity]); an event without another one is of nobody"
            }
        })
    }
}

/// The warnings of one event, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings(u8);

impl Warnings {
    /// Adds one.
    pub fn add(&mut self, warning: Warning) {
        self.0 |= 1 << warning as u8;
    }

    /// Adds those of `others`.
    pub fn add_all(&mut self, others: Warnings) {
        self.0 |= others.0;
    }

    /// Those that there are.
    pub fn iter(self) -> impl Iterator<Item = Warning> {
        Warning::ALL.into_iter().filter(move |warning| self.0 & (1 << *warning as u8) != 0)
    }
}
