//! Why a token is refused, and why settings are.

use std::fmt;

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
    /// The header has no `kid`, or the JWKS endpoint has no usable key of that id.
    #[error("key id is missing or unknown")]
    KeyId,
    /// Issuer and audience give no address that keys may be fetched from.
    #[error("claims lead to no JWKS endpoint")]
    Endpoint,
    /// The JWKS endpoint did not answer with a set of keys.
    #[error("keys could not be fetched")]
    KeysUnavailable,
}

impl From<InvalidToken> for TokenError {
    fn from(reason: InvalidToken) -> Self {
        Self::Invalid(reason)
    }
}

/// The token can only be verified with keys that must be fetched first: use the
/// verifier's asynchronous method of the same kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("keys must be fetched first")]
pub struct NeedsKeys;

/// The section of the configuration that settings come from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Section {
    /// `client.token`.
    #[default]
    Token,
    /// `client.subscription_token`.
    SubscriptionToken,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "client.token",
            Self::SubscriptionToken => "client.subscription_token",
        })
    }
}

/// No verifier can be made of these settings. The text names the option and
/// what to do about it; the whole is for whoever writes the configuration.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A key is not what its option takes.
    #[error("{section}.{option} is not a usable key: {remedy}")]
    Key {
        /// Where.
        section: Section,
        /// The option.
        option: &'static str,
        /// What the option takes.
        remedy: &'static str,
    },
    /// A claim is to be equal to a text and to match an expression.
    #[error("{section}.{option} and {section}.{option}_regex exclude each other: unset one")]
    TextAndExpression {
        /// Where.
        section: Section,
        /// The option for the text: `audience` or `issuer`.
        option: &'static str,
    },
    /// A regular expression does not compile.
    #[error("{section}.{option} is not a regular expression: correct it")]
    Expression {
        /// Where.
        section: Section,
        /// The option.
        option: &'static str,
        /// What the compiler says.
        #[source]
        source: Box<regex::Error>,
    },
    /// The name of the user id claim is not accepted.
    #[error("{section}.user_id_claim is {name:?}: use only letters and underscores")]
    UserIdClaim {
        /// Where.
        section: Section,
        /// The name.
        name: String,
    },
    /// The endpoint is not an address of the web.
    #[error(
        "{section}.jwks_public_endpoint is {endpoint:?}: \
         write a URL that begins with http:// or https://, without user and password; \
         placeholders look like {{{{name}}}}"
    )]
    Endpoint {
        /// Where.
        section: Section,
        /// The address.
        endpoint: String,
    },
    /// The endpoint has a placeholder that nothing can fill.
    #[error(
        "{section}.jwks_public_endpoint uses {{{{{name}}}}}, which no group is named after: \
         add (?P<{name}>one|other) to {section}.issuer_regex or {section}.audience_regex"
    )]
    Placeholder {
        /// Where.
        section: Section,
        /// The placeholder.
        name: String,
    },
    /// A placeholder could be filled with what an attacker likes, because its
    /// group matches more than a list of texts.
    #[error(
        "{section}.{option} fills {{{{{name}}}}} of {section}.jwks_public_endpoint: \
         write its group as a list of texts, (?P<{name}>one|other), \
         or set {section}.insecure_skip_jwks_endpoint_safety_check if every issuer is trusted"
    )]
    UnsafeGroup {
        /// Where.
        section: Section,
        /// The option with the expression.
        option: &'static str,
        /// The group.
        name: String,
    },
    /// The expression that fills a placeholder is not a plain one.
    #[error(
        "{section}.{option} fills a placeholder of {section}.jwks_public_endpoint: \
         use neither character classes such as [a-z], \\d or \\w nor the flag i in it, \
         or set {section}.insecure_skip_jwks_endpoint_safety_check if every issuer is trusted"
    )]
    UnsafeExpression {
        /// Where.
        section: Section,
        /// The option with the expression.
        option: &'static str,
    },
}
