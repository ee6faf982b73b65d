//! The configuration of a running node: what it started with, and the live part that a reload swaps.
//!
//! Options are *boot* or *live* (`tidewire_config`, change class). Boot options are read from
//! [`Settings::boot`], live ones from a [`Live`] snapshot, which is held for the length of one command.

pub mod reload;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use tidewire_config::load::Loaded;
use tidewire_config::{ChannelOptions, Config, DataFormat, Namespace, Namespaces, Token};
use tidewire_protocol::raw;

use crate::auth::{KeySets, Section, SettingsError, TokenSettings, Verifier};

/// The configuration of this node.
#[derive(Debug)]
pub struct Settings {
    /// As loaded at start; its live options are stale after a reload.
    pub boot: Arc<Config>,
    /// Hash of the explicitly set boot options, as the operator computes it.
    pub boot_hash: String,
    /// The current live options.
    pub live: ArcSwap<Live>,
    /// Reloads that were refused since the start.
    pub reload_failures: AtomicU64,
    /// Fetched token keys, which outlive every snapshot.
    pub key_sets: KeySets,
}

/// A checked configuration cannot be used all the same.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// A `channel_regex` does not compile; `Config::check` finds that first.
    #[error("an expression of a namespace does not compile")]
    Regex(#[from] regex::Error),
    /// No tokens can be verified with these options.
    #[error("tokens cannot be verified")]
    Token(#[from] SettingsError),
}

impl Settings {
    /// The settings of a node that starts with `loaded`.
    ///
    /// # Errors
    /// See [`Live::new`].
    pub fn new(loaded: Loaded) -> Result<Self, LiveError> {
        let key_sets = KeySets::default();
        let boot = Arc::new(loaded.config.clone());
        let live = Live::new(
            loaded.config,
            Arc::clone(&boot),
            loaded.live_hash,
            &key_sets,
        )?;
        Ok(Self {
            boot,
            boot_hash: loaded.boot_hash,
            live: ArcSwap::from_pointee(live),
            reload_failures: AtomicU64::new(0),
            key_sets,
        })
    }

    /// The current snapshot.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }
}

/// One snapshot of the live options, with what is computed from them once.
#[derive(Debug)]
pub struct Live {
    /// Only the live options of it may be read.
    pub config: Config,
    /// The configuration that this process started with, for everything else.
    pub boot: Arc<Config>,
    /// Hash of the explicitly set live options, as the operator computes it.
    pub hash: String,
    /// Checks connection tokens.
    pub verifier: Verifier,
    /// Checks subscription tokens.
    pub subscription_verifier: Verifier,
    namespaces: Namespaces,
}

impl Live {
    /// A snapshot of a checked configuration.
    ///
    /// # Errors
    /// See [`LiveError`].
    pub fn new(
        config: Config,
        boot: Arc<Config>,
        hash: String,
        key_sets: &KeySets,
    ) -> Result<Self, LiveError> {
        let client = &config.client;
        let verifier = |settings: &TokenSettings| -> Result<Verifier, LiveError> {
            let verifier = Verifier::new(settings, key_sets)?;
            Ok(if client.insecure_skip_token_signature_verify {
                verifier.without_signatures()
            } else {
                verifier
            })
        };
        let own = &boot.client.subscription_token;
        let subscriptions = if own.enabled {
            TokenSettings {
                section: Section::SubscriptionToken,
                ..TokenSettings::from(&client.subscription_token.token)
            }
        } else {
            TokenSettings::from(&client.token)
        };
        let subscription_verifier = verifier(&subscriptions)?;
        let verifier = verifier(&TokenSettings::from(&client.token))?;
        let namespaces = Namespaces::new(&config)?;
        Ok(Self {
            config,
            boot,
            hash,
            verifier,
            subscription_verifier,
            namespaces,
        })
    }

    /// The namespace of a channel; `None` if it is unknown.
    #[must_use]
    pub fn namespace(&self, channel: &str) -> Option<&Namespace> {
        self.namespaces.resolve(channel)
    }

    /// Whether clients may use this name in its namespace.
    #[must_use]
    pub fn accepts_name(&self, namespace: &Namespace, channel: &str) -> bool {
        self.namespaces.accepts_name(namespace, channel)
    }
}

/// Whether `data` may be published with these options (`publication_data_format`).
#[must_use]
pub fn accepts_data(options: &ChannelOptions, data: &[u8]) -> bool {
    match options.publication_data_format {
        DataFormat::Unset => !data.is_empty(),
        DataFormat::Json => raw::is_json(data),
        DataFormat::JsonObject => raw::is_json_object(data),
        DataFormat::Binary => true,
    }
}

impl From<&Token> for TokenSettings {
    fn from(token: &Token) -> Self {
        Self {
            hmac_secret_key: token.hmac_secret_key.expose().clone(),
            hmac_previous_secret_key: token.hmac_previous_secret_key.expose().clone(),
            previous_valid_until: token.hmac_previous_secret_key_valid_until,
            audience: token.audience.clone(),
            issuer: token.issuer.clone(),
            user_id_claim: token.user_id_claim.clone(),
            rsa_public_key: token.rsa_public_key.clone(),
            ecdsa_public_key: token.ecdsa_public_key.clone(),
            jwks_public_endpoint: token.jwks_public_endpoint.clone(),
            audience_regex: token.audience_regex.clone(),
            issuer_regex: token.issuer_regex.clone(),
            insecure_skip_jwks_endpoint_safety_check: token
                .insecure_skip_jwks_endpoint_safety_check,
            ..Self::default()
        }
    }
}
