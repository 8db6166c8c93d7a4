//! What was decided on consent through one identifier that is not exclusive.

use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use triomphe::ThinArc;

use super::record::{Packed, RecordReader, pack};
use super::{EventOrder, Setting, Topic, Value};
use crate::limits::{DECISIONS_PER_PURPOSE_MAX, TOPICS_PER_IDENTIFIER_MAX};

/// Consent to a purpose was given, or withdrawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// For which purpose.
    pub purpose: CompactString,
    /// When.
    pub order: EventOrder,
    /// Whether it was given.
    pub given: bool,
}

/// Decisions through one identifier, by purpose, then order; each once.
///
/// Who held the identifier when one was made is only known from all of its links, so more than the latest one is kept: of each
/// purpose the [`DECISIONS_PER_PURPOSE_MAX`] latest, and of those before them the first and the latest of each answer. What is
/// kept of two pieces of a history together is what is kept of the whole, in whatever order the pieces come.
///
/// Packed as records are, one word wide.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decisions(Option<ThinArc<(), u8>>);

impl Decisions {
    /// All of them.
    pub fn all(&self) -> Vec<Decision> {
        unpack(self.as_bytes()).unwrap_or_default()
    }

    /// True where nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// These and those.
    pub fn and(&self, others: &Decisions) -> Decisions {
        if self.is_empty() || others.is_empty() {
            return if self.is_empty() { others.clone() } else { self.clone() };
        }
        self.all().into_iter().chain(others.all()).collect()
    }

    /// The decisions that these bytes are of, as [`Decisions::as_bytes`] gave them; nothing where they are of none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Decisions> {
        unpack(bytes).map(|decisions| decisions.into_iter().collect())
    }

    /// The decisions as they are in memory and in files. Another form is another format of the data folder.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.slice)
    }
}

impl FromIterator<Decision> for Decisions {
    fn from_iter<I: IntoIterator<Item = Decision>>(decisions: I) -> Self {
        let mut decisions: Vec<Decision> = decisions.into_iter().collect();
        decisions.sort_unstable();
        decisions.dedup();
        let of_purposes = decisions.chunk_by(|a, b| a.purpose == b.purpose).take(TOPICS_PER_IDENTIFIER_MAX);
        let (mut bytes, mut before) = (Vec::new(), None);
        for decision in of_purposes.flat_map(kept) {
            let Decision { purpose, order: EventOrder { at, position }, given } = decision.clone();
            let setting = Setting { topic: Topic::Consent(purpose), at, position, value: Some(Value::Bool(given)) };
            pack(&setting, before.replace((at, position)), &mut bytes);
        }
        Decisions((!bytes.is_empty()).then(|| ThinArc::from_header_and_slice((), &bytes)))
    }
}

impl Serialize for Decisions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Decisions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Decisions::from_bytes(&bytes).ok_or_else(|| serde::de::Error::custom("these are no decisions"))
    }
}

/// Those of one purpose that are kept, of all in their order.
fn kept(of_purpose: &[Decision]) -> impl Iterator<Item = &Decision> {
    let (before, latest) = of_purpose.split_at(of_purpose.len().saturating_sub(DECISIONS_PER_PURPOSE_MAX));
    let of = |given| move |place: &usize| before[*place].given == given;
    let first = |given| (0..before.len()).find(of(given));
    let last = |given| (0..before.len()).rfind(of(given));
    let mut places: Vec<usize> = [first(true), last(true), first(false), last(false)].into_iter().flatten().collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().map(|place| &before[place]).chain(latest)
}

fn unpack(bytes: &[u8]) -> Option<Vec<Decision>> {
    let (mut bytes, mut before, mut decisions) = (RecordReader(bytes), None, Vec::new());
    while !bytes.0.is_empty() {
        let packed = Packed::read(&mut bytes, before)?;
        before = Some(packed.moment);
        let Setting { topic: Topic::Consent(purpose), at, position, value: Some(Value::Bool(given)) } =
            packed.setting()
        else {
            return None;
        };
        decisions.push(Decision { purpose, order: EventOrder { at, position }, given });
    }
    Some(decisions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Position, Tick};

    fn decision(purpose: &str, ms: u64, given: bool) -> Decision {
        let at = Tick::from_ms(ms);
        let order = EventOrder { at, position: Position { tick: at, process: 0, index: 7 } };
        Decision { purpose: purpose.into(), order, given }
    }

    /// What is kept of these decisions for one purpose, as times with the answer.
    fn check(decided: impl IntoIterator<Item = (u64, bool)>, expected: &[(u64, bool)]) {
        let decisions: Vec<Decision> = decided.into_iter().map(|(ms, given)| decision("ads", ms, given)).collect();
        let kept: Decisions = decisions.iter().cloned().collect();
        let told: Vec<_> = kept.all().iter().map(|decision| (decision.order.at.as_ms(), decision.given)).collect();
        assert_eq!(told, expected);
        assert_eq!(Decisions::from_bytes(kept.as_bytes()), Some(kept.clone()));
        // In pieces, and the pieces in either order.
        for pieces in 2..7 {
            let piece = |of: usize| decisions.iter().skip(of).step_by(pieces).cloned().collect::<Decisions>();
            let together = |all: Decisions, of| all.and(&piece(of));
            assert_eq!((0..pieces).fold(Decisions::default(), together), kept, "{pieces} pieces");
            assert_eq!((0..pieces).rev().fold(Decisions::default(), together), kept, "{pieces} pieces from behind");
        }
    }

    #[test]
    fn the_latest_are_kept_and_the_ends_of_what_was_before() {
        check([(5, true), (3, false)], &[(3, false), (5, true)]);
        let latest = (100..100 + DECISIONS_PER_PURPOSE_MAX as u64).map(|ms| (ms, true));
        let then = |before: &[(u64, bool)]| before.iter().copied().chain(latest.clone()).collect::<Vec<_>>();
        check(then(&[(1, false)]), &then(&[(1, false)]));
        check(then(&[(1, false), (2, false), (3, false)]), &then(&[(1, false), (3, false)]));
        let before = [(1, true), (2, false), (3, true), (4, false), (5, true), (6, true)];
        check(then(&before), &then(&[(1, true), (2, false), (4, false), (6, true)]));
    }

    #[test]
    fn purposes_are_kept_apart() {
        let of = |purpose: &'static str| (0..100).map(move |ms| decision(purpose, ms, ms % 2 == 0));
        let decisions: Decisions = of("ads").chain(of("mail")).collect();
        assert_eq!(decisions.all().len(), 2 * (DECISIONS_PER_PURPOSE_MAX + 4));
        assert_eq!(decisions.and(&decisions), decisions, "each counts once");
        let many: Decisions = (0..5_000).map(|n| decision(&format!("p{n:04}"), 1, true)).collect();
        assert_eq!(many.all().len(), TOPICS_PER_IDENTIFIER_MAX);
    }

    #[test]
    fn foreign_bytes_are_none_and_no_panic() {
        for bytes in [&[5][..], &[9, 0xff, 0xff], &[1, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0], &[0xff; 40]] {
            assert_eq!(Decisions::from_bytes(bytes), None);
        }
    }
}
