//! Tokens for development and for checking a backend's own.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use clap::Args;
use tidewire_config::Config;
use tidewire_edge::auth::{
    KeySets, Section, TokenError, TokenSettings, Verifier, connection_token, subscription_token,
    unverified,
};
use tidewire_edge::services::unix_time;
use tokio::runtime::{Builder, Runtime};

use super::SourceArgs;

/// Prints a connection token.
#[derive(Debug, Args)]
pub(super) struct Gentoken {
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    token: TokenArgs,
}

/// Prints a subscription token.
#[derive(Debug, Args)]
pub(super) struct Gensubtoken {
    #[command(flatten)]
    sources: SourceArgs,
    /// The channel.
    #[arg(short = 's', long, default_value = "")]
    channel: String,
    #[command(flatten)]
    token: TokenArgs,
}

/// What the tokens of both kinds have.
#[derive(Debug, Args)]
struct TokenArgs {
    /// The user; empty is anonymous.
    #[arg(short, long, default_value = "")]
    user: String,
    /// Seconds until the token expires; 0 and less = never.
    #[arg(short, long, default_value_t = 604_800, allow_negative_numbers = true)]
    ttl: i64,
    /// Print the bare token.
    #[arg(short, long)]
    quiet: bool,
}

impl Gentoken {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let loaded = super::load(&self.sources.sources(None)?)?;
        let settings = TokenSettings::from(&loaded.config.client.token);
        let token = connection_token(&settings, &self.token.user, self.token.ttl, now())?;
        self.token.print(&token, "")
    }
}

impl Gensubtoken {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let loaded = super::load(&self.sources.sources(None)?)?;
        let settings = subscription_settings(&loaded.config);
        let TokenArgs { user, ttl, .. } = &self.token;
        let token = subscription_token(&settings, user, &self.channel, *ttl, now())?;
        let channel = format!(" and channel \"{}\"", self.channel);
        self.token.print(&token, &channel)
    }
}

impl TokenArgs {
    /// Prints the token, and whom and what it is for unless it is to stand alone.
    fn print(&self, token: &str, channel: &str) -> anyhow::Result<()> {
        if self.quiet {
            return super::print(token);
        }
        let user = if self.user.is_empty() {
            "anonymous user".to_owned()
        } else {
            format!("user \"{}\"", self.user)
        };
        let expiry = if self.ttl < 0 {
            "without expiration".to_owned()
        } else {
            format!("with expiration TTL {}", ttl(self.ttl))
        };
        super::print(&format!(
            "HMAC SHA-256 JWT for {user}{channel} {expiry}:\n{token}\n"
        ))
    }
}

/// Verifies a token.
#[derive(Debug, Args)]
pub(super) struct Checktoken {
    #[command(flatten)]
    sources: SourceArgs,
    /// The token.
    token: String,
}

impl Checktoken {
    /// The token is to be a connection token.
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let loaded = super::load(&self.sources.sources(None)?)?;
        let settings = TokenSettings::from(&loaded.config.client.token);
        let verifier = Verifier::new(&settings, &KeySets::default())?;
        let verified = verifier.verify_connect(&self.token, seconds());
        let claims = self.told(runtime()?.block_on(verified))?;
        if claims.user.is_empty() {
            self.print("valid token for anonymous user")
        } else {
            self.print(&format!("valid token for user {}", claims.user))
        }
    }

    /// The token is to be a subscription token.
    pub(super) fn run_for_subscription(&self) -> anyhow::Result<()> {
        let loaded = super::load(&self.sources.sources(None)?)?;
        let settings = subscription_settings(&loaded.config);
        let verifier = Verifier::new(&settings, &KeySets::default())?;
        let verified = verifier.verify_subscribe(&self.token, seconds());
        let claims = self.told(runtime()?.block_on(verified))?;
        self.print(&format!(
            "valid subscription token for user \"{}\" and channel \"{}\"",
            claims.user, claims.channel
        ))
    }

    /// A refused token's reason, with what the token says of itself.
    fn told<Claims>(&self, verified: Result<Claims, TokenError>) -> anyhow::Result<Claims> {
        let error = match verified {
            Ok(claims) => return Ok(claims),
            Err(error) => error,
        };
        let shown = unverified(&self.token)?;
        bail!(
            "token with algorithm {} and claims {} has error: {}",
            shown.algorithm,
            shown.claims,
            tidewire_edge::chain(&error)
        )
    }

    fn print(&self, verdict: &str) -> anyhow::Result<()> {
        let shown = unverified(&self.token)?;
        super::print(&format!("{verdict}\npayload: {}\n", shown.claims))
    }
}

/// The settings of subscription tokens: their own section if it is enabled, or that of all tokens.
fn subscription_settings(config: &Config) -> TokenSettings {
    let own = &config.client.subscription_token;
    if own.enabled {
        TokenSettings {
            section: Section::SubscriptionToken,
            ..TokenSettings::from(&own.token)
        }
    } else {
        TokenSettings::from(&config.client.token)
    }
}

/// Key sets are fetched over the network.
fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn now() -> i64 {
    i64::try_from(unix_time()).unwrap_or(i64::MAX)
}

/// The same with the fraction: a token may become valid within this second.
fn seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// A duration as Go prints it: `168h0m0s`.
fn ttl(seconds: i64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}
