//! Who may log in: users with what proves their passwords.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What a server keeps of a password (`pg_authid.rolpassword`): `SCRAM-SHA-256$iterations:salt$stored key:server key`. The password cannot be had from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verifier {
    pub(crate) iterations: u32,
    pub(crate) salt: Vec<u8>,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

/// A text that is no verifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password of user \"{user}\" is not of the form SCRAM-SHA-256$iterations:salt$key:key")]
pub struct BadVerifier {
    /// Whose it is.
    pub user: String,
}

/// The users of a server.
#[derive(Debug, Clone, Default)]
pub struct Users(HashMap<String, Verifier>);

impl Users {
    /// Users with their verifiers as text.
    ///
    /// # Errors
    /// When one of the texts is no verifier.
    pub fn new(users: impl IntoIterator<Item = (String, String)>) -> Result<Users, BadVerifier> {
        users
            .into_iter()
            .map(|(user, text)| match Verifier::read(&text) {
                Some(verifier) => Ok((user, verifier)),
                None => Err(BadVerifier { user }),
            })
            .collect::<Result<_, _>>()
            .map(Users)
    }

    pub(crate) fn get(&self, user: &str) -> Option<&Verifier> {
        self.0.get(user)
    }
}

impl Verifier {
    fn read(text: &str) -> Option<Verifier> {
        let rest = text.strip_prefix("SCRAM-SHA-256$")?;
        let (iterations, rest) = rest.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
        Some(Verifier {
            iterations: iterations.parse().ok().filter(|&count| count > 0)?,
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_is_read_as_pg_authid_has_it() {
        let text = postgres_protocol::password::scram_sha_256(b"secret");
        let verifier = Verifier::read(&text).unwrap();
        assert_eq!((verifier.iterations, verifier.salt.len()), (4096, 16));
        for bad in [
            "md5abc",
            "SCRAM-SHA-256$0:AA==$x:y",
            "",
            "SCRAM-SHA-256$4096:AA==$AA==:AA==",
        ] {
            let users = Users::new([("app".to_owned(), bad.to_owned())]);
            assert!(users.is_err(), "{bad}");
        }
    }
}
