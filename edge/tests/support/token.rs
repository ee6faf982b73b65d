//! Connection tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::server::SECRET;

/// Seconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_secs()
}

/// A token with these claims.
pub(crate) fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::default(), claims, &key).expect("a key for HS256")
}

/// A good token of this user that never expires.
pub(crate) fn of(user: &str) -> String {
    signed(&json!({"sub": user}), SECRET)
}

/// A token of user 42 that expires in so many seconds.
pub(crate) fn expiring(seconds: u64) -> String {
    signed(&json!({"sub": "42", "exp": now() + seconds}), SECRET)
}
