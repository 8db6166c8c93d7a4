//! What processes say to the owners of ids, and what these answer, as bytes.
//!
//! ```text
//! frame    bytes of what follows (u32) · kind (u8) · what it says
//! ```
//!
//! Numbers are big endian. A frame that is none is an error that ends the process, and nothing is set aside for one before its size
//! is known to be allowed.

use std::io::{self, ErrorKind};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dataflows::model::Tick;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::former::FormerId;
use super::ids::{ClaimVerdict, Passed};
use crate::limits::OWNERS_FRAME_BYTES_MAX;

/// Bytes of the secret that the processes of a cluster share for as long as they run.
pub const SECRET_BYTES: usize = 32;

/// What a process says to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// First of all: who it is.
    Hello { secret: [u8; SECRET_BYTES], process: u16, reaches: Option<Tick>, now: Tick },
    /// It wants to count these messages.
    Ask { request: u64, now: Tick, ids: Vec<u128> },
    /// What it claimed counted at a tick, or it will not count.
    Settle { request: u64, counted: Option<Tick> },
    /// These counted, as its checkpoint or its log says.
    Counted { tick: Tick, ids: Vec<u128> },
    /// These are in its log, which an earlier version wrote, or counted as its checkpoint says.
    Former(Vec<FormerId>),
    /// There are no more of them.
    FormerEnd,
    /// It is so far; with nothing, it ends.
    Passed(Option<Passed>),
    /// It needs the ids up to this tick on the disk.
    Want(Tick),
    /// It says no more.
    Bye,
}

/// What an owner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is of this process; all ids up to this tick are on its disk, if it has any there.
    Welcome(Option<Tick>),
    /// What it says to a request.
    Verdict { request: u64, verdict: ClaimVerdict },
    /// Of what the process's log has from an earlier version, these do not count.
    Repeated(Vec<(Tick, u128)>),
    /// The others do.
    RepeatedEnd,
    /// All ids up to this tick are on its disk; or it has no disk, and needs nobody to wait.
    OnDisk(Tick),
}

mod kind {
    pub const HELLO: u8 = 1;
    pub const ASK: u8 = 2;
    pub const SETTLE: u8 = 3;
    pub const COUNTED: u8 = 4;
    pub const PASSED: u8 = 5;
    pub const WANT: u8 = 6;
    pub const BYE: u8 = 7;
    pub const WELCOME: u8 = 8;
    pub const CLAIMED: u8 = 9;
    pub const BUSY: u8 = 10;
    pub const UNABLE: u8 = 11;
    pub const ON_DISK: u8 = 12;
    pub const FORMER: u8 = 13;
    pub const FORMER_END: u8 = 14;
    pub const REPEATED: u8 = 15;
    pub const REPEATED_END: u8 = 16;
}

/// Something that is a frame.
pub trait Frame: Sized {
    /// Writes it behind what is there.
    fn write(&self, out: &mut BytesMut);

    /// Reads it from all of the bytes of a frame.
    fn parse(bytes: Bytes) -> Option<Self>;
}

/// Reads the next frame; nothing where the other side ended between two of them.
pub async fn read<F: Frame>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<F>> {
    read_within(from, OWNERS_FRAME_BYTES_MAX).await
}

