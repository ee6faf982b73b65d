//! The keys that a signature may be made with, and the algorithms they serve.

use std::fmt;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicEncryptingKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::token::Parsed;
use super::{InvalidToken, SettingsError, TokenSettings};

/// The algorithms that there are keys for. `none` and RSA-PSS are not among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of this name, which is spelt in one way only (RFC 7518, 3.1).
    pub(super) fn named(name: &str) -> Result<Self, InvalidToken> {
        Ok(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return Err(InvalidToken::Algorithm),
        })
    }

    /// Whether signer and verifier have the same, secret, key.
    pub(super) fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// A public key, once for each algorithm that it serves: parsing is not repeated
/// for every token.
pub(super) struct PublicKey(Vec<(Algorithm, ParsedPublicKey)>);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(algorithm, _)| algorithm))
            .finish()
    }
}

impl PublicKey {
    /// An RSA key of 2048 to 8192 bits: big-endian modulus and exponent.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let components = RsaPublicKeyComponents {
            n: without_zeros(modulus),
            e: without_zeros(exponent),
        };
        Self::rsa_with(|parameters| components.to_parsed_public_key(parameters).ok())
    }

    /// An RSA key, as `SubjectPublicKeyInfo` or `RSAPublicKey`.
    fn rsa_der(der: &[u8]) -> Option<Self> {
        Self::rsa_with(|parameters| ParsedPublicKey::new(parameters, der).ok())
    }

    fn rsa_with(parse: impl Fn(&'static RsaParameters) -> Option<ParsedPublicKey>) -> Option<Self> {
        let algorithms = [
            (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
            (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
        ];
        let mut keys = Vec::new();
        for (algorithm, parameters) in algorithms {
            keys.push((algorithm, parse(parameters)?));
        }
        // A verification would refuse a key of another size, but only then, and
        // as a wrong signature. The type for encryption refuses it at once.
        let (_, key) = keys.first()?;
        PublicEncryptingKey::from_der(key.as_der().ok()?.as_ref()).ok()?;
        Some(Self(keys))
    }

    /// A key on one of the three curves: as `SubjectPublicKeyInfo` or as the
    /// uncompressed point. It serves the one algorithm of its curve.
    pub(super) fn ecdsa(bytes: &[u8]) -> Option<Self> {
        let curves = [
            (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED),
            (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED),
            (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED),
        ];
        curves
            .into_iter()
            .find_map(|(algorithm, parameters)| Self::single(algorithm, parameters, bytes))
    }

    /// An Ed25519 key: its 32 bytes.
    pub(super) fn ed25519(bytes: &[u8]) -> Option<Self> {
        Self::single(Algorithm::EdDsa, &ED25519, bytes)
    }

    fn single(
        algorithm: Algorithm,
        parameters: &'static dyn VerificationAlgorithm,
        bytes: &[u8],
    ) -> Option<Self> {
        let key = ParsedPublicKey::new(parameters, bytes).ok()?;
        Some(Self(vec![(algorithm, key)]))
    }

    /// The same key for one algorithm only; `None` if it does not serve that.
    pub(super) fn only(mut self, algorithm: Algorithm) -> Option<Self> {
        self.0.retain(|(served, _)| *served == algorithm);
        (!self.0.is_empty()).then_some(self)
    }

    /// Checks a token's signature with the algorithm that its header names.
    pub(super) fn verify(&self, token: &Parsed<'_>) -> Result<(), InvalidToken> {
        let algorithm = Algorithm::named(&token.header.alg)?;
        let (_, key) = self
            .0
            .iter()
            .find(|(served, _)| *served == algorithm)
            .ok_or(InvalidToken::Algorithm)?;
        key.verify_sig(token.message, &token.signature)
            .map_err(|_details| InvalidToken::Signature)
    }
}

/// The keys that stand in one section of settings.
pub(super) struct StaticKeys {
    /// In the order in which they are tried.
    hmac: Vec<HmacKey>,
    /// Every algorithm at most once: RSA and ECDSA have none in common.
    public: PublicKey,
}

struct HmacKey {
    sha256: hmac::Key,
    sha384: hmac::Key,
    sha512: hmac::Key,
    /// Unix time in seconds after which the key is not used any more.
    valid_until: Option<i64>,
}

impl StaticKeys {
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, SettingsError> {
        let until = Some(settings.previous_valid_until).filter(|until| *until != 0);
        let hmac = [
            (&settings.hmac_secret_key, None),
            (&settings.hmac_previous_secret_key, until),
        ];
        let mut public = PublicKey(Vec::new());
        if !settings.rsa_public_key.is_empty() {
            let key = der(&settings.rsa_public_key, &["PUBLIC KEY", "RSA PUBLIC KEY"])
                .and_then(|der| PublicKey::rsa_der(&der))
                .ok_or(SettingsError::Key {
                    section: settings.section,
                    option: "rsa_public_key",
                    remedy: "give the PEM text, not a path, of an RSA public key of 2048 to 8192 bits \
                             (BEGIN PUBLIC KEY or BEGIN RSA PUBLIC KEY)",
                })?;
            public.0.extend(key.0);
        }
        if !settings.ecdsa_public_key.is_empty() {
            let key = der(&settings.ecdsa_public_key, &["PUBLIC KEY"])
                .and_then(|der| PublicKey::ecdsa(&der))
                .ok_or(SettingsError::Key {
                    section: settings.section,
                    option: "ecdsa_public_key",
                    remedy: "give the PEM text, not a path, of a public key on the curve P-256, P-384 \
                             or P-521 (BEGIN PUBLIC KEY)",
                })?;
            public.0.extend(key.0);
        }
        Ok(Self {
            hmac: hmac
                .into_iter()
                .filter(|(secret, _)| !secret.is_empty())
                .map(|(secret, valid_until)| HmacKey::new(secret.as_bytes(), valid_until))
                .collect(),
            public,
        })
    }

    /// Checks a token's signature with the algorithm that its header names. A
    /// key serves only the algorithms of its own family.
    pub(super) fn verify(&self, token: &Parsed<'_>, now: f64) -> Result<(), InvalidToken> {
        let algorithm = Algorithm::named(&token.header.alg)?;
        if !algorithm.is_symmetric() {
            return self.public.verify(token);
        }
        if self.hmac.is_empty() {
            return Err(InvalidToken::Algorithm);
        }
        self.hmac
            .iter()
            .filter(|key| key.is_valid_at(now))
            .filter_map(|key| key.of(algorithm))
            .any(|key| hmac::verify(key, token.message, &token.signature).is_ok())
            .then_some(())
            .ok_or(InvalidToken::Signature)
    }
}

impl HmacKey {
    fn new(secret: &[u8], valid_until: Option<i64>) -> Self {
        Self {
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            sha384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
            valid_until,
        }
    }

    fn of(&self, algorithm: Algorithm) -> Option<&hmac::Key> {
        match algorithm {
            Algorithm::Hs256 => Some(&self.sha256),
            Algorithm::Hs384 => Some(&self.sha384),
            Algorithm::Hs512 => Some(&self.sha512),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::EdDsa => None,
        }
    }

    fn is_valid_at(&self, now: f64) -> bool {
        // Seconds since 1970 are exact in an f64.
        self.valid_until.is_none_or(|until| now <= until as f64)
    }
}

/// The first PEM block (RFC 7468) whose label is one of these. Text around the
/// block is ignored.
fn der(pem: &str, labels: &[&str]) -> Option<Vec<u8>> {
    labels.iter().find_map(|label| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.split_whitespace().collect();
        STANDARD.decode(body).ok()
    })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
