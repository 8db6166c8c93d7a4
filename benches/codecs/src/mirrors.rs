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
pub struct LinkMirror {
    pub to: Id,
    pub owner: bool,
    pub at: u64,
}
unsafe_abomonate!(LinkMirror: to, owner, at);

/// An identifier that was seen, with what was set on it.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct SightingMirror {
    pub identifier: String,
    pub exclusive: bool,
    pub settings: Vec<u8>,
}
unsafe_abomonate!(SightingMirror: identifier, exclusive, settings);

/// Whom a part belongs to.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct HolderMirror {
    pub id: Id,
    pub exclusive: bool,
}
unsafe_abomonate!(HolderMirror: id, exclusive);

/// A value and when it was.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub struct SampleMirror {
    pub at: u64,
    pub value: ValueMirror,
}
unsafe_abomonate!(SampleMirror: at, value);

/// A value.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub enum ValueMirror {
    Bool(bool),
    Number(f64),
    Time(u64),
    Text(String),
}

/// A part of a profile.
#[derive(Clone, Columnar, Serialize, Deserialize)]
pub enum PartMirror {
    Identifier(String),
    Record(Vec<u8>),
    Count(u16),
    Sum(u16),
    Sample(u16, SampleMirror),
}

impl Abomonation for ValueMirror {
    unsafe fn entomb<W: Write>(&self, write: &mut W) -> Result<()> {
        if let ValueMirror::Text(text) = self { text.entomb(write) } else { Ok(()) }
    }
    unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
        if let ValueMirror::Text(text) = self { text.exhume(bytes) } else { Some(bytes) }
    }
}

impl Abomonation for PartMirror {
    unsafe fn entomb<W: Write>(&self, write: &mut W) -> Result<()> {
        match self {
            PartMirror::Identifier(text) => text.entomb(write),
            PartMirror::Record(settings) => settings.entomb(write),
            PartMirror::Count(_) | PartMirror::Sum(_) => Ok(()),
            PartMirror::Sample(_, sample) => sample.entomb(write),
        }
    }
    unsafe fn exhume<'b>(&mut self, bytes: &'b mut [u8]) -> Option<&'b mut [u8]> {
        match self {
            PartMirror::Identifier(text) => text.exhume(bytes),
            PartMirror::Record(settings) => settings.exhume(bytes),
            PartMirror::Count(_) | PartMirror::Sum(_) => Some(bytes),
            PartMirror::Sample(_, sample) => sample.exhume(bytes),
        }
    }
}
