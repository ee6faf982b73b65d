//! Tokens: verifying the ones clients bring, signing the ones commands print.
//!
//! A token says who connects ([`Verifier::verify_connect`]) or which channel a
//! user may subscribe to ([`Verifier::verify_subscribe`]). Its key stands in the
//! settings or comes from a JWKS endpoint; only a key that is not here yet needs
//! waiting, so each kind of verification has a `_now` form that does not. Claims
//! follow the rules of the protocol. Nothing here logs a token or a key, and the
//! errors carry neither.

mod claims;
mod endpoint;
mod error;
mod fetch;
mod jwk;
mod key_sets;
mod keys;
mod rules;
mod sign;
mod token;

use std::fmt;

pub use self::claims::{ConnectClaims, Overrides, SubscribeClaims, SubscriptionOptions};
use self::claims::{ConnectPayload, Registered, SubscribePayload};
use self::endpoint::Endpoint;
pub use self::error::{InvalidToken, NeedsKeys, Section, SettingsError, TokenError};
pub use self::key_sets::KeySets;
use self::keys::{Algorithm, StaticKeys};
use self::rules::Rules;
pub use self::sign::{SignError, connection_token, subscription_token};
use self::token::Parsed;
pub use self::token::{Unverified, unverified};

/// The options of `client.token` or `client.subscription_token` that verifying
/// and signing need. Empty strings are absent options.
#[derive(Clone, Default)]
pub struct TokenSettings {
    /// The section that the options are of; errors name it.
    pub section: Section,
    /// Key of HS256, HS384 and HS512, as its UTF-8 bytes.
    pub hmac_secret_key: String,
    /// A second HMAC key, tried when the first does not fit.
    pub hmac_previous_secret_key: String,
    /// Unix time in seconds until which the second key is good; 0 is for ever.
    pub previous_valid_until: i64,
    /// Key of RS256, RS384 and RS512, as PEM: at least 2048 bits.
    pub rsa_public_key: String,
    /// Key of ES256, ES384 or ES512, whichever belongs to its curve, as PEM.
    pub ecdsa_public_key: String,
    /// URL of a set of keys (JWKS). When it is set, no other key is used, and
    /// none is looked at. `{{name}}` in it is filled with what the group `name`
    /// of `issuer_regex` or `audience_regex` matched.
    pub jwks_public_endpoint: String,
    /// What `aud` must be, or contain.
    pub audience: String,
    /// What `aud`, or one of them, must match somewhere. Excludes `audience`.
    pub audience_regex: String,
    /// What `iss` must be.
    pub issuer: String,
    /// What `iss` must match somewhere. Excludes `issuer`.
    pub issuer_regex: String,
    /// The claim that holds the user id, instead of `sub`.
    pub user_id_claim: String,
    /// Lets any text fill a placeholder of the endpoint, not only listed ones.
    pub insecure_skip_jwks_endpoint_safety_check: bool,
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings")
            .field("section", &self.section)
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("user_id_claim", &self.user_id_claim)
            .finish_non_exhaustive()
    }
}

/// Verifies tokens against one section of settings.
pub struct Verifier {
    signatures: Signatures,
    rules: Rules,
    user_id_claim: Option<String>,
}

/// How signatures are verified.
enum Signatures {
    NotAtAll,
    Static(StaticKeys),
    Fetched {
        endpoint: Endpoint,
        key_sets: KeySets,
    },
}

/// A token whose issuer and audience match, and whose signature is good as soon
/// as the missing key is found to fit.
struct Begun<'t> {
    token: Parsed<'t>,
    registered: Registered,
    missing: Option<MissingKey>,
}

struct MissingKey {
    /// Of the set.
    address: String,
    id: String,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier with these settings, which fetches into `key_sets`. Without any
    /// key it refuses every token.
    ///
    /// # Errors
    /// An option cannot be used; the text says which, and what to do.
    pub fn new(settings: &TokenSettings, key_sets: &KeySets) -> Result<Self, SettingsError> {
        let name = &settings.user_id_claim;
        let is_name = |c: char| c.is_ascii_alphabetic() || c == '_';
        if !name.chars().all(is_name) {
            return Err(SettingsError::UserIdClaim {
                section: settings.section,
                name: name.clone(),
            });
        }
        let rules = Rules::new(settings)?;
        let signatures = if settings.jwks_public_endpoint.is_empty() {
            Signatures::Static(StaticKeys::new(settings)?)
        } else {
            Signatures::Fetched {
                endpoint: Endpoint::new(settings)?,
                key_sets: key_sets.clone(),
            }
        };
        Ok(Self {
            signatures,
            rules,
            user_id_claim: Some(name.clone()).filter(|name| !name.is_empty()),
        })
    }

    /// The same verifier, but it believes every signature: for development
    /// (`client.insecure_skip_token_signature_verify`). Everything else is still
    /// checked, and no key is fetched.
    #[must_use]
    pub fn without_signatures(mut self) -> Self {
        self.signatures = Signatures::NotAtAll;
        self
    }

