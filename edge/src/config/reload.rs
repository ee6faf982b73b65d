//! Swapping the live part of the configuration while the node runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidewire_config::load::{self, LoadError, Sources};
use tokio::time::{MissedTickBehavior, interval};

use super::{Live, LiveError, Settings};

/// How often a mounted configuration is looked at. Polling one link is cheaper than inotify, of which a
/// machine has few instances.
const POLL: Duration = Duration::from_secs(1);

/// Why the running configuration was kept.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The sources cannot be read.
    #[error("cannot load the configuration")]
    Load(#[from] LoadError),
    /// The configuration is refused.
    #[error("the configuration is invalid: {0}")]
    Invalid(String),
    /// The configuration passes its checks but cannot be used.
    #[error("the configuration cannot be used")]
    Live(#[from] LiveError),
}

/// Loads all sources again and swaps the live options in. Boot options keep their values until a restart.
///
/// # Errors
/// The running configuration stays as it is.
pub fn reload(settings: &Settings, sources: &Sources) -> Result<(), ReloadError> {
    let loaded = load::load(sources)?;
    loaded.config.check().map_err(|violations| {
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        ReloadError::Invalid(texts.join("; "))
    })?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if loaded.boot_hash != settings.boot_hash {
        tracing::warn!("boot options changed; they take effect at the next start");
    }
    let boot = Arc::clone(&settings.boot);
    let live = Live::new(loaded.config, boot, loaded.live_hash, &settings.key_sets)?;
    let live = Arc::new(live);
    settings.live.store(Arc::clone(&live));
    tracing::info!(live_hash = live.hash, "configuration successfully reloaded");
    Ok(())
}

/// Reloads whenever one of the mounted directories changes, until the caller drops it.
///
/// Kubernetes updates a mounted volume by swapping its `..data` link.
pub async fn watch(settings: &Settings, sources: &Sources) {
    let links: Vec<PathBuf> = [&sources.config, &sources.secrets]
        .into_iter()
        .flatten()
        .filter(|path| path.is_dir())
        .map(|path| path.join("..data"))
        .collect();
    if links.is_empty() {
        return std::future::pending().await;
    }
    let read = || -> Vec<Option<PathBuf>> {
        links
            .iter()
            .map(|link| std::fs::read_link(link).ok())
            .collect()
    };
    let mut seen = read();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        let now = read();
        if now != seen {
            seen = now;
            report(settings, reload(settings, sources));
        }
    }
}

/// Logs and counts what came of a reload.
pub fn report(settings: &Settings, result: Result<(), ReloadError>) {
    if let Err(error) = result {
        settings.reload_failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            error = crate::chain(&error),
            "the running configuration stays"
        );
    }
}
