//! What the processes of a cluster say to each other all the time:
//!
//! ```text
//! beat     kind (u8) · bytes of what follows (u16) · what it says
//! ```
//!
//! Numbers are big endian. Beats of a kind that is not known are skipped.

use std::io::{self, ErrorKind};

use dataflows::model::Tick;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of what a beat says. No kind has more than some numbers.
const BEAT_BYTES_MAX: usize = 1_024;

/// What a process says to each other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It is there; all ticks before this one are complete at it.
    Alive {
        /// The first tick that is not complete there.
        frontier: Tick,
    },
    /// It was told to stop.
    Stops,
    /// A mistake of the program ends it.
    Fails,
    /// It asks process 0 for its time.
    Ask {
        /// When, in microseconds since its machine was started.
        asked_us: i64,
        /// How far its own clock is ahead of what it heard before, in milliseconds.
        skew_ms: i64,
    },
    /// Process 0 says its time.
    Time {
        /// When it was asked.
        asked_us: i64,
        /// The time of its ticks, in microseconds since the Unix epoch.
        time_us: i64,
        /// What its clock shows.
        wall_us: i64,
    },
    /// It says no more, and all is well.
    Bye,
}

impl Beat {
    const ALIVE: u8 = 1;
    const STOPS: u8 = 2;
    const BYE: u8 = 3;
    const FAILS: u8 = 4;
    const ASK: u8 = 5;
    const TIME: u8 = 6;

    /// Writes it.
    pub async fn write(self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let (kind, said) = match self {
            Beat::Alive { frontier } => (Self::ALIVE, frontier.as_ms().to_be_bytes().to_vec()),
            Beat::Stops => (Self::STOPS, Vec::new()),
            Beat::Fails => (Self::FAILS, Vec::new()),
            Beat::Ask { asked_us, skew_ms } => (Self::ASK, two(asked_us, skew_ms)),
            Beat::Time { asked_us, time_us, wall_us } => {
                (Self::TIME, [two(asked_us, time_us), wall_us.to_be_bytes().to_vec()].concat())
            }
            Beat::Bye => (Self::BYE, Vec::new()),
        };
        let bytes = u16::try_from(said.len()).expect("no kind says so much");
        to.write_all(&[&[kind][..], &bytes.to_be_bytes(), &said].concat()).await
    }

    /// Reads the next one of a kind that is known.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let bad = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
        loop {
            let (kind, bytes) = (from.read_u8().await?, usize::from(from.read_u16().await?));
            if bytes > BEAT_BYTES_MAX {
                return Err(bad("a beat is larger than any"));
            }
            let mut said = [0; BEAT_BYTES_MAX];
            let said = &mut said[..bytes];
            from.read_exact(said).await?;
            return Ok(match kind {
                Self::ALIVE => {
                    let frontier = <[u8; 8]>::try_from(&*said).map_err(|_| bad("a beat is malformed"))?;
                    Beat::Alive { frontier: Tick::from_ms(u64::from_be_bytes(frontier)) }
                }
                Self::ASK => {
                    let (asked_us, skew_ms) = both(said).ok_or_else(|| bad("a beat is malformed"))?;
                    Beat::Ask { asked_us, skew_ms }
                }
                Self::TIME => {
                    let times = said.split_last_chunk().and_then(|(times, wall)| Some((both(times)?, wall)));
                    let ((asked_us, time_us), wall) = times.ok_or_else(|| bad("a beat is malformed"))?;
                    Beat::Time { asked_us, time_us, wall_us: i64::from_be_bytes(*wall) }
                }
                Self::STOPS => Beat::Stops,
                Self::FAILS => Beat::Fails,
                Self::BYE => Beat::Bye,
                _ => continue,
            });
        }
    }
}

/// Two numbers, as a beat says them.
fn two(one: i64, other: i64) -> Vec<u8> {
    [one.to_be_bytes(), other.to_be_bytes()].concat()
}

fn both(said: &[u8]) -> Option<(i64, i64)> {
    let (one, other) = said.split_first_chunk()?;
    Some((i64::from_be_bytes(*one), i64::from_be_bytes(other.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_beat_is_read_as_it_is_written_and_others_are_skipped() {
        let beats = [
            Beat::Alive { frontier: Tick::from_ms(7) },
            Beat::Ask { asked_us: -1, skew_ms: i64::MIN },
            Beat::Time { asked_us: i64::MAX, time_us: 5, wall_us: -3 },
            Beat::Stops,
            Beat::Fails,
            Beat::Bye,
        ];
        let mut bytes = Vec::new();
        for beat in beats {
            bytes.extend([9, 0, 3, 1, 2, 3]);
            beat.write(&mut bytes).await.unwrap();
        }
        let mut from = &bytes[..];
        for beat in beats {
            assert_eq!(Beat::read(&mut from).await.unwrap(), beat);
        }
        assert_eq!(Beat::read(&mut from).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(Beat::read(&mut &[1, 0, 1, 7][..]).await.is_err(), "no tick");
        assert!(Beat::read(&mut &[9, 0xff, 0xff][..]).await.is_err(), "too large");
    }
}
