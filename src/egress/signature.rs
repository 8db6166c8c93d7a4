//! The signature of a webhook call: HMAC-SHA256 over the whole body, in hexadecimal, behind `sha256=`.
//!
//! The form that GitHub's webhooks made the custom, so receivers have code for it.

use std::fmt::Write;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::project::Secret;

/// The header that carries the signature.
pub const SIGNATURE: &str = "x-deltaic-signature";

/// The header that carries the idempotency key.
pub const IDEMPOTENCY_KEY: &str = "x-deltaic-idempotency-key";

/// What stands before the digits.
const PREFIX: &str = "sha256=";

/// The signatures of `body`, one by each secret, with a comma between them: `sha256=` and 64 hexadecimal digits.
pub fn sign(secrets: &[Secret], body: &[u8]) -> String {
    let signature = |secret| [PREFIX, &hexadecimal(&keyed(secret, body).finalize().into_bytes())].concat();
    secrets.iter().map(signature).collect::<Vec<_>>().join(",")
}

/// Whether one of `signatures` is that of `body`. Takes as long for a near miss as for a far one.
pub fn verify(secret: &Secret, body: &[u8], signatures: &str) -> bool {
    signatures.split(',').any(|signature| is_of(secret, body, signature.trim()))
}

fn is_of(secret: &Secret, body: &[u8], signature: &str) -> bool {
    let Some(digits) = signature.strip_prefix(PREFIX) else { return false };
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [b'0'..=b'9' | b'a'..=b'f', b'0'..=b'9' | b'a'..=b'f'] => {
                u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
            }
            _ => None,
        })
        .collect();
    bytes.is_some_and(|bytes| keyed(secret, body).verify_slice(&bytes).is_ok())
}

/// The idempotency key of a call: the SHA-256 of its body, so that a retry, which has the same body, has the same key.
///
/// Two calls never have the same body otherwise: a change carries the tick at which it happened, an event its tick and
/// its place within it.
pub fn idempotency_key(body: &[u8]) -> String {
    hexadecimal(&Sha256::digest(body))
}

fn keyed(secret: &Secret, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
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

    /// Test case 2 of RFC 4231.
    const SIGNED: &str = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const BODY: &[u8] = b"what do ya want for nothing?";

    fn secret() -> Secret {
        Secret::new("Jefe".into())
    }

    #[test]
    fn signs_as_rfc_4231_does() {
        assert_eq!(sign(&[secret()], BODY), SIGNED);
        let both = sign(&[Secret::new("old".into()), secret()], BODY);
        assert!(both.ends_with(SIGNED) && both.len() == 2 * SIGNED.len() + 1, "{both}");
        for secret in [secret(), Secret::new("old".into())] {
            assert!(verify(&secret, BODY, &both));
            assert!(verify(&secret, BODY, &both.replace(',', ", ")));
        }
        assert!(!verify(&Secret::new("other".into()), BODY, &both));
        assert!(verify(&secret(), BODY, SIGNED));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(!verify(&secret(), b"what do ya want for nothing!", SIGNED));
        assert!(!verify(&Secret::new("jefe".into()), BODY, SIGNED));
        let bad = ["", "sha256=", &SIGNED[..SIGNED.len() - 1], &SIGNED[7..], "sha1=5bdcc1", "sha256=+5bd", "sha256=é"];
        for signature in bad {
            assert!(!verify(&secret(), BODY, signature), "{signature}");
        }
    }

    #[test]
    fn the_key_is_the_hash_of_the_body() {
        // Test vector of FIPS 180-2.
        assert_eq!(idempotency_key(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
