//! The signature of earlier versions: HMAC-SHA256 over the whole body, in hexadecimal, behind `sha256=`. It says nothing of when the call
//! was made, so whoever got hold of a call can repeat it for ever. Sent for one more version beside the other.

use crate::project::Secret;

use super::{Mac, hexadecimal, mac};

/// The header that carries the signature.
pub const SIGNATURE: &str = "x-deltaic-signature";

/// The signatures of `body`, one by each secret, with a comma between them: `sha256=` and 64 hexadecimal digits.
pub fn sign(secrets: &[Secret], body: &[u8]) -> String {
    let signature = |secret: &Secret| {
        let digest = mac(secret.expose().as_bytes(), &[body]).finalize().into_bytes();
        format!("sha256={}", hexadecimal(&digest))
    };
    secrets.iter().map(signature).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_rfc_4231_does() {
        // Test case 2.
        const SIGNED: &str = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let secret = || Secret::new("Jefe".into());
        assert_eq!(sign(&[secret()], b"what do ya want for nothing?"), SIGNED);
        let both = sign(&[Secret::new("old".into()), secret()], b"what do ya want for nothing?");
        assert!(both.ends_with(SIGNED) && both.len() == 2 * SIGNED.len() + 1, "{both}");
    }
}
