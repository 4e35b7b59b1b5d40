//! Users: a name and a password, for clients that know nothing else.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::oidc::is_jwt;
use crate::token::{Token, random};

const MAX_NAME: usize = 64;
const MIN_PASSWORD: usize = 12;
/// Long enough for anybody, and short enough to cost nothing before it is hashed.
const MAX_PASSWORD: usize = 1024;

/// A user's name.
///
/// - 1 to 64 of a-z, 0-9 and `- . _ @`, so that it holds no colon, which Basic could not carry
/// - begins with a letter or digit
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9._@-]{0,63}$")]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// A password, as it was given. It is never shown.
#[derive(Clone)]
pub struct Password(String);

/// What is kept of a password: Argon2id, in the PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(String);

/// Why a text is no user's name, or no password to be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Not the form of a name.
    #[error(
        "{0:?} is no user's name: one has 1 to 64 of a-z, 0-9 and - . _ @, and begins with a letter or digit"
    )]
    Name(String),
    /// Too short to withstand guessing.
    #[error("a password has at least {MIN_PASSWORD} characters, this one has {0}")]
    Short(usize),
    /// Too long.
    #[error("a password has at most {MAX_PASSWORD} bytes, this one has {0}")]
    Long(usize),
    /// It would be taken for a token whenever it is given.
    #[error("this is what a token looks like: a password is something else")]
    Token,
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// No randomness for the salt.
    #[error("no random bytes for a password's salt: {0}")]
    Random(#[from] std::io::Error),
    /// Argon2 failed.
    #[error("the password could not be hashed: {0}")]
    Argon2(#[from] argon2::password_hash::Error),
}

impl UserName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let good = |byte: u8| plain(byte) || matches!(byte, b'-' | b'.' | b'_' | b'@');
        let bytes = text.as_bytes();
        if bytes.first().is_some_and(|byte| plain(*byte))
            && bytes.len() <= MAX_NAME
            && bytes.iter().all(|byte| good(*byte))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(UserError::Name(text.to_owned()))
        }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for UserName {
    type Error = UserError;

    fn try_from(text: String) -> Result<Self, UserError> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl Password {
    /// The text, to be sent to the registry it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// One that somebody gives to show who they are: of any form but too long a one, which nobody's
    /// can be.
    pub(super) fn given(text: &str) -> Option<Self> {
        (text.len() <= MAX_PASSWORD).then(|| Self(text.to_owned()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// What is kept of it. It takes tens of milliseconds and 19 MiB, which is the point.
    pub(crate) fn hash(&self) -> Result<PasswordHash, HashError> {
        let salt: [u8; 16] = random()?;
        let hash: Phc = argon2id().hash_password_with_salt(self.as_bytes(), &salt)?;
        Ok(PasswordHash(hash.to_string()))
    }
}

/// One that is to be set.
impl FromStr for Password {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let characters = text.chars().count();
        if characters < MIN_PASSWORD {
            return Err(UserError::Short(characters));
        }
        if text.len() > MAX_PASSWORD {
            return Err(UserError::Long(text.len()));
        }
        if text.parse::<Token>().is_ok() || is_jwt(text) {
            return Err(UserError::Token);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl PasswordHash {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the password is this one. It takes as long as hashing.
    pub(super) fn verify(&self, password: &Password) -> bool {
        let Ok(hash) = Phc::new(&self.0) else { return false };
        argon2id().verify_password(password.as_bytes(), &hash).is_ok()
    }
}

/// Of no other algorithm, and of no other cost, which would tell users apart by time.
impl FromStr for PasswordHash {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hash = Phc::new(text).map_err(drop)?;
        let params = Params::try_from(&hash).map_err(drop)?;
        let ours = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && (params.m_cost(), params.t_cost(), params.p_cost()) == COST;
        if ours { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// KiB of memory, passes and lanes: OWASP's Password Storage Cheat Sheet, which is also what the
/// crate has as its default.
const COST: (u32, u32, u32) =
    (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_name_is_what_basic_can_carry() {
        for good in ["a", "alice", "ci-bot.2", "a@example.com", &"a".repeat(64)] {
            assert_eq!(good.parse::<UserName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "Alice", "a:b", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn password_is_kept_as_owasp_recommends_and_hidden() {
        let password: Password = "correct horse battery".parse().unwrap();
        let hash = password.hash().unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hash.verify(&password));
        assert!(!hash.verify(&Password::given("correct horse").unwrap()));
        assert!(hash != password.hash().unwrap(), "a salt of its own");
        assert!(hash.as_str().parse::<PasswordHash>().is_ok());
        for weak in [
            hash.as_str().replace("argon2id", "argon2i"),
            hash.as_str().replace("19456", "8"),
            "$2y$10$abcdefghijklmnopqrstuv".to_owned(),
        ] {
            assert!(weak.parse::<PasswordHash>().is_err(), "{weak}");
        }
        assert!(!format!("{password:?} {hash:?}").contains("horse"));
        let token = format!("gantry_{}", "0".repeat(64));
        for bad in ["", "short", &"x".repeat(1025), &token, "eyJhbGciOiJub25lIn0.e30.x"] {
            assert!(bad.parse::<Password>().is_err());
        }
        assert!(Password::given(&"x".repeat(1025)).is_none());
    }
}
