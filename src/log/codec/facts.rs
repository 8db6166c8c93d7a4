//! Facts of identifiers as a checkpoint has them.
//!
//! Measures are written as places in the list of measures that the checkpoint begins with. Records are written as they are
//! packed in memory. Facts of formats 1 and 2 have no positions. Those, and what format 3 had at first, have no decisions apart
//! from records, and no aliases, which came last of all; otherwise they are the same.

use std::cmp::Reverse;

use bincode::Options;
use dataflows::definitions::MeasureId;
use dataflows::facts::{Aliases, Facts};
use dataflows::model::{
    Decisions, EventOrder, IdentifierId, Part, Position, Record, RunValue, Sample, SessionRun, Strength, Tick, Weight,
};
use dataflows::observer::{AliasContribution, Link};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::value::StoredValue;
use super::{CodecError, as_bytes, options};

/// A position as seen from the time of its event, in ticks after it; nothing where it is not known.
type RelativePosition = Option<(i64, u16, u32)>;

/// What is kept of a position.
trait StoredPosition: DeserializeOwned {
    /// The position of an event of this time.
    fn of_time(self, at: u64) -> Position;
}

impl StoredPosition for RelativePosition {
    fn of_time(self, at: u64) -> Position {
        self.map_or(Position::UNKNOWN, |(delay_ms, process, index)| {
            let tick = Tick::from_ms(at.wrapping_add(delay_ms as u64));
            Position { tick, process, index }
        })
    }
}

/// Of formats 1 and 2.
impl StoredPosition for () {
    fn of_time(self, _at: u64) -> Position {
        Position::UNKNOWN
    }
}

fn kept(at: Tick, position: Position) -> RelativePosition {
    let delay_ms = position.tick.as_ms().wrapping_sub(at.as_ms()) as i64;
    position.is_known().then_some((delay_ms, position.process, position.index))
}

#[derive(Serialize, Deserialize)]
struct StoredFacts<'a, P> {
    id: IdentifierId,
    identifier: &'a str,
    exclusive: bool,
    #[serde(borrow, serialize_with = "as_bytes")]
    record: &'a [u8],
    links: Vec<StoredLink<P>>,
    /// Measure, time, position, value.
    best: Vec<(u16, u64, P, StoredValue<'a>)>,
    /// When it comes, what, and with which weight.
    parts: Vec<(u64, StoredPart<'a, P>, i128)>,
}

/// The other end, bits that say whether it is an owner and whether the link is weak, the time, the position. (Of earlier versions
/// no link is weak.)
#[derive(Serialize, Deserialize)]
struct StoredLink<P>(IdentifierId, u8, u64, P);

/// Set where the other end of a link is an owner.
const OWNER: u8 = 1;
/// Set where a link is weak.
const WEAK: u8 = 2;

impl StoredLink<RelativePosition> {
    fn of(Link { position, other, owner, at, strength }: &Link) -> Self {
        let bits = u8::from(*owner) | if *strength == Strength::Weak { WEAK } else { 0 };
        StoredLink(*other, bits, at.as_ms(), kept(*at, *position))
    }
}

impl<P: StoredPosition> StoredLink<P> {
    fn link(self) -> Link {
        let StoredLink(other, bits, at, position) = self;
        Link {
            position: position.of_time(at),
            other,
            owner: bits & OWNER != 0,
            at: Tick::from_ms(at),
            strength: if bits & WEAK != 0 { Strength::Weak } else { Strength::Strong },
        }
    }
}

/// See [`AliasContribution`].
#[derive(Serialize, Deserialize)]
enum StoredAlias {
    Target,
    Link(StoredLink<RelativePosition>),
    Moved(StoredLink<RelativePosition>),
    Untrusted,
}

impl StoredAlias {
    fn of(alias: &AliasContribution) -> Self {
        match alias {
            AliasContribution::Target => StoredAlias::Target,
            AliasContribution::Link(link) => StoredAlias::Link(StoredLink::of(link)),
            AliasContribution::Moved(link) => StoredAlias::Moved(StoredLink::of(link)),
            AliasContribution::Untrusted => StoredAlias::Untrusted,
        }
    }

    fn alias(self) -> AliasContribution {
        match self {
            StoredAlias::Target => AliasContribution::Target,
            StoredAlias::Link(link) => AliasContribution::Link(link.link()),
            StoredAlias::Moved(link) => AliasContribution::Moved(link.link()),
            StoredAlias::Untrusted => AliasContribution::Untrusted,
        }
    }
}

/// Bytes that are written as such.
#[derive(Serialize, Deserialize)]
struct RawBytes<'a>(#[serde(borrow, serialize_with = "as_bytes")] &'a [u8]);

#[derive(Serialize, Deserialize)]
enum StoredPart<'a, P> {
    Count(u16),
    Sum(u16),
    Sample(u16, u64, P, #[serde(borrow)] StoredValue<'a>),
    Run(u16, #[serde(borrow)] StoredRun<'a, P>),
}

/// See [`SessionRun`].
#[derive(Serialize, Deserialize)]
struct StoredRun<'a, P> {
    end: (u64, P),
    start: (u64, P),
    of: Option<IdentifierId>,
    events: u64,
    #[serde(borrow)]
    values: Vec<StoredRunValue<'a, P>>,
}

