//! Signing tokens, for the commands that print them and the demo page.
//!
//! Backends sign their own tokens; the server does so only for development.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Map, Value};

use super::{Section, TokenSettings};

/// A token was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The settings have no HMAC key.
    #[error("no HMAC key: set {0}.hmac_secret_key")]
    MissingKey(Section),
    /// A subscription token without a channel.
    #[error("channel is required")]
    MissingChannel,
    /// The signature could not be made.
    #[error("token could not be signed")]
    Signature(#[from] jsonwebtoken::errors::Error),
}

/// A connection token for `user` (empty: anonymous), signed with HS256.
///
/// `now` is the Unix time in seconds. With a `ttl` of more than 0 seconds the
/// token expires that much later, otherwise never.
///
/// # Errors
/// [`SignError::MissingKey`] when the settings have no key.
pub fn connection_token(
    settings: &TokenSettings,
    user: &str,
    ttl: i64,
    now: i64,
) -> Result<String, SignError> {
    sign(settings, claims(settings, user, ttl, now))
}

/// A token for `user` to subscribe to `channel`; otherwise like
/// [`connection_token`].
///
/// # Errors
/// [`SignError::MissingKey`], or [`SignError::MissingChannel`] for an empty channel.
pub fn subscription_token(
    settings: &TokenSettings,
    user: &str,
    channel: &str,
    ttl: i64,
    now: i64,
) -> Result<String, SignError> {
    if channel.is_empty() {
        return Err(SignError::MissingChannel);
    }
    let mut claims = claims(settings, user, ttl, now);
    claims.insert("channel".to_owned(), channel.into());
    sign(settings, claims)
}

fn claims(settings: &TokenSettings, user: &str, ttl: i64, now: i64) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iat".to_owned(), now.into());
    if ttl > 0 {
        claims.insert("exp".to_owned(), now.saturating_add(ttl).into());
    }
    if !user.is_empty() {
        claims.insert("sub".to_owned(), user.into());
        if !settings.user_id_claim.is_empty() {
            claims.insert(settings.user_id_claim.clone(), user.into());
        }
    }
    claims
}

fn sign(settings: &TokenSettings, claims: Map<String, Value>) -> Result<String, SignError> {
    if settings.hmac_secret_key.is_empty() {
        return Err(SignError::MissingKey(settings.section));
    }
    let key = EncodingKey::from_secret(settings.hmac_secret_key.as_bytes());
    Ok(encode(&Header::default(), &Value::Object(claims), &key)?)
}