/// The same of who has not said yet who it is: little is set aside for strangers.
pub async fn read_hello(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Said>> {
    /// Kind, secret, process and two ticks.
    const BYTES_MAX: usize = 64 + SECRET_BYTES;
    read_within(from, BYTES_MAX).await
}

async fn read_within<F: Frame>(from: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Option<F>> {
    let bytes = match from.read_u32().await {
        Ok(bytes) => bytes as usize,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let bad = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
    if bytes > bytes_max {
        return Err(bad("a frame is larger than any"));
    }
    let mut frame = vec![0; bytes];
    from.read_exact(&mut frame).await?;
    F::parse(frame.into()).map(Some).ok_or_else(|| bad("a frame is malformed"))
}

impl Frame for Said {
    fn write(&self, out: &mut BytesMut) {
        framed(out, |out| match self {
            Said::Hello { secret, process, reaches, now } => {
                out.put_u8(kind::HELLO);
                out.put_slice(secret);
                out.put_u16(*process);
                put_maybe(out, *reaches);
                put_tick(out, *now);
            }
            Said::Ask { request, now, ids } => {
                out.put_u8(kind::ASK);
                out.put_u64(*request);
                put_tick(out, *now);
                ids.iter().for_each(|id| out.put_u128(*id));
            }
            Said::Settle { request, counted } => {
                out.put_u8(kind::SETTLE);
                out.put_u64(*request);
                put_maybe(out, *counted);
            }
            Said::Counted { tick, ids } => {
                out.put_u8(kind::COUNTED);
                put_tick(out, *tick);
                ids.iter().for_each(|id| out.put_u128(*id));
            }
            Said::Former(ids) => {
                out.put_u8(kind::FORMER);
                for FormerId { id, tick, has_counted } in ids {
                    out.put_u128(*id);
                    put_tick(out, *tick);
                    out.put_u8((*has_counted).into());
                }
            }
            Said::FormerEnd => out.put_u8(kind::FORMER_END),
            Said::Passed(passed) => {
                out.put_u8(kind::PASSED);
                out.put_u8(passed.map_or(0, |passed| 1 + u8::from(passed.is_recovered)));
                put_tick(out, passed.map_or(Tick::default(), |passed| passed.before));
            }
            Said::Want(tick) => {
                out.put_u8(kind::WANT);
                put_tick(out, *tick);
            }
            Said::Bye => out.put_u8(kind::BYE),
        });
    }

    fn parse(mut bytes: Bytes) -> Option<Self> {
        let from = &mut bytes;
        let said = match from.try_get_u8().ok()? {
            kind::HELLO => {
                let mut secret = [0; SECRET_BYTES];
                from.try_copy_to_slice(&mut secret).ok()?;
                let process = from.try_get_u16().ok()?;
                Said::Hello { secret, process, reaches: get_maybe(from)?, now: get_tick(from)? }
            }
            kind::ASK => Said::Ask { request: from.try_get_u64().ok()?, now: get_tick(from)?, ids: get_ids(from)? },
            kind::SETTLE => Said::Settle { request: from.try_get_u64().ok()?, counted: get_maybe(from)? },
            kind::COUNTED => Said::Counted { tick: get_tick(from)?, ids: get_ids(from)? },
            kind::FORMER => {
                let mut ids = Vec::new();
                while from.has_remaining() {
                    let (id, tick) = (from.try_get_u128().ok()?, get_tick(from)?);
                    let has_counted = match from.try_get_u8().ok()? {
                        0 => false,
                        1 => true,
                        _ => return None,
                    };
                    ids.push(FormerId { id, tick, has_counted });
                }
                Said::Former(ids)
            }
            kind::FORMER_END => Said::FormerEnd,
            kind::PASSED => {
                let state = from.try_get_u8().ok()?;
                let passed = Passed { before: get_tick(from)?, is_recovered: state == 2 };
                Said::Passed(match state {
                    0 => None,
                    1 | 2 => Some(passed),
                    _ => return None,
                })
            }
            kind::WANT => Said::Want(get_tick(from)?),
            kind::BYE => Said::Bye,
            _ => return None,
        };
        from.is_empty().then_some(said)
    }
}

impl Frame for Heard {
    fn write(&self, out: &mut BytesMut) {
        framed(out, |out| match self {
            Heard::Welcome(through) => {
                out.put_u8(kind::WELCOME);
                put_maybe(out, *through);
            }
            Heard::Verdict { request, verdict } => {
                out.put_u8(match verdict {
                    ClaimVerdict::Claimed(_) => kind::CLAIMED,
                    ClaimVerdict::Busy => kind::BUSY,
                    ClaimVerdict::Unable => kind::UNABLE,
                });
                out.put_u64(*request);
                if let ClaimVerdict::Claimed(counted) = verdict {
                    counted.iter().for_each(|counted| put_maybe(out, *counted));
                }
            }
            Heard::Repeated(ids) => {
                out.put_u8(kind::REPEATED);
                for (tick, id) in ids {
                    put_tick(out, *tick);
                    out.put_u128(*id);
                }
            }
            Heard::RepeatedEnd => out.put_u8(kind::REPEATED_END),
            Heard::OnDisk(tick) => {
                out.put_u8(kind::ON_DISK);
                put_tick(out, *tick);
            }
        });
    }

    fn parse(mut bytes: Bytes) -> Option<Self> {
        let from = &mut bytes;
        let kind = from.try_get_u8().ok()?;
        let heard = match kind {
            kind::WELCOME => Heard::Welcome(get_maybe(from)?),
            kind::CLAIMED | kind::BUSY | kind::UNABLE => {
                let request = from.try_get_u64().ok()?;
                let verdict = match kind {
                    kind::BUSY => ClaimVerdict::Busy,
                    kind::UNABLE => ClaimVerdict::Unable,
                    _ => {
                        let mut counted = Vec::new();
                        while from.has_remaining() {
                            counted.push(get_maybe(from)?);
                        }
                        ClaimVerdict::Claimed(counted)
                    }
                };
                Heard::Verdict { request, verdict }
            }
            kind::REPEATED => {
                let mut ids = Vec::new();
                while from.has_remaining() {
                    ids.push((get_tick(from)?, from.try_get_u128().ok()?));
                }
                Heard::Repeated(ids)
            }
            kind::REPEATED_END => Heard::RepeatedEnd,
            kind::ON_DISK => Heard::OnDisk(get_tick(from)?),
            _ => return None,
        };
        from.is_empty().then_some(heard)
    }
}

/// Writes a frame with its size before it.
fn framed(out: &mut BytesMut, content: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_u32(0);
    content(out);
    let bytes = u32::try_from(out.len() - at - 4).expect("a request has fewer messages than that");
    out[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
}

fn put_tick(out: &mut BytesMut, tick: Tick) {
    out.put_u64(tick.as_ms());
}

fn get_tick(from: &mut Bytes) -> Option<Tick> {
    from.try_get_u64().ok().map(Tick::from_ms)
}

/// Nothing is a byte.
fn put_maybe(out: &mut BytesMut, tick: Option<Tick>) {
    match tick {
        None => out.put_u8(0),
        Some(tick) => {
            out.put_u8(1);
            put_tick(out, tick);
        }
    }
}

fn get_maybe(from: &mut Bytes) -> Option<Option<Tick>> {
    match from.try_get_u8().ok()? {
        0 => Some(None),
        1 => get_tick(from).map(Some),
        _ => None,
    }
}

/// All that is left.
fn get_ids(from: &mut Bytes) -> Option<Vec<u128>> {
    if !from.len().is_multiple_of(size_of::<u128>()) {
        return None;
    }
    let mut ids = Vec::with_capacity(from.len() / size_of::<u128>());
    while from.has_remaining() {
        ids.push(from.try_get_u128().ok()?);
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tick() -> impl Strategy<Value = Tick> {
        any::<u64>().prop_map(Tick::from_ms)
    }

    fn ids() -> impl Strategy<Value = Vec<u128>> {
        prop::collection::vec(any::<u128>(), 0..50)
    }

    fn said() -> impl Strategy<Value = Said> {
        let maybe = || prop::option::of(tick());
        let passed = (tick(), any::<bool>()).prop_map(|(before, is_recovered)| Passed { before, is_recovered });
        let former = (any::<u128>(), tick(), any::<bool>());
        let former = former.prop_map(|(id, tick, has_counted)| FormerId { id, tick, has_counted });
        prop_oneof![
            (any::<[u8; SECRET_BYTES]>(), any::<u16>(), maybe(), tick())
                .prop_map(|(secret, process, reaches, now)| Said::Hello { secret, process, reaches, now }),
            (any::<u64>(), tick(), ids()).prop_map(|(request, now, ids)| Said::Ask { request, now, ids }),
            (any::<u64>(), maybe()).prop_map(|(request, counted)| Said::Settle { request, counted }),
            (tick(), ids()).prop_map(|(tick, ids)| Said::Counted { tick, ids }),
            prop::collection::vec(former, 0..50).prop_map(Said::Former),
            Just(Said::FormerEnd),
            prop::option::of(passed).prop_map(Said::Passed),
            tick().prop_map(Said::Want),
            Just(Said::Bye),
        ]
    }

    fn heard() -> impl Strategy<Value = Heard> {
        let counted = prop::collection::vec(prop::option::of(tick()), 0..50);
        let verdict =
            prop_oneof![counted.prop_map(ClaimVerdict::Claimed), Just(ClaimVerdict::Busy), Just(ClaimVerdict::Unable)];
        prop_oneof![
            prop::option::of(tick()).prop_map(Heard::Welcome),
            (any::<u64>(), verdict).prop_map(|(request, verdict)| Heard::Verdict { request, verdict }),
            prop::collection::vec((tick(), any::<u128>()), 0..50).prop_map(Heard::Repeated),
            Just(Heard::RepeatedEnd),
            tick().prop_map(Heard::OnDisk),
        ]
    }

    fn read_all<F: Frame>(mut bytes: &[u8]) -> io::Result<Vec<F>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut frames = Vec::new();
            while let Some(frame) = read(&mut bytes).await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(said in prop::collection::vec(said(), 0..8), heard in prop::collection::vec(heard(), 0..8)) {
            let mut bytes = BytesMut::new();
            said.iter().for_each(|frame| frame.write(&mut bytes));
            prop_assert_eq!(read_all::<Said>(&bytes).unwrap(), said);
            bytes.clear();
            heard.iter().for_each(|frame| frame.write(&mut bytes));
            prop_assert_eq!(read_all::<Heard>(&bytes).unwrap(), heard);
        }

        #[test]
        fn any_bytes_are_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            _ = read_all::<Said>(&bytes);
            _ = read_all::<Heard>(&bytes);
            _ = Said::parse(bytes.clone().into());
            _ = Heard::parse(bytes.into());
        }

        #[test]
        fn a_frame_that_is_cut_or_longer_is_none(said in said(), cut: prop::sample::Index) {
            let mut bytes = BytesMut::new();
            said.write(&mut bytes);
            let content = bytes.split_off(4).freeze();
            let cut = cut.index(content.len());
            let parsed = Said::parse(content.slice(..cut));
            prop_assert_ne!(parsed, Some(said.clone()));
            if !matches!(said, Said::Ask { .. } | Said::Counted { .. } | Said::Former(_)) {
                prop_assert_eq!(Said::parse([&content[..], &[0]].concat().into()), None);
            }
        }
    }

    #[test]
    fn nothing_is_set_aside_for_a_frame_that_is_too_large() {
        let error = read_all::<Said>(&u32::MAX.to_be_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "a frame is larger than any");
    }
}