    /// Verifies a connection token without waiting. `now` is the Unix time in
    /// seconds with its fraction (a token may become valid within the current
    /// second).
    ///
    /// # Errors
    /// [`NeedsKeys`]: call [`Verifier::verify_connect`]. Inside,
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub fn verify_connect_now(
        &self,
        token: &str,
        now: f64,
    ) -> Result<Result<ConnectClaims, TokenError>, NeedsKeys> {
        self.now(token, now, Self::connect_claims)
    }

    /// Verifies a subscription token without waiting. `now` as for
    /// [`Verifier::verify_connect_now`].
    ///
    /// # Errors
    /// [`NeedsKeys`]: call [`Verifier::verify_subscribe`]. Inside,
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub fn verify_subscribe_now(
        &self,
        token: &str,
        now: f64,
    ) -> Result<Result<SubscribeClaims, TokenError>, NeedsKeys> {
        self.now(token, now, Self::subscribe_claims)
    }

    /// Verifies a connection token, fetching its key if that is not here yet: at
    /// most twice two attempts of a second. Any runtime with I/O and time will do.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub async fn verify_connect(&self, token: &str, now: f64) -> Result<ConnectClaims, TokenError> {
        let begun = self.begin(token, now)?;
        self.fetch_missing(&begun).await?;
        self.connect_claims(&begun, now)
    }

    /// Verifies a subscription token, fetching its key like
    /// [`Verifier::verify_connect`]. Whether user and channel are those of the
    /// request is the caller's check.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only when nothing else is wrong.
    pub async fn verify_subscribe(
        &self,
        token: &str,
        now: f64,
    ) -> Result<SubscribeClaims, TokenError> {
        let begun = self.begin(token, now)?;
        self.fetch_missing(&begun).await?;
        self.subscribe_claims(&begun, now)
    }

    fn now<Claims>(
        &self,
        token: &str,
        now: f64,
        claims: impl FnOnce(&Self, &Begun<'_>, f64) -> Result<Claims, TokenError>,
    ) -> Result<Result<Claims, TokenError>, NeedsKeys> {
        match self.begin(token, now) {
            Err(reason) => Ok(Err(reason.into())),
            Ok(Begun {
                missing: Some(_), ..
            }) => Err(NeedsKeys),
            Ok(begun) => Ok(claims(self, &begun, now)),
        }
    }

    /// Everything up to the signature, and the signature if its key is here.
    fn begin<'t>(&self, token: &'t str, now: f64) -> Result<Begun<'t>, InvalidToken> {
        let token = Parsed::new(token)?;
        let registered = Registered::parse(&token.payload)?;
        let variables = self.rules.check_expressions(&registered)?;
        let mut missing = None;
        match &self.signatures {
            Signatures::NotAtAll => {}
            Signatures::Static(keys) => keys.verify(&token, now)?,
            Signatures::Fetched { endpoint, key_sets } => {
                if Algorithm::named(&token.header.alg)?.is_symmetric() {
                    return Err(InvalidToken::Algorithm);
                }
                let id = token.header.kid.as_deref().filter(|id| !id.is_empty());
                let id = id.ok_or(InvalidToken::KeyId)?;
                let address = endpoint.address(&variables)?;
                match key_sets.kept(&address, id) {
                    Some(key) => key.verify(&token)?,
                    None => {
                        let id = id.to_owned();
                        missing = Some(MissingKey { address, id });
                    }
                }
            }
        }
        Ok(Begun {
            token,
            registered,
            missing,
        })
    }

    async fn fetch_missing(&self, begun: &Begun<'_>) -> Result<(), InvalidToken> {
        if let Some(missing) = &begun.missing
            && let Signatures::Fetched { key_sets, .. } = &self.signatures
        {
            let key = key_sets.key(&missing.address, &missing.id).await?;
            key.verify(&begun.token)?;
        }
        Ok(())
    }

    /// Everything after the signature.
    fn connect_claims(&self, begun: &Begun<'_>, now: f64) -> Result<ConnectClaims, TokenError> {
        let Begun {
            token, registered, ..
        } = begun;
        self.rules.check_texts(registered)?;
        let user = self.user(registered, &token.payload)?;
        let claims = ConnectPayload::parse(&token.payload)?.into_claims(user, registered)?;
        registered.check_time(now)?;
        Ok(claims)
    }

    /// Everything after the signature.
    fn subscribe_claims(&self, begun: &Begun<'_>, now: f64) -> Result<SubscribeClaims, TokenError> {
        let Begun {
            token, registered, ..
        } = begun;
        self.rules.check_texts(registered)?;
        let user = self.user(registered, &token.payload)?;
        let claims = SubscribePayload::parse(&token.payload)?.into_claims(user, registered)?;
        registered.check_time(now)?;
        Ok(claims)
    }

    fn user(&self, registered: &Registered, payload: &[u8]) -> Result<String, InvalidToken> {
        match &self.user_id_claim {
            Some(name) => claims::stringified(payload, name),
            None => Ok(registered.subject().to_owned()),
        }
    }
}

/// How many keys of a set can be used; `None` if it is no set.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn usable_keys(set: &[u8]) -> Option<usize> {
    jwk::parse(set).ok().map(|keys| keys.len())
}

#[cfg(test)]
mod tests;
