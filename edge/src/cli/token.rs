//! Tokens for development and for checking a backend's own.

use anyhow::bail;
use clap::Args;
use tidewire_edge::auth::{KeySets, TokenError, TokenSettings, Verifier, connection_token};
use tidewire_edge::services::unix_time;

use super::SourceArgs;

/// Prints a connection token.
#[derive(Debug, Args)]
pub(super) struct Gentoken {
    #[command(flatten)]
    sources: SourceArgs,
    /// The user; empty is anonymous.
    #[arg(short, long, default_value = "")]
    user: String,
    /// Seconds until the token expires; negative = never.
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
        let now = i64::try_from(unix_time()).unwrap_or(i64::MAX);
        let token = connection_token(&settings, &self.user, self.ttl, now)?;
        if self.quiet {
            return super::print(&token);
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
        super::print(&format!("HMAC SHA-256 JWT for {user} {expiry}:\n{token}\n"))
    }
}

/// Verifies a connection token.
#[derive(Debug, Args)]
pub(super) struct Checktoken {
    #[command(flatten)]
    sources: SourceArgs,
    /// The token.
    token: String,
}

impl Checktoken {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let loaded = super::load(&self.sources.sources(None)?)?;
        let settings = TokenSettings::from(&loaded.config.client.token);
        let verifier = Verifier::new(&settings, &KeySets::default())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds fit a double for the next 280 million years"
        )]
        match runtime.block_on(verifier.verify_connect(&self.token, unix_time() as f64)) {
            Ok(claims) if claims.user.is_empty() => {
                super::print("valid token for anonymous user\n")
            }
            Ok(claims) => super::print(&format!("valid token for user {}\n", claims.user)),
            Err(TokenError::Expired) => bail!("the token has expired, or is not valid yet"),
            Err(TokenError::Invalid(reason)) => bail!("invalid token: {reason}"),
        }
    }
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