/// Time, position, value.
#[derive(Serialize, Deserialize)]
struct StoredSample<'a, P>(u64, P, #[serde(borrow)] StoredValue<'a>);

/// See [`RunValue`].
#[derive(Serialize, Deserialize)]
enum StoredRunValue<'a, P> {
    Count(u64),
    Sum(u64, i128),
    #[serde(borrow)]
    Least(Option<StoredSample<'a, P>>),
    Greatest(Option<StoredSample<'a, P>>),
    Distinct(Vec<StoredSample<'a, P>>),
}

impl<'a> StoredRun<'a, RelativePosition> {
    fn of(run: &'a SessionRun) -> Self {
        let SessionRun { end: Reverse(end), start, of, events, values } = run;
        let order = |order: &EventOrder| (order.at.as_ms(), kept(order.at, order.position));
        let sample = |Sample { at, position, value }: &'a Sample| {
            StoredSample(at.as_ms(), kept(*at, *position), StoredValue::of(value))
        };
        let value = |value: &'a RunValue| match value {
            RunValue::Count(count) => StoredRunValue::Count(*count),
            RunValue::Sum(count, sum) => StoredRunValue::Sum(*count, sum.0),
            RunValue::Least(least) => StoredRunValue::Least(least.as_ref().map(sample)),
            RunValue::Greatest(greatest) => StoredRunValue::Greatest(greatest.as_ref().map(sample)),
            RunValue::Distinct(samples) => StoredRunValue::Distinct(samples.iter().map(sample).collect()),
        };
        StoredRun {
            end: order(end),
            start: order(start),
            of: *of,
            events: *events,
            values: values.iter().map(value).collect(),
        }
    }
}

impl<P: StoredPosition> StoredSample<'_, P> {
    fn sample(self) -> Result<Sample, CodecError> {
        let StoredSample(at, position, value) = self;
        let (at, position) = (Tick::from_ms(at), position.of_time(at));
        value.value().map(|value| Sample { at, position, value })
    }
}

impl<P: StoredPosition> StoredRun<'_, P> {
    fn run(self) -> Result<SessionRun, CodecError> {
        let StoredRun { end, start, of, events, values } = self;
        let order = |(at, position): (u64, P)| EventOrder { at: Tick::from_ms(at), position: position.of_time(at) };
        let value = |value: StoredRunValue<'_, P>| {
            Ok(match value {
                StoredRunValue::Count(count) => RunValue::Count(count),
                StoredRunValue::Sum(count, sum) => RunValue::Sum(count, Weight(sum)),
                StoredRunValue::Least(least) => RunValue::Least(least.map(StoredSample::sample).transpose()?),
                StoredRunValue::Greatest(best) => RunValue::Greatest(best.map(StoredSample::sample).transpose()?),
                StoredRunValue::Distinct(samples) => {
                    RunValue::Distinct(samples.into_iter().map(StoredSample::sample).collect::<Result<_, _>>()?)
                }
            })
        };
        let values = values.into_iter().map(value).collect::<Result<_, CodecError>>()?;
        Ok(SessionRun { end: Reverse(order(end)), start: order(start), of, events, values })
    }
}

/// Appends the facts of an identifier to a block.
pub fn encode_facts(id: IdentifierId, facts: &Facts, block: &mut Vec<u8>) {
    let measure = |measure: MeasureId| u16::try_from(measure.index()).expect("ids of measures have 16 bits");
    let best = facts.best.iter().map(|(of, sample)| {
        let Sample { at, position, value } = sample;
        (measure(*of), at.as_ms(), kept(*at, *position), StoredValue::of(value))
    });
    let parts = facts.parts.iter().filter_map(|(at, part, weight)| {
        let part = match part {
            Part::Count(of) => StoredPart::Count(measure(*of)),
            Part::Sum(of) => StoredPart::Sum(measure(*of)),
            Part::Sample(of, sample) => {
                let Sample { at, position, value } = &**sample;
                StoredPart::Sample(measure(*of), at.as_ms(), kept(*at, *position), StoredValue::of(value))
            }
            Part::Run(of, run) => StoredPart::Run(measure(*of), StoredRun::of(run)),
            // These are told by the sightings of the identifier.
            Part::Identifier(_) | Part::Record(_) => return None,
        };
        Some((at.as_ms(), part, weight.0))
    });
    let stored = StoredFacts {
        id,
        identifier: &facts.identifier,
        exclusive: facts.exclusive,
        record: facts.record.as_bytes(),
        links: facts.links.iter().map(StoredLink::of).collect(),
        best: best.collect(),
        parts: parts.collect(),
    };
    let aliases: Vec<_> = facts.aliases.all().map(|alias| StoredAlias::of(&alias)).collect();
    let stored = (stored, RawBytes(facts.decisions.as_bytes()), aliases);
    bincode::DefaultOptions::new().serialize_into(block, &stored).expect("memory takes what is written to it");
}

