//! The proof that both ends of a connection know the same token: HMAC-SHA256 over what each of them drew anew for this connection, and
//! what was said. What was recorded of another connection proves nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of what is drawn.
pub const NONCE_BYTES: usize = 32;

/// Bytes of a proof.
pub const PROOF_BYTES: usize = 32;

/// What an end draws anew for each connection.
pub type Nonce = [u8; NONCE_BYTES];

/// Draws it.
pub fn nonce() -> std::io::Result<Nonce> {
    let mut nonce = [0; NONCE_BYTES];
    rustix::rand::getrandom(&mut nonce[..], rustix::rand::GetRandomFlags::empty())?;
    Ok(nonce)
}

/// Which end of a connection says something: what one says is not what the other one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofRole {
    /// The one that called.
    Caller,
    /// The one that listened.
    Listener,
}

/// Makes the proofs of one connection, and checks them.
#[derive(Clone)]
pub struct Proof(Hmac<Sha256>);

impl Proof {
    /// Of a connection for which the two ends drew these.
    pub fn new(key: &[u8], of_caller: &Nonce, of_listener: &Nonce) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        mac.update(b"deltaic cluster\0");
        mac.update(of_caller);
        mac.update(of_listener);
        Proof(mac)
    }

    /// The proof of what one end says under a word that is for this only.
    pub fn of(&self, role: ProofRole, word: &str, said: &[u8]) -> [u8; PROOF_BYTES] {
        self.over(role, word, said).finalize().into_bytes().into()
    }

    /// Whether it is.
    pub fn is_right(&self, role: ProofRole, word: &str, said: &[u8], proof: &[u8; PROOF_BYTES]) -> bool {
        self.over(role, word, said).verify_slice(proof).is_ok()
    }

    fn over(&self, role: ProofRole, word: &str, said: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(if role == ProofRole::Caller { b"c" } else { b"l" });
        mac.update(word.as_bytes());
        mac.update(b"\0");
        mac.update(said);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_key_one_connection_one_end_and_one_thing() {
        let (a, b) = ([1; NONCE_BYTES], [2; NONCE_BYTES]);
        let proof = Proof::new(b"token", &a, &b);
        let right = proof.of(ProofRole::Caller, "knows", b"x");
        assert!(proof.is_right(ProofRole::Caller, "knows", b"x", &right));
        assert!(!proof.is_right(ProofRole::Listener, "knows", b"x", &right), "reflected");
        assert!(!proof.is_right(ProofRole::Caller, "is", b"x", &right));
        assert!(!proof.is_right(ProofRole::Caller, "knows", b"y", &right));
        assert!(!Proof::new(b"other", &a, &b).is_right(ProofRole::Caller, "knows", b"x", &right));
        assert!(
            !Proof::new(b"token", &a, &[3; NONCE_BYTES]).is_right(ProofRole::Caller, "knows", b"x", &right),
            "replayed"
        );
        assert_ne!(nonce().unwrap(), nonce().unwrap());
    }
}
