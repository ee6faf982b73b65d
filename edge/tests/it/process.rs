//! The program itself, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use crate::support::server::{API_KEY, SECRET, Server};
use crate::support::soon;

pub(crate) const SERVING: &str = "serving clients, API and status";

/// The program with no environment but this crate's folder for temporary files.
pub(crate) fn edge(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// An empty folder of this name.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn write(file: impl AsRef<Path>, content: &Value) {
    std::fs::write(file, content.to_string()).unwrap();
}

/// A configuration with these namespaces, in which users may subscribe.
pub(crate) fn config(namespaces: &[&str]) -> Value {
    let namespaces: Vec<Value> = namespaces
        .iter()
        .map(|name| json!({"name": name, "allow_subscribe_for_client": true}))
        .collect();
    json!({
        "http_server": {"address": "127.0.0.1"},
        "client": {"token": {"hmac_secret_key": SECRET}},
        "channel": {"namespaces": namespaces},
        "http_api": {"key": API_KEY},
        "health": {"enabled": true},
        "prometheus": {"enabled": true},
        "tidewire": {
            "drain": {"endpoint_propagation": "1ms"},
            "node_status": {"token": "status"},
        },
    })
}

/// The program serving.
pub(crate) struct Process {
    pub(crate) child: Child,
    /// Its standard error, a JSON object a line.
    pub(crate) log: mpsc::Receiver<Value>,
    /// Lines of the log before the one that was asked for.
    pub(crate) skipped: Vec<Value>,
    pub(crate) server: Server,
}

impl Process {
    pub(crate) async fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_in(folder, arguments, &[]).await
    }

    /// The same in this environment.
    pub(crate) async fn start_in(
        folder: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = edge(folder)
            .args(["--http_server.port", "0"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, log) = mpsc::channel(10_000);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if send.send(line).await.is_err() {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let server = Server::elsewhere(nowhere, nowhere);
        let mut process = Self {
            child,
            log,
            skipped: Vec::new(),
            server,
        };
        let line = process.logged(SERVING).await;
        let address = line["address"].as_str().unwrap().parse().unwrap();
        process.server = Server::elsewhere(address, address);
        process
    }

    /// The next line of the log with this message.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        soon(message, async {
            loop {
                let line = self.log.recv().await.expect("the program runs");
                if line["message"] == message {
                    return line;
                }
                self.skipped.push(line);
            }
        })
        .await
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        let status = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {id}")])
            .status();
        assert!(status.await.unwrap().success());
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        soon("the end", self.child.wait()).await.unwrap().code()
    }

    pub(crate) async fn node(&self) -> Value {
        let headers = [("Authorization", "Bearer status")];
        let response = self.server.request("GET", "/node", &headers, "").await;
        serde_json::from_str(&response.body).unwrap()
    }

    pub(crate) async fn hashes(&self) -> [Value; 2] {
        let node = self.node().await;
        [node["boot_hash"].clone(), node["live_hash"].clone()]
    }
}

/// Runs a command to its end: success, standard output, standard error.
pub(crate) async fn run(folder: &Path, arguments: &[&str]) -> (bool, String, String) {
    let output = soon("the end", edge(folder).args(arguments).output())
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}
