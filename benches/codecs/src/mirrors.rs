//! Mirrors of the records that cross workers, of types that all codecs know: `String` for `Arc<str>` and `CompactString`,
//! `Vec<u8>` for packed settings, two `u64` for a weight. They are made *of* the records: bincode writes the record and reads
//! the mirror, and `main` checks that the mirror is written the same, so they have the same shape.

#![allow(deprecated, reason = "the macro of abomonation says that its derive is better; a crate less is")]
#![allow(unsafe_op_in_unsafe_fn, reason = "so is the trait of abomonation written")]

use std::io::{Result, Write};

use abomonation::{Abomonation, unsafe_abomonate};
use columnar::Columnar;
use serde::{Deserialize, Serialize};

/// An identifier's hash.
pub type Id = (u64, u64);

/// A link, from one end.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct Link {
    pub to: Id,
    pub owner: bool,
    pub at: u64,
}
unsafe_abomonate!(Link: to, owner, at);

/// An identifier that was seen, with what was set on it.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct Sighting {
    pub identifier: String,
    pub exclusive: bool,
    pub settings: Vec<u8>,
}
unsafe_abomonate!(Sighting: identifier, exclusive, settings);

/// Whom a part belongs to.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct Holder {
    pub id: Id,
    pub exclusive: bool,
}
unsafe_abomonate!(Holder: id, exclusive);

/// A value and when it was.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct Sample {
    pub at: u64,
    pub value: Value,
}
unsafe_abomonate!(Sample: at, value);

/// A value.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Time(u64),
    Text(String),
}

/// A part of a profile.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub enum Part {
    Identifier(String),
    Record(Vec<u8>),
    Count(u16),
    Sum(u16),
    Sample(u16, Sample),
}

impl Abomonation for Value {
    unsafe fn entomb<W: Write>(&self, write: &mut W) -> Result<()> {
        if let Value::Text(text) = self { text.entomb(write) } else { Ok(()) }
    }
    unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
        if let Value::Text(text) = self { text.exhume(bytes) } else { Some(bytes) }
    }
}

impl Abomonation for Part {
    unsafe fn entomb<W: Write>(&self, write: &mut W) -> Result<()> {
        match self {
            Part::Identifier(text) => text.entomb(write),
            Part::Record(settings) => settings.entomb(write),
            Part::Count(_) | Part::Sum(_) => Ok(()),
            Part::Sample(_, sample) => sample.entomb(write),
        }
    }
    unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
        match self {
            Part::Identifier(text) => text.exhume(bytes),
            Part::Record(settings) => settings.exhume(bytes),
            Part::Count(_) | Part::Sum(_) => Some(bytes),
            Part::Sample(_, sample) => sample.exhume(bytes),
        }
    }
}
