//! How a webhook call is signed: by the Standard Webhooks scheme (<https://www.standardwebhooks.com>), for which receivers have
//! libraries in all languages.
//!
//! ```text
//! webhook-id         which call this is: a retry has the same
//! webhook-timestamp  when it was made, in seconds since 1970: a receiver refuses what is old
//! webhook-signature  "v1," and the HMAC-SHA256 of `id.timestamp.body` in base64; one by each secret, with spaces between them
//! ```

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use compact_str::CompactString;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::HeaderMap;
use sha2::{Digest, Sha256};

use crate::project::Secret;

pub mod former;

/// The header that says which call this is.
pub const ID: &str = "webhook-id";

/// The header that says when it was made.
pub const TIMESTAMP: &str = "webhook-timestamp";

/// The header that carries the signatures.
pub const SIGNATURE: &str = "webhook-signature";

/// The header that carries the idempotency key, which is the id of the call.
pub const IDEMPOTENCY_KEY: &str = "x-deltaic-idempotency-key";

/// Seconds by which the clocks of the two sides may differ, and the call be on its way.
const TOLERANCE_S: u64 = 5 * 60;

/// What stands before a signature by a shared secret.
const VERSION: &str = "v1,";

/// A call, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct SignedCall<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was made: seconds since the Unix epoch, in digits.
    pub timestamp: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

impl<'a> SignedCall<'a> {
    /// A call as it came.
    pub fn received(headers: &'a HeaderMap, body: &'a [u8]) -> (Self, &'a str) {
        let [id, timestamp, signatures] = [ID, TIMESTAMP, SIGNATURE]
            .map(|name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default());
        (SignedCall { id, timestamp, body }, signatures)
    }

    /// Its signatures.
    pub fn sign(&self, secrets: &[Secret]) -> String {
        let signature = |secret| format!("{VERSION}{}", STANDARD.encode(self.signed(secret).finalize().into_bytes()));
        secrets.iter().map(signature).collect::<Vec<_>>().join(" ")
    }

    /// Whether one of `signatures` is its own, and it was made about `now_s`, in seconds since the Unix epoch. Takes as long for a near miss
    /// as for a far one.
    pub fn verify(&self, secret: &Secret, signatures: &str, now_s: u64) -> bool {
        let is_recent = self.timestamp.parse().is_ok_and(|made: u64| made.abs_diff(now_s) <= TOLERANCE_S);
        is_recent && signatures.split(' ').any(|signature| self.is_signed(secret, signature))
    }

    fn is_signed(&self, secret: &Secret, signature: &str) -> bool {
        let digest = signature.strip_prefix(VERSION).and_then(|digest| STANDARD.decode(digest).ok());
        digest.is_some_and(|digest| self.signed(secret).verify_slice(&digest).is_ok())
    }

    fn signed(&self, secret: &Secret) -> Hmac<Sha256> {
        // A project has no secret that stands for none.
        let key = secret.signing_key().unwrap_or_else(|| secret.expose().as_bytes().into());
        mac(&key, &[self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", self.body])
    }
}

/// Seconds since the Unix epoch, by the clock on the wall.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The id of a call, which is its idempotency key: the SHA-256 of its body, so that a retry, which has the same body, has the same
/// id. After a resync, which tells what was told, its number goes in, too.
///
/// Two calls never have the same body otherwise: a change carries the tick at which it happened, an event its tick and
/// its place within it.
pub fn id_of(body: &[u8], resyncs: u32) -> CompactString {
    let mut hash = Sha256::new_with_prefix(body);
    if resyncs > 0 {
        hash.update(resyncs.to_be_bytes());
    }
    hexadecimal(&hash.finalize()).into()
}

/// Makes the id of a call out of parts, of which no two lists have the same.
#[derive(Default)]
pub(super) struct CallIdHasher(Sha256);

impl CallIdHasher {
    /// The next part.
    pub fn part(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    /// The id, after so many resyncs.
    pub fn finish(mut self, resyncs: u32) -> CompactString {
        self.0.update(resyncs.to_be_bytes());
        hexadecimal(&self.0.finalize()).into()
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the scheme's own libraries.
    const CALL: SignedCall<'_> =
        SignedCall { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp: "1614265330", body: br#"{"test": 2432232314}"# };
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const NOW: u64 = 1_614_265_330;

    fn secret() -> Secret {
        Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into())
    }

    #[test]
    fn signs_as_the_scheme_says() {
        assert_eq!(CALL.sign(&[secret()]), SIGNED);
        let other = Secret::new("other".into());
        let both = CALL.sign(&[other.clone(), secret()]);
        assert!(both.ends_with(&format!(" {SIGNED}")), "{both}");
        for secret in [other, secret()] {
            assert!(CALL.verify(&secret, &both, NOW));
        }
        assert!(CALL.verify(&secret(), SIGNED, NOW + 300) && CALL.verify(&secret(), SIGNED, NOW - 300));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(!CALL.verify(&secret(), SIGNED, NOW + 301) && !CALL.verify(&secret(), SIGNED, NOW - 301));
        assert!(!CALL.verify(&Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()), SIGNED, NOW));
        let others = [
            SignedCall { id: "msg_", ..CALL },
            SignedCall { timestamp: "1614265331", ..CALL },
            SignedCall { timestamp: "", ..CALL },
            SignedCall { timestamp: "-1", ..CALL },
            SignedCall { body: b"{}", ..CALL },
        ];
        for other in others {
            assert!(!other.verify(&secret(), SIGNED, NOW), "{other:?}");
        }
        for signature in ["", "v1,", &SIGNED[3..], &SIGNED[..SIGNED.len() - 1], &SIGNED.replace("v1,", "v1a,")] {
            assert!(!CALL.verify(&secret(), signature, NOW), "{signature}");
        }
    }

    #[test]
    fn the_key_is_the_hash_of_the_body() {
        // Test vector of FIPS 180-2.
        assert_eq!(id_of(b"abc", 0), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(id_of(b"abc", 1) != id_of(b"abc", 0) && id_of(b"abc", 1) != id_of(b"abc", 2));
    }
}
