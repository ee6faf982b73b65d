//! The JSON form of a set of keys (RFC 7517).
//!
//! A key that is for something else, or of a kind that is not known, is left
//! out; it does not spoil the others. Symmetric keys are never taken from a set:
//! an endpoint is public.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::{Algorithm, PublicKey};

/// Some sets are written with padding, against RFC 7515.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Deserialize)]
struct Set<'s> {
    #[serde(borrow)]
    keys: Vec<&'s RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    purpose: String,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set, with their ids, in the set's order.
///
/// # Errors
/// The text is not a set at all.
pub(super) fn parse(text: &[u8]) -> Result<Vec<(String, PublicKey)>, serde_json::Error> {
    let set: Set<'_> = serde_json::from_slice(text)?;
    let usable = |raw: &&RawValue| {
        let jwk: Jwk = serde_json::from_str(raw.get()).ok()?;
        let key = jwk.key()?;
        Some((jwk.kid, key))
    };
    Ok(set.keys.iter().filter_map(usable).collect())
}

impl Jwk {
    fn key(&self) -> Option<PublicKey> {
        if self.purpose != "sig" {
            return None;
        }
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::rsa(&number(&self.n)?, &number(&self.e)?),
            ("EC", Some("P-256")) => self.point(32),
            ("EC", Some("P-384")) => self.point(48),
            ("EC", Some("P-521")) => self.point(66),
            ("OKP", Some("Ed25519")) => PublicKey::ed25519(&number(&self.x)?),
            _ => None,
        }?;
        match self.alg.as_deref().filter(|alg| !alg.is_empty()) {
            Some(alg) => key.only(Algorithm::named(alg).ok()?),
            None => Some(key),
        }
    }

    /// The uncompressed point (SEC 1, 2.3.3) of coordinates with this many bytes.
    fn point(&self, bytes: usize) -> Option<PublicKey> {
        let mut point = vec![4];
        for coordinate in [&self.x, &self.y] {
            let coordinate = number(coordinate)?;
            // Some writers drop the zeros in front.
            let zeros = bytes.checked_sub(coordinate.len())?;
            point.extend(std::iter::repeat_n(0, zeros));
            point.extend(coordinate);
        }
        PublicKey::ecdsa(&point)
    }
}

fn number(member: &Option<String>) -> Option<Vec<u8>> {
    BASE64.decode(member.as_deref()?).ok()
}
