//! How tokens are verified.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// How tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Token {
    /// Key of tokens signed with HS256, HS384 or HS512; empty accepts none.
    #[serde(skip_serializing)]
    pub hmac_secret_key: Secret<String>,
    /// Key that is also accepted while keys are exchanged; empty accepts none.
    #[serde(skip_serializing)]
    pub hmac_previous_secret_key: Secret<String>,
    /// Unix time in seconds until which the previous key is accepted; 0 sets no limit.
    #[schemars(range(min = 0))]
    pub hmac_previous_secret_key_valid_until: i64,
    /// Public key, as PEM text, of tokens signed with RS256, RS384 or RS512; empty accepts none.
    pub rsa_public_key: String,
    /// Public key, as PEM text, of tokens signed with ES256, ES384 or ES512; empty accepts none.
    ///
    /// The curve decides which of the three it is.
    pub ecdsa_public_key: String,
    /// Address of a JSON Web Key Set; when it is set, all keys above are ignored.
    ///
    /// It may hold `{{name}}`: the text of the group `name` in `issuer_regex` or
    /// `audience_regex`, as it matched the token.
    pub jwks_public_endpoint: String,
    /// Accept a key set's address with groups that are not lists of fixed texts.
    ///
    /// Without this, nobody but the configuration decides which addresses are asked for keys.
    pub insecure_skip_jwks_endpoint_safety_check: bool,
    /// Audience that a token must name; empty does not check it.
    pub audience: String,
    /// Regular expression that an audience of the token must match; not together with `audience`.
    pub audience_regex: String,
    /// Issuer that a token must name; empty does not check it.
    pub issuer: String,
    /// Regular expression that the token's issuer must match; not together with `issuer`.
    pub issuer_regex: String,
    /// Claim that holds the user; empty means `sub`.
    ///
    /// Its name consists of letters and underscores.
    pub user_id_claim: String,
}

/// How subscription tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SubscriptionToken {
    /// Verify subscription tokens with the settings of this section instead of `client.token`.
    #[schemars(extend("x-tidewire-change" = "boot"))]
    pub enabled: bool,
    /// The settings, at the same level as `enabled`.
    #[serde(flatten)]
    pub token: Token,
}
