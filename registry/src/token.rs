//! Tokens: 256 random bits, printed once, kept as a hash.
//!
//! ```text
//! gantry_5f0c…e1     what the holder has: 64 hex digits after the word
//! 3a91c07b           its ID, for lists and for revoking
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

const PREFIX: &str = "gantry_";

/// A token as its holder has it. Its text is given out once and never logged.
pub struct Token(String);

/// What the server keeps of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenHash(String);

/// A token's ID: 8 hex digits. No secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{8}$")]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

/// An upload's ID: 64 hex digits nobody can guess.
#[derive(Clone, PartialEq, Eq, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct UploadId(#[param(pattern = "^[0-9a-f]{64}$")] String);

/// Why a text is no token or ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not the form of a token.
    #[error("this is no token of a gantry registry: one is \"gantry_\" and 64 hex digits")]
    Token,
    /// Not the form of a token ID.
    #[error("{0:?} is no token ID: one is 8 hex digits, as `token list` prints them")]
    Id(String),
    /// Not the form of an upload ID.
    #[error("this is no upload ID")]
    Upload,
}

impl Token {
    /// A new one.
    pub(crate) fn generate() -> std::io::Result<Self> {
        Ok(Self(format!("{PREFIX}{}", hex(&random::<32>()?))))
    }

    /// The text, to be given to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(hex(&Sha256::digest(self.0.as_bytes())))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        match text.strip_prefix(PREFIX) {
            Some(digits) if is_hex(digits, 64) => Ok(Self(text.to_owned())),
            _ => Err(TokenError::Token),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl TokenHash {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TokenId {
    pub(crate) fn generate() -> std::io::Result<Self> {
        Ok(Self(hex(&random::<4>()?)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if is_hex(text, 8) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenError::Id(text.to_owned()))
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl UploadId {
    pub(crate) fn generate() -> std::io::Result<Self> {
        Ok(Self(hex(&random::<32>()?)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({}…)", &self.0[..8])
    }
}

impl FromStr for UploadId {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        if is_hex(text, 64) { Ok(Self(text.to_owned())) } else { Err(TokenError::Upload) }
    }
}

/// 32 hex digits that nobody can guess, for what is no secret but must not be foreseen.
pub(crate) fn nonce() -> std::io::Result<String> {
    Ok(hex(&random::<16>()?))
}

pub(crate) fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate draws any")]
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    // The kernel gives up to 256 bytes in one piece (getrandom(2)).
    if filled == N { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_random_reads_back_and_hides() {
        let token = Token::generate().unwrap();
        let again: Token = token.reveal().parse().unwrap();
        assert!(token.hash() == again.hash());
        assert!(token.hash() != Token::generate().unwrap().hash());
        assert!(!format!("{token:?}").contains(&token.reveal()[10..]));
        for bad in ["", "gantry_", "gantry_0", &token.reveal().to_uppercase()] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
