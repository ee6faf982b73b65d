//! The commands. Without one the server runs.

mod dev;
mod serve;
mod telemetry;
mod token;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use tidewire_config::load::{self, Loaded, Sources};
use tidewire_config::{document, environment};

/// The Tidewire edge: a real-time messaging server that speaks the Centrifugo protocol.
#[derive(Debug, Parser)]
#[command(name = "edge", version = tidewire_edge::VERSION, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: SourceArgs,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
struct SourceArgs {
    /// Configuration file (.json, .yaml, .toml), or a directory whose files are merged in name order.
    #[arg(short, long, default_value = "config.json", value_name = "PATH")]
    config: PathBuf,
    /// Directory of secrets: file name = option path, content = value.
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// An option, over file and environment: `--set http_server.port=9000`. May be repeated.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    set: Vec<String>,
    /// Address to listen on.
    #[arg(short = 'a', long = "http_server.address", value_name = "IP")]
    address: Option<String>,
    /// Port to listen on.
    #[arg(short = 'p', long = "http_server.port", value_name = "PORT")]
    port: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a development server: generated keys, demo page, a token and a curl to paste.
    Dev(dev::Dev),
    /// Write a configuration file with fresh keys.
    Genconfig {
        /// The file to write; its extension is its format.
        #[arg(short, long, default_value = "config.json")]
        config: PathBuf,
    },
    /// Check a configuration.
    Checkconfig {
        #[command(flatten)]
        sources: SourceArgs,
        /// Refuse unknown keys.
        #[arg(short, long)]
        strict: bool,
    },
    /// Print a connection token, signed with the configured HMAC key.
    Gentoken(token::Gentoken),
    /// Print a subscription token, signed with the configured HMAC key.
    Gensubtoken(token::Gensubtoken),
    /// Verify a connection token.
    Checktoken(token::Checktoken),
    /// Verify a subscription token.
    Checksubtoken(token::Checktoken),
    /// Print every option with its default as a file.
    Defaultconfig {
        /// Format: json, yaml or toml.
        #[arg(long, default_value = "json")]
        format: String,
    },
    /// Print every option as an environment variable.
    Defaultenv,
    /// Print the manual of all options as Markdown.
    Configdoc,
}

/// Runs what the command line says.
///
/// # Errors
/// With a text for people.
pub(crate) fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        None => serve::serve(&cli.sources.sources(Some(Path::new(".env")))?),
        Some(Command::Dev(dev)) => dev.run(),
        Some(Command::Genconfig { config }) => genconfig(&config),
        Some(Command::Checkconfig { sources, strict }) => checkconfig(&sources, strict),
        Some(Command::Gentoken(command)) => command.run(),
        Some(Command::Gensubtoken(command)) => command.run(),
        Some(Command::Checktoken(command)) => command.run(),
        Some(Command::Checksubtoken(command)) => command.run_for_subscription(),
        Some(Command::Defaultconfig { format }) => print(&document::defaultconfig(&format)?),
        Some(Command::Defaultenv) => print(&document::defaultenv()),
        Some(Command::Configdoc) => print(&document::markdown()),
    }
}

impl SourceArgs {
    /// The sources; the server itself also reads `.env`.
    fn sources(&self, dotenv: Option<&Path>) -> anyhow::Result<Sources> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let Some((path, value)) = pair.split_once('=') else {
                bail!("--set {pair}: write OPTION=VALUE, for example --set http_server.port=9000");
            };
            flags.push((path.to_owned(), value.to_owned()));
        }
        let named = [
            ("http_server.address", &self.address),
            ("http_server.port", &self.port),
        ];
        flags.extend(
            named
                .into_iter()
                .filter_map(|(path, value)| Some((path.to_owned(), value.clone()?))),
        );
        Ok(Sources {
            config: Some(self.config.clone()),
            secrets: self.secrets.clone(),
            env: environment::read(dotenv)?,
            flags,
        })
    }
}

/// Loads and checks; every violation in the error, after the warnings: an unknown name may be why a value is missing.
fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    let loaded = load::load(sources).context("error getting config")?;
    if let Err(violations) = loaded.config.check() {
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
        bail!("error validating config: {}", texts.join("; "));
    }
    Ok(loaded)
}

fn checkconfig(args: &SourceArgs, strict: bool) -> anyhow::Result<()> {
    let sources = args.sources(None)?;
    if !args.config.exists() {
        bail!("config file not found: {}", args.config.display());
    }
    let loaded = load(&sources)?;
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    if strict && !warnings.is_empty() {
        bail!("{}", warnings.join("\n"));
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    for path in loaded.without_effect {
        eprintln!("warning: this option has no effect yet: {path}");
    }
    Ok(())
}

fn genconfig(file: &Path) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let format = file
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let text = document::genconfig(format)?;
    let mut options = std::fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot write {} (it must not exist yet)", file.display()))?;
    out.write_all(text.as_bytes())?;
    Ok(())
}

/// Standard output may be a pipe that ended; that is an error like another.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
