//! The compact form of a token: three Base64 parts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::InvalidToken;

/// A token taken apart; nothing of it is verified.
pub(super) struct Parsed<'t> {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    /// What is signed.
    pub(super) message: &'t [u8],
    pub(super) signature: Vec<u8>,
}

/// The parts of the JOSE header that matter. `typ` is not checked.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl<'t> Parsed<'t> {
    pub(super) fn new(token: &'t str) -> Result<Self, InvalidToken> {
        // Every header is an object, and this is how `{"` begins in Base64.
        if !token.starts_with("eyJ") {
            return Err(InvalidToken::Format);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Format)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Format)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_details| InvalidToken::Format)?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: extensions that must be understood, and are not.
            return Err(InvalidToken::Format);
        }
        Ok(Self {
            header,
            payload: decode(payload)?,
            message: message.as_bytes(),
            signature: decode(signature)?,
        })
    }
}

/// What a token says of itself, for messages of commands. None of it is verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unverified {
    /// The header's `alg`.
    pub algorithm: String,
    /// The claims as they stand in the token.
    pub claims: String,
}

/// Reads a token without verifying anything.
///
/// # Errors
/// [`InvalidToken::Format`] when it is no token at all, [`InvalidToken::Claims`]
/// when its payload is no text.
pub fn unverified(token: &str) -> Result<Unverified, InvalidToken> {
    let parsed = Parsed::new(token)?;
    Ok(Unverified {
        algorithm: parsed.header.alg,
        claims: String::from_utf8(parsed.payload).map_err(|_details| InvalidToken::Claims)?,
    })
}

pub(super) fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_details| InvalidToken::Format)
}
