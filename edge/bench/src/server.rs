//! The server under test: any program that speaks the protocol, as a process of its own on a loopback port.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cores::Cores;
use crate::usage::{Cpu, Memory};
use crate::{clock, http};

const START_TIMEOUT: clock::Nanos = 10 * clock::SECOND;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Which program, how configured, on which core.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The program; it is started with `--config FILE`.
    pub(crate) program: PathBuf,
    /// Its configuration in JSON. The port is the runner's.
    pub(crate) config: Value,
    /// Where it runs.
    pub(crate) cores: Cores,
}

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// The server's own counters, as far as it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Publications queued to clients.
    pub(crate) deliveries: f64,
    /// System calls that wrote to client sockets.
    pub(crate) writes: f64,
}

impl Server {
    /// Starts a server and waits until it is healthy.
    ///
    /// # Errors
    /// The program cannot be started, ends, or does not answer within 10 s.
    pub(crate) fn start(launch: &Launch) -> Result<Self> {
        let port = free_port()?;
        let folder =
            std::env::temp_dir().join(format!("tidewire-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("config.json");
        fs::write(&file, with_port(launch.config.clone(), port)?.to_string())?;
        launch.cores.as_server()?;
        let child = command(&launch.program, &file).spawn();
        launch.cores.as_generator()?;
        let child = child.with_context(|| launch.program.display().to_string())?;
        let mut server = Self {
            child,
            folder,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        server.wait_healthy()?;
        Ok(server)
    }

    /// Its processor time so far.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.child.id())
    }

    /// Its memory now.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    /// Its counters; `None` if it is another product, which has other ones.
    ///
    /// # Errors
    /// It has no `/metrics`.
    pub(crate) fn counters(&self) -> Result<Option<Counters>> {
        Ok(counters(&http::get(self.address, "/metrics")?))
    }

    fn wait_healthy(&mut self) -> Result<()> {
        let deadline = clock::now() + START_TIMEOUT;
        while let Err(error) = http::get(self.address, "/health") {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            if clock::now() > deadline {
                return Err(error).context("the server is not healthy (health.enabled?)");
            }
            sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and waiting gives its status.
        drop(self.child.kill());
        drop(self.child.wait());
        // A folder that stays behind in the temporary folder breaks no later run.
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn command(program: &Path, config: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A port that is free at this moment; the kernel hands it out again only after all others.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn with_port(mut config: Value, port: u16) -> Result<Value> {
    let section = config
        .as_object_mut()
        .context("the configuration is not a JSON object")?
        .entry("http_server")
        .or_insert_with(|| json!({}));
    let section = section
        .as_object_mut()
        .context("http_server is not a JSON object")?;
    section.insert("address".to_owned(), json!("127.0.0.1"));
    section.insert("port".to_owned(), json!(port));
    Ok(config)
}

fn counters(metrics: &str) -> Option<Counters> {
    let value = |name: &str| {
        metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    Some(Counters {
        deliveries: value("tidewire_deliveries_total ")?,
        writes: value("tidewire_socket_writes_total ")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_set_beside_the_options_of_the_file() {
        let config = json!({"http_server": {"tls": {"enabled": false}}, "log": {}});
        assert_eq!(
            with_port(config, 81).unwrap(),
            json!({"http_server": {"tls": {"enabled": false}, "address": "127.0.0.1", "port": 81}, "log": {}})
        );
        assert_eq!(
            with_port(json!({}), 81).unwrap(),
            json!({"http_server": {"address": "127.0.0.1", "port": 81}})
        );
        with_port(json!([]), 81).unwrap_err();
    }

    #[test]
    fn counters_are_read_by_their_whole_name() {
        let text = "# HELP tidewire_deliveries_total x\ntidewire_deliveries_total 40\ntidewire_socket_writes_total 20\n";
        let expected = Counters {
            deliveries: 40.0,
            writes: 20.0,
        };
        assert_eq!(counters(text), Some(expected));
        assert_eq!(counters("centrifugo_node_num_clients 1\n"), None);
    }
}
