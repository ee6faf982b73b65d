//! Logs: readable on a terminal, one JSON object per line elsewhere (configuration.md section 3.3).

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;

use anyhow::Context;
use tidewire_config::{Config, LogLevel};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

/// Starts logging as `log.level` and `log.file` say.
pub(super) fn start(config: &Config) -> anyhow::Result<()> {
    let level = match config.log.level {
        LogLevel::None => LevelFilter::OFF,
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    };
    let builder = fmt().with_max_level(level).with_target(false);
    if !config.log.file.is_empty() {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&config.log.file)
            .with_context(|| format!("cannot open log.file {}", config.log.file))?;
        builder
            .json()
            .flatten_event(true)
            .with_writer(Mutex::new(file))
            .init();
    } else if std::io::stderr().is_terminal() {
        builder.with_writer(std::io::stderr).init();
    } else {
        builder
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .init();
    }
    Ok(())
}
