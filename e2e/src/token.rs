//! Connection tokens, as an application's backend issues them.

use anyhow::{Context as _, Result};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// 2100-01-01: later than any test, and unlike "now" it needs no clock.
const EXPIRES: u64 = 4_102_444_800;

/// A token for the user, signed with the secret (HS256).
///
/// # Errors
/// When signing fails, which no secret makes it do.
pub fn connection(secret: &str, user: &str) -> Result<String> {
    signed(secret, &json!({"sub": user, "exp": EXPIRES}))
}

/// A token with these claims, signed with the secret (HS256).
///
/// # Errors
/// When signing fails, which no secret makes it do.
pub fn signed(secret: &str, claims: &Value) -> Result<String> {
    encode(
        &Header::new(Algorithm::HS256),
        claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .context("signing")
}