/// The bytes of a list of so many facts, which [`encode_facts`] has appended to `list`.
pub fn facts_block(count: usize, list: &[u8]) -> Vec<u8> {
    // A list is its length, then what is in it.
    let mut block = bincode::DefaultOptions::new().serialize(&(count as u64)).expect("a number can be written");
    block.extend_from_slice(list);
    block
}

/// What there is of facts in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactsForm {
    /// Formats 1 and 2.
    WithoutPositions,
    /// Format 3 at first.
    WithoutDecisions,
    /// Format 3 after that.
    WithoutAliases,
    /// What is written.
    Whole,
}

/// The facts of a block. `measure` tells which measure of today a place in the checkpoint's list stands for: what is of none
/// is left out.
pub fn decode_facts(
    block: &[u8],
    form: FactsForm,
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<Vec<(IdentifierId, Facts)>, CodecError> {
    match form {
        FactsForm::WithoutPositions => former::<()>(block, measure),
        FactsForm::WithoutDecisions => former::<RelativePosition>(block, measure),
        FactsForm::WithoutAliases => {
            let all = list::<(StoredFacts<'_, RelativePosition>, RawBytes<'_>)>(block)?.into_iter();
            all.map(|(stored, decisions)| whole(stored, decisions, Aliases::default(), measure)).collect()
        }
        FactsForm::Whole => {
            let all = list::<(StoredFacts<'_, RelativePosition>, RawBytes<'_>, Vec<StoredAlias>)>(block)?.into_iter();
            let aliases = |stored: Vec<StoredAlias>| stored.into_iter().map(StoredAlias::alias).collect();
            all.map(|(stored, decisions, stored_aliases)| whole(stored, decisions, aliases(stored_aliases), measure))
                .collect()
        }
    }
}

fn former<P: StoredPosition>(
    block: &[u8],
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<Vec<(IdentifierId, Facts)>, CodecError> {
    let facts = |stored| one(stored, measure).map(|(id, facts)| (id, facts.with_decisions_apart()));
    list::<StoredFacts<'_, P>>(block)?.into_iter().map(facts).collect()
}

fn whole(
    stored: StoredFacts<'_, RelativePosition>,
    decisions: RawBytes<'_>,
    aliases: Aliases,
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<(IdentifierId, Facts), CodecError> {
    let (id, facts) = one(stored, measure)?;
    let none = || CodecError::Malformed("decisions are none".to_owned());
    Ok((id, Facts { decisions: Decisions::from_bytes(decisions.0).ok_or_else(none)?, aliases, ..facts }))
}

fn list<'b, T: Deserialize<'b>>(block: &'b [u8]) -> Result<Vec<T>, CodecError> {
    options().deserialize(block).map_err(|error| CodecError::Malformed(error.to_string()))
}

fn one<P: StoredPosition>(
    stored: StoredFacts<'_, P>,
    measure: &impl Fn(u16) -> Option<MeasureId>,
) -> Result<(IdentifierId, Facts), CodecError> {
    let no_record = || CodecError::Malformed("a record is none".to_owned());
    let mut facts = Facts {
        identifier: stored.identifier.into(),
        exclusive: stored.exclusive,
        record: Record::from_bytes(stored.record).ok_or_else(no_record)?,
        links: Vec::with_capacity(stored.links.len()),
        aliases: Aliases::default(),
        decisions: Decisions::default(),
        best: Vec::with_capacity(stored.best.len()),
        parts: Vec::with_capacity(stored.parts.len()),
    };
    let sample = |at, position: P, value| StoredSample(at, position, value).sample();
    facts.links.extend(stored.links.into_iter().map(StoredLink::link));
    for (of, at, position, value) in stored.best {
        let Some(of) = measure(of) else { continue };
        facts.best.push((of, sample(at, position, value)?));
    }
    facts.best.sort_unstable_by_key(|(measure, _)| *measure);
    for (at, part, weight) in stored.parts {
        let part = match part {
            StoredPart::Count(of) => measure(of).map(Part::Count),
            StoredPart::Sum(of) => measure(of).map(Part::Sum),
            StoredPart::Sample(of, at, position, value) => {
                let sample = sample(at, position, value)?;
                measure(of).map(|of| Part::Sample(of, sample.into()))
            }
            StoredPart::Run(of, run) => {
                let run = run.run()?;
                measure(of).map(|of| Part::Run(of, run.into()))
            }
        };
        facts.parts.extend(part.map(|part| (Tick::from_ms(at), part, Weight(weight))));
    }
    Ok((stored.id, facts))
}

/// Ids of messages by tick.
pub fn encode_messages(messages: &[(Tick, Vec<u128>)]) -> Vec<u8> {
    bincode::DefaultOptions::new().serialize(messages).expect("memory takes what is written to it")
}

/// The same again.
pub fn decode_messages(block: &[u8]) -> Result<Vec<(Tick, Vec<u128>)>, CodecError> {
    options().deserialize(block).map_err(|error| CodecError::Malformed(error.to_string()))
}
