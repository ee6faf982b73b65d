//! The keys that a signature may be made with, by algorithm.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, crypto};

use super::{InvalidToken, TokenSettings};

/// All keys of one section of settings.
pub(super) struct Keys {
    /// In the order in which they are tried.
    hmac: Vec<HmacKey>,
}

struct HmacKey {
    key: DecodingKey,
    /// Unix time in seconds after which the key is not used any more.
    valid_until: Option<i64>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(settings: &TokenSettings) -> Self {
        let until = Some(settings.previous_valid_until).filter(|until| *until != 0);
        let hmac = [
            (&settings.hmac_secret_key, None),
            (&settings.hmac_previous_secret_key, until),
        ];
        Self {
            hmac: hmac
                .into_iter()
                .filter(|(secret, _)| !secret.is_empty())
                .map(|(secret, valid_until)| HmacKey {
                    key: DecodingKey::from_secret(secret.as_bytes()),
                    valid_until,
                })
                .collect(),
        }
    }

    /// Checks the Base64 signature of a message with the algorithm that the
    /// header names. A key serves only the algorithms of its own family.
    pub(super) fn verify(
        &self,
        alg: &str,
        message: &str,
        signature: &str,
        now: f64,
    ) -> Result<(), InvalidToken> {
        let (algorithm, keys) = match alg {
            "HS256" => (Algorithm::HS256, &self.hmac),
            "HS384" => (Algorithm::HS384, &self.hmac),
            "HS512" => (Algorithm::HS512, &self.hmac),
            _ => return Err(InvalidToken::Algorithm),
        };
        if keys.is_empty() {
            return Err(InvalidToken::Algorithm);
        }
        keys.iter()
            .filter(|key| key.is_valid_at(now))
            .any(|key| {
                crypto::verify(signature, message.as_bytes(), &key.key, algorithm).unwrap_or(false)
            })
            .then_some(())
            .ok_or(InvalidToken::Signature)
    }
}

impl HmacKey {
    fn is_valid_at(&self, now: f64) -> bool {
        // Seconds since 1970 are exact in an f64.
        self.valid_until.is_none_or(|until| now <= until as f64)
    }
}
