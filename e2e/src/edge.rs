//! One edge as a process on the loopback, without any cluster.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::api::ApiClient;
use crate::process::Process;
use crate::wait::{self, Seen};
use crate::{repository, token};

/// The signing key of connection tokens that [`BareEdge`] accepts.
pub const TOKEN_SECRET: &str = "test-token-secret";
/// The API key that [`BareEdge`] accepts.
pub const API_KEY: &str = "test-api-key";

static BINARY: OnceCell<PathBuf> = OnceCell::const_new();

/// The edge's debug binary; the first call builds it, so that no test runs against an old one. The variable
/// `EDGE_BINARY` names another one.
///
/// # Errors
/// When the build fails.
pub async fn binary() -> Result<&'static PathBuf> {
    BINARY
        .get_or_try_init(|| async {
            match repository::variable("EDGE_BINARY") {
                Some(path) => Ok(PathBuf::from(path)),
                None => build("edge").await,
            }
        })
        .await
}

/// Builds a program of the workspace and returns where it is.
///
/// # Errors
/// When the build fails.
pub(crate) async fn build(name: &str) -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        // The selection of packages of `make test`, so that nothing is compiled twice.
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            name,
            "--message-format=json",
        ])
        .current_dir(repository::root())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?
        .wait_with_output()
        .await?;
    ensure!(
        output.status.success(),
        "cargo build --bin {name}: {}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let target = message.pointer("/target/name")?.as_str()?;
            (target == name).then(|| message.get("executable")?.as_str().map(PathBuf::from))?
        });
    executable.context("cargo named no executable")
}

/// A port that is free at this moment. Another process may take it before the caller does; the kernel hands
/// the same one out again only after all others, so in practice none does.
///
/// # Errors
/// When the loopback has none left.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An edge with a configuration file, the memory engine and everything on one loopback port.
pub struct BareEdge {
    /// Where it listens, host and port.
    pub address: String,
    process: Process,
    folder: PathBuf,
}

impl BareEdge {
    /// Starts an edge and waits until it answers. `config` is merged over the basic configuration, whole
    /// top-level sections at a time.
    ///
    /// # Errors
    /// When it does not start; the message has what it said.
    pub async fn start(config: Value) -> Result<Self> {
        let port = free_port()?;
        let address = format!("127.0.0.1:{port}");
        let mut file = json!({
            "http_server": {"address": "127.0.0.1", "port": port},
            "client": {"token": {"hmac_secret_key": TOKEN_SECRET}},
            "http_api": {"key": API_KEY},
            "health": {"enabled": true},
            "http_stream": {"enabled": true},
            "sse": {"enabled": true},
        });
        if let (Some(file), Value::Object(sections)) = (file.as_object_mut(), config) {
            file.extend(sections);
        }
        let folder =
            std::env::temp_dir().join(format!("tidewire-e2e-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let config_file = folder.join("config.json");
        std::fs::write(&config_file, file.to_string())?;
        let mut command = Command::new(binary().await?);
        command.arg("--config").arg(&config_file);
        let process = Process::start("edge", command)?;
        let mut edge = Self {
            address,
            process,
            folder,
        };
        edge.answers().await?;
        Ok(edge)
    }

    async fn answers(&mut self) -> Result<()> {
        let api = self.api();
        let process = &mut self.process;
        let answered = wait::until("the edge's health", Duration::from_secs(20), async || {
            let (status, _) = api.get("/health").await?;
            Ok(Seen::when(status == 200, || format!("status {status}")))
        });
        if let Err(error) = answered.await {
            let mut said = Vec::new();
            while let Ok(line) = process.line(Duration::from_millis(100)).await {
                said.push(line);
            }
            return Err(error.context(format!("the edge said:\n{}", said.join("\n"))));
        }
        Ok(())
    }

    /// A client of its API with the right key.
    #[must_use]
    pub fn api(&self) -> ApiClient {
        ApiClient::new(&self.address, API_KEY)
    }

    /// A connection token that it accepts.
    ///
    /// # Errors
    /// See [`token::connection`].
    pub fn token(&self, user: &str) -> Result<String> {
        token::connection(TOKEN_SECRET, user)
    }

    /// Whether the process is still the one that was started.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }
}

impl Drop for BareEdge {
    fn drop(&mut self) {
        // A folder that stays behind in the temporary folder breaks no later test.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
