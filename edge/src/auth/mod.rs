//! Tokens: verifying the ones clients bring, signing the ones commands print.
//!
//! A token says who connects ([`Verifier::verify_connect`]) or which channel a
//! user may subscribe to ([`Verifier::verify_subscribe`]). Signatures are
//! checked by `jsonwebtoken`, claims by our own rules, which are those of the
//! protocol and not of that crate. Nothing here logs a token or a key, and the
//! errors carry neither.
//!
//! Only HMAC keys are known so far; the module `keys` is where others are added.

mod claims;
mod keys;
mod sign;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

pub use self::claims::{ConnectClaims, Overrides, SubscribeClaims, SubscriptionOptions};
use self::claims::{ConnectPayload, Registered, SubscribePayload};
use self::keys::Keys;
pub use self::sign::{SignError, connection_token, subscription_token};

/// The options of `client.token` or `client.subscription_token` that verifying
/// and signing need. Empty strings are absent options.
#[derive(Clone, Default)]
pub struct TokenSettings {
    /// Key of HS256, HS384 and HS512, as its UTF-8 bytes.
    pub hmac_secret_key: String,
    /// A second HMAC key, tried when the first does not fit.
    pub hmac_previous_secret_key: String,
    /// Unix time in seconds until which the second key is good; 0 is for ever.
    pub previous_valid_until: i64,
    /// What `aud` must be, or contain.
    pub audience: String,
    /// What `iss` must be.
    pub issuer: String,
    /// The claim that holds the user id, instead of `sub`.
    pub user_id_claim: String,
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings")
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("user_id_claim", &self.user_id_claim)
            .finish_non_exhaustive()
    }
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// Its signature and claims are good, but `exp` has passed or `nbf` has not
    /// come: the client should fetch a new token.
    #[error("token expired")]
    Expired,
    /// Anything else: a new token of the same kind would not help.
    #[error("invalid token")]
    Invalid(#[source] InvalidToken),
}

/// What is wrong with an invalid token. For logs and commands; a client is told
/// only that its token is invalid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidToken {
    /// Not three Base64 parts of which the first is a JSON header.
    #[error("token format is not valid")]
    Format,
    /// The header names an algorithm for which there is no key.
    #[error("algorithm is not supported or has no key")]
    Algorithm,
    /// No key fits the signature.
    #[error("signature is not valid")]
    Signature,
    /// The payload is not a JSON object, or a claim has the wrong type.
    #[error("claims are not valid")]
    Claims,
    /// `aud` lacks the configured audience.
    #[error("audience is not valid")]
    Audience,
    /// `iss` is not the configured issuer.
    #[error("issuer is not valid")]
    Issuer,
    /// A connection token with a channel, or a subscription token without one:
    /// the one kind is used in place of the other.
    #[error("token is of the other kind")]
    Kind,
}

impl From<InvalidToken> for TokenError {
    fn from(reason: InvalidToken) -> Self {
        Self::Invalid(reason)
    }
}

/// Verifies tokens against one section of settings.
pub struct Verifier {
    keys: Keys,
    audience: Option<String>,
    issuer: Option<String>,
    user_id_claim: Option<String>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with these settings. Without any key it refuses every token.
    #[must_use]
    pub fn new(settings: &TokenSettings) -> Self {
        let set = |option: &String| Some(option.clone()).filter(|option| !option.is_empty());
        Self {
            keys: Keys::new(settings),
            audience: set(&settings.audience),
            issuer: set(&settings.issuer),
            user_id_claim: set(&settings.user_id_claim),
        }
    }

    /// Verifies a connection token. `now` is the Unix time in seconds with its
    /// fraction (a token may become valid within the current second).
    ///
    /// # Errors
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub fn verify_connect(&self, token: &str, now: f64) -> Result<ConnectClaims, TokenError> {
        let payload = self.signed_payload(token, now)?;
        let registered = self.registered(&payload)?;
        let claims = ConnectPayload::parse(&payload)?;
        let user = self.user(&registered, &payload)?;
        let claims = claims.into_claims(user, &registered)?;
        registered.check_time(now)?;
        Ok(claims)
    }

    /// Verifies a subscription token. `now` as for [`Verifier::verify_connect`].
    /// Whether user and channel are those of the request is the caller's check.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub fn verify_subscribe(&self, token: &str, now: f64) -> Result<SubscribeClaims, TokenError> {
        let payload = self.signed_payload(token, now)?;
        let registered = self.registered(&payload)?;
        let claims = SubscribePayload::parse(&payload)?;
        let user = self.user(&registered, &payload)?;
        let claims = claims.into_claims(user, &registered)?;
        registered.check_time(now)?;
        Ok(claims)
    }

    /// The decoded payload of a token whose signature is good. No claim is
    /// looked at before.
    fn signed_payload(&self, token: &str, now: f64) -> Result<Vec<u8>, InvalidToken> {
        // Every header is an object, and this is how `{"` begins in Base64.
        if !token.starts_with("eyJ") {
            return Err(InvalidToken::Format);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Format)?;
        let (header, payload) = message.split_once('.').ok_or(InvalidToken::Format)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_details| InvalidToken::Format)?;
        let payload = decode(payload)?;
        if header.crit.is_some() {
            // RFC 7515, 4.1.11: extensions that must be understood, and are not.
            return Err(InvalidToken::Format);
        }
        self.keys.verify(&header.alg, message, signature, now)?;
        Ok(payload)
    }

    fn registered(&self, payload: &[u8]) -> Result<Registered, InvalidToken> {
        let registered = Registered::parse(payload)?;
        if let Some(audience) = &self.audience
            && !registered.has_audience(audience)
        {
            return Err(InvalidToken::Audience);
        }
        if let Some(issuer) = &self.issuer
            && registered.issuer() != issuer
        {
            return Err(InvalidToken::Issuer);
        }
        Ok(registered)
    }

    fn user(&self, registered: &Registered, payload: &[u8]) -> Result<String, InvalidToken> {
        match &self.user_id_claim {
            Some(name) => claims::stringified(payload, name),
            None => Ok(registered.subject().to_owned()),
        }
    }
}

/// The parts of the JOSE header that matter. `typ` is not checked.
#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<IgnoredAny>,
}

fn decode(part: &str) -> Result<Vec<u8>, InvalidToken> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_details| InvalidToken::Format)
}

#[cfg(test)]
mod tests;
