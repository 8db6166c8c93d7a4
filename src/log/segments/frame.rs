//! How a segment is written.
//!
//! ```text
//! segment: head · the same head again at 2048 · frames from 4096 on · zeros
//! head:    "deltaic3" · number of the segment (u64) · salt (u64) · XXH3 of these (u64)
//! frame:   "DlR" (3 bytes) · safety (u8) · bytes of the body (u32) · number (u64) · tick (u64) · tick before (u64)
//!          · XXH3 of the body (u64) · XXH3 of the segment's number, the place in the file and the 40 bytes before (u64)
//!          · body · zeros up to a multiple of 8
//! ```
//!
//! Numbers are big endian; both sums of a frame are keyed with the salt of its segment. So a frame is recognised wherever it
//! is, without knowing where the one before it ends, and what looks like one and is not where it was written is none: neither
//! what somebody put into an event, nor what another file had there before, nor a frame that changed its place. A head is there
//! twice, each in a sector of its own, because without the salt nothing of a segment can be recognised.

use dataflows::model::Tick;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::SegmentNumber;

/// Where the frames begin.
pub const FRAMES_AT: u64 = 4096;
/// Where the heads of a segment are.
pub const HEADS_AT: [u64; 2] = [0, 2048];
/// Bytes of the head of a segment.
pub const SEGMENT_HEAD: usize = 32;
/// Bytes of the head of a frame.
pub const FRAME_HEAD: usize = 48;
/// Frames begin at multiples of it, so that there are few places to look for one.
pub const ALIGNMENT: u64 = 8;
/// What a frame begins with.
pub const FRAME_MARK: [u8; 3] = *b"DlR";

const SEGMENT_MARK: [u8; 8] = *b"deltaic3";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    pub number: SegmentNumber,
    /// A number that nobody can know beforehand.
    pub salt: u64,
}

impl SegmentHead {
    /// As it is written.
    pub fn encode(self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[..8].copy_from_slice(&SEGMENT_MARK);
        bytes[8..16].copy_from_slice(&self.number.0.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_be_bytes());
        let sum = xxh3_64_with_seed(&bytes[..24], 0);
        bytes[24..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// What was written; nothing where it is not whole.
    pub fn decode(bytes: &[u8; SEGMENT_HEAD]) -> Option<Self> {
        let is_whole = bytes[..8] == SEGMENT_MARK && xxh3_64_with_seed(&bytes[..24], 0) == number(&bytes[24..]);
        is_whole.then(|| SegmentHead { number: SegmentNumber(number(&bytes[8..16])), salt: number(&bytes[16..24]) })
    }
}

/// What was promised of a frame when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing: it gets to the disk when the system thinks fit, and maybe later than frames behind it.
    Os,
    /// It was synced before anything behind it was written.
    Sync,
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    pub safety: Safety,
    /// Bytes of the body.
    pub bytes: u32,
    /// How many frames the log had before it, from its first day on.
    pub number: u64,
    pub tick: Tick,
    /// The tick of the frame before it; 0 for the first.
    pub previous: Tick,
    body_sum: u64,
}

impl FrameHead {
    /// That of a frame with this body.
    pub fn new(salt: u64, safety: Safety, number: u64, tick: Tick, previous: Tick, body: &[u8]) -> Option<Self> {
        let bytes = u32::try_from(body.len()).ok()?;
        Some(FrameHead { safety, bytes, number, tick, previous, body_sum: xxh3_64_with_seed(body, salt) })
    }

    /// As it is written at this place of the segment.
    pub fn encode(self, segment: SegmentHead, at: u64) -> [u8; FRAME_HEAD] {
        let mut bytes = [0; FRAME_HEAD];
        bytes[..3].copy_from_slice(&FRAME_MARK);
        bytes[3] = match self.safety {
            Safety::Os => 0,
            Safety::Sync => 1,
        };
        bytes[4..8].copy_from_slice(&self.bytes.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.tick.as_ms().to_be_bytes());
        bytes[24..32].copy_from_slice(&self.previous.as_ms().to_be_bytes());
        bytes[32..40].copy_from_slice(&self.body_sum.to_be_bytes());
        let sum = head_sum(segment, at, &bytes);
        bytes[40..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// What was written at this place of the segment; nothing where no frame begins there.
    pub fn decode(segment: SegmentHead, at: u64, bytes: &[u8; FRAME_HEAD]) -> Option<Self> {
        if bytes[..3] != FRAME_MARK || head_sum(segment, at, bytes) != number(&bytes[40..]) {
            return None;
        }
        let safety = match bytes[3] {
            0 => Safety::Os,
            1 => Safety::Sync,
            _ => return None,
        };
        Some(FrameHead {
            safety,
            bytes: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
            number: number(&bytes[8..16]),
            tick: Tick::from_ms(number(&bytes[16..24])),
            previous: Tick::from_ms(number(&bytes[24..32])),
            body_sum: number(&bytes[32..40]),
        })
    }

    /// Whether this is the body that was written.
    pub fn is_of(self, salt: u64, body: &[u8]) -> bool {
        body.len() == self.bytes as usize && xxh3_64_with_seed(body, salt) == self.body_sum
    }

    /// Where the frame behind it begins, if it is at this place.
    pub fn end(self, at: u64) -> u64 {
        (at + FRAME_HEAD as u64 + u64::from(self.bytes)).next_multiple_of(ALIGNMENT)
    }
}

fn head_sum(segment: SegmentHead, at: u64, bytes: &[u8; FRAME_HEAD]) -> u64 {
    let mut hasher = Xxh3::with_seed(segment.salt);
    hasher.update(&segment.number.0.to_be_bytes());
    hasher.update(&at.to_be_bytes());
    hasher.update(&bytes[..40]);
    hasher.digest()
}

/// Eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("the ranges above are of eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHead = SegmentHead { number: SegmentNumber(7), salt: 99 };

    fn frame() -> FrameHead {
        FrameHead::new(SEGMENT.salt, Safety::Sync, 3, Tick::from_ms(20), Tick::from_ms(10), b"body").unwrap()
    }

    #[test]
    fn heads_read_as_they_were_written_and_no_byte_of_them_can_change() {
        let (segment, bytes) = (SEGMENT.encode(), frame().encode(SEGMENT, 4096));
        assert_eq!(SegmentHead::decode(&segment), Some(SEGMENT));
        assert_eq!(FrameHead::decode(SEGMENT, 4096, &bytes), Some(frame()));
        for place in 0..SEGMENT_HEAD {
            let mut changed = segment;
            changed[place] ^= 1;
            assert_eq!(SegmentHead::decode(&changed), None, "byte {place}");
        }
        for place in 0..FRAME_HEAD {
            let mut changed = bytes;
            changed[place] ^= 1;
            assert_eq!(FrameHead::decode(SEGMENT, 4096, &changed), None, "byte {place}");
        }
    }

    #[test]
    fn a_frame_is_one_only_where_it_was_written() {
        let bytes = frame().encode(SEGMENT, 4096);
        assert_eq!(FrameHead::decode(SEGMENT, 4104, &bytes), None);
        assert_eq!(FrameHead::decode(SegmentHead { salt: 98, ..SEGMENT }, 4096, &bytes), None);
        assert_eq!(FrameHead::decode(SegmentHead { number: SegmentNumber(8), ..SEGMENT }, 4096, &bytes), None);
        assert!(frame().is_of(SEGMENT.salt, b"body"));
        assert!(!frame().is_of(SEGMENT.salt, b"bodx") && !frame().is_of(98, b"body"));
    }
}
