//! SCRAM-SHA-256, the server's part (RFC 5802, RFC 7677).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::{
    report::{Report, Result},
    users::Verifier,
};

/// The mechanism offered. Channel binding is the business of whoever ends TLS.
pub(crate) const MECHANISM: &str = "SCRAM-SHA-256";

/// Rounds that PostgreSQL uses by default; what an unknown user's mock verifier says.
const ITERATIONS: u32 = 4096;

/// One exchange, after the client's first message.
#[derive(Debug)]
pub(crate) struct Exchange {
    verifier: Verifier,
    /// The user exists.
    known: bool,
    nonce: String,
    /// What the client's final message repeats of the header of its first, in base64.
    binding: String,
    /// The messages so far, as the proofs cover them.
    transcript: String,
}

fn malformed(detail: &str) -> Report {
    Report::fatal("08P01", "malformed SCRAM message").detail(detail)
}

impl Exchange {
    /// Takes the client's first message. `verifier` is the user's; `mock` is for one whom nobody knows, so that the exchange is the same with him.
    /// Gives the server's first message.
    ///
    /// # Errors
    /// When the message is malformed or asks for channel binding.
    pub(crate) fn begin(
        verifier: Option<&Verifier>,
        mock: &[u8; 32],
        user: &str,
        first: &str,
    ) -> Result<(Exchange, String)> {
        let (flag, rest) = first
            .split_once(',')
            .ok_or_else(|| malformed("The message has no header."))?;
        let (authzid, bare) = rest
            .split_once(',')
            .ok_or_else(|| malformed("The message has no header."))?;
        if !matches!(flag, "n" | "y") {
            return Err(malformed("Channel binding is not offered."));
        }
        if !authzid.is_empty() {
            return Err(Report::fatal(
                "0A000",
                "client uses authorization identity, but it is not supported",
            ));
        }
        let theirs = bare
            .split(',')
            .nth(1)
            .and_then(|field| field.strip_prefix("r="))
            .filter(|nonce| !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| malformed("The message has no nonce."))?;
        let nonce = format!("{theirs}{}", STANDARD.encode(rand::random::<[u8; 18]>()));
        let known = verifier.is_some();
        let verifier = verifier.cloned().unwrap_or_else(|| mock_of(mock, user));
        let answer = format!(
            "r={nonce},s={},i={}",
            STANDARD.encode(&verifier.salt),
            verifier.iterations
        );
        let exchange = Exchange {
            verifier,
            known,
            nonce,
            binding: STANDARD.encode(format!("{flag},,")),
            transcript: format!("{bare},{answer}"),
        };
        Ok((exchange, answer))
    }

    /// Takes the client's final message. Gives the server's, or `None` when the password is wrong.
    ///
    /// # Errors
    /// When the message is malformed.
    pub(crate) fn end(self, last: &str) -> Result<Option<String>> {
        let (without_proof, proof) = last
            .rsplit_once(",p=")
            .ok_or_else(|| malformed("The message has no proof."))?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c="));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if binding != Some(&self.binding[..]) {
            return Err(malformed(
                "The channel binding is not that of the first message.",
            ));
        }
        if nonce != Some(&self.nonce[..]) {
            return Err(malformed("The nonce is not that of the first message."));
        }
        let proof: [u8; 32] = STANDARD
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or_else(|| malformed("The proof is malformed."))?;
        let transcript = format!("{},{without_proof}", self.transcript);
        let signature = sign(&self.verifier.stored_key, transcript.as_bytes());
        let mut client_key = proof;
        client_key
            .iter_mut()
            .zip(signature)
            .for_each(|(byte, other)| *byte ^= other);
        let found: [u8; 32] = Sha256::digest(client_key).into();
        if !same(&found, &self.verifier.stored_key) || !self.known {
            return Ok(None);
        }
        let ours = sign(&self.verifier.server_key, transcript.as_bytes());
        Ok(Some(format!("v={}", STANDARD.encode(ours))))
    }
}

/// The same for the same name, as a real user's salt would be.
fn mock_of(mock: &[u8; 32], user: &str) -> Verifier {
    Verifier {
        iterations: ITERATIONS,
        salt: sign(mock, user.as_bytes())[..16].to_vec(),
        stored_key: rand::random(),
        server_key: [0; 32],
    }
}

fn sign(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // HMAC takes keys of any length; random bytes match nothing.
        return rand::random();
    };
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// Without telling by its time where they differ.
fn same(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.iter()
        .zip(right)
        .fold(0, |differing, (left, right)| differing | (left ^ right))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Users;
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

    fn login(user: &str, password: &[u8]) -> bool {
        let text = postgres_protocol::password::scram_sha_256(b"secret");
        let users = Users::new([("app".to_owned(), text)]).unwrap();
        let mut client = ScramSha256::new(password, ChannelBinding::unsupported());
        let first = std::str::from_utf8(client.message()).unwrap().to_owned();
        let (exchange, answer) = Exchange::begin(users.get(user), &[7; 32], user, &first).unwrap();
        client.update(answer.as_bytes()).unwrap();
        let last = std::str::from_utf8(client.message()).unwrap();
        match exchange.end(last).unwrap() {
            Some(end) => client.finish(end.as_bytes()).is_ok(),
            None => false,
        }
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_taken() {
        assert!(login("app", b"secret"));
        assert!(!login("app", b"wrong"));
        assert!(!login("nobody", b"secret"));
    }

    #[test]
    fn an_unknown_users_salt_stays_the_same() {
        let salt = |user| mock_of(&[7; 32], user).salt;
        assert_eq!(salt("a"), salt("a"));
        assert_ne!(salt("a"), salt("b"));
    }
}
