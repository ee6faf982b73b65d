//! Running the server.

use anyhow::Context;
use tidewire_config::Config;
use tidewire_config::load::{Loaded, Sources};
use tidewire_edge::node::{Listeners, Node};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::telemetry;

/// Interrupts so soon after the first are that one.
const SAME_INTERRUPT: std::time::Duration = std::time::Duration::from_millis(500);

/// Runs until SIGTERM or SIGINT.
pub(super) fn serve(sources: &Sources) -> anyhow::Result<()> {
    let loaded = super::load(sources)?;
    telemetry::start(&loaded.config)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    for path in &loaded.without_effect {
        tracing::warn!(option = path, "this option has no effect yet");
    }
    warn_of_open_doors(&loaded.config);
    let listeners = Listeners::bind(&loaded.config)?;
    start(loaded, listeners, sources)
}

/// Options that are for development.
fn warn_of_open_doors(config: &Config) {
    let doors = [
        (
            "client.insecure",
            config.client.insecure,
            "clients need no token and may do everything",
        ),
        (
            "http_api.insecure",
            config.http_api.insecure,
            "whoever reaches the API may use it",
        ),
        (
            "tidewire.demo.enabled",
            config.tidewire.demo.enabled,
            "whoever asks gets a token for any user",
        ),
    ];
    for (option, open, meaning) in doors {
        if open {
            tracing::warn!(option, meaning, "for development only");
        }
    }
}

/// Runs a node on bound listeners.
pub(super) fn start(loaded: Loaded, listeners: Listeners, sources: &Sources) -> anyhow::Result<()> {
    let pid_file = PidFile::write(&loaded.config)?;
    let drain = &loaded.config.tidewire.drain;
    let timeout = drain.endpoint_propagation.get() + loaded.config.shutdown.timeout.get();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tokio::spawn(async move {
                let first = tokio::time::Instant::now();
                while interrupt.recv().await.is_some() {
                    // A terminal and a wrapper may both hand on the same one.
                    if first.elapsed() > SAME_INTERRUPT {
                        tracing::warn!("interrupted a second time, exiting at once");
                        std::process::exit(1);
                    }
                }
            });
            // The drain must not hang for ever; the thread ends with the process.
            std::thread::spawn(move || {
                std::thread::sleep(timeout);
                tracing::error!("shutdown.timeout is over, exiting at once");
                std::process::exit(1);
            });
        };
        log_addresses(&listeners)?;
        Node::start(loaded)
            .await?
            .run(listeners, sources, shutdown)
            .await
    });
    drop(pid_file);
    tracing::info!("stopped");
    result
}

fn log_addresses(listeners: &Listeners) -> anyhow::Result<()> {
    let external = listeners.external.local_addr()?;
    match &listeners.internal {
        None => tracing::info!(address = %external, "serving clients, API and status"),
        Some(internal) => {
            tracing::info!(address = %external, "serving clients");
            tracing::info!(address = %internal.local_addr()?, "serving API and status");
        }
    }
    Ok(())
}

/// The file of `pid_file`, removed at the end.
struct PidFile(Option<std::path::PathBuf>);

impl PidFile {
    fn write(config: &Config) -> anyhow::Result<Self> {
        if config.pid_file.is_empty() {
            return Ok(Self(None));
        }
        let path = std::path::PathBuf::from(&config.pid_file);
        std::fs::write(&path, std::process::id().to_string())
            .with_context(|| format!("cannot write pid_file {}", path.display()))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, "the PID file could not be removed");
        }
    }
}
