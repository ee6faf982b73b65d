//! The program under abuse: its process, its memory, and the witness beside the abuser.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::process::{self, Process};
use crate::support::server::Server;
use crate::witness::Witness;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// What the process may grow by besides the stated bound: the heap's own pages, buffers of the HTTP layer for the calls
/// of the test, tasks.
const SLACK: u64 = 8 * MIB;

/// A running program with a witness.
pub(crate) struct Edge {
    process: Process,
    witness: Witness,
    /// Resident bytes before the abuse.
    before: u64,
    /// Lines of its log that are not JSON: what a panic prints.
    complaints: Complaints,
}

/// They are shown when a test fails.
struct Complaints(Arc<Mutex<Vec<String>>>);

impl Edge {
    /// Starts the program with these options over the basis: clients may subscribe and publish in the namespace `room`,
    /// and the witness needs no token, whatever tokens are verified with.
    pub(crate) async fn start(name: &str, options: &Value) -> Self {
        let mut config = process::config(&[]);
        config["client"]["allow_anonymous_connect_without_token"] = true.into();
        config["channel"]["namespaces"] = json!([
            {
                "name": "witness",
                "allow_subscribe_for_client": true,
                "allow_subscribe_for_anonymous": true,
            },
            {
                "name": "room",
                "allow_subscribe_for_client": true,
                "allow_publish_for_client": true,
            },
        ]);
        tidewire_config::merge(&mut config, options.clone());
        let folder = process::folder(&format!("abuse-{name}"));
        process::write(folder.join("config.json"), &config);
        Self::serving(&folder).await
    }

    async fn serving(folder: &Path) -> Self {
        let mut process = Process::start(folder, &["--config", "config.json"]).await;
        let complaints = Arc::new(Mutex::new(Vec::new()));
        let (_, nothing) = mpsc::channel(1);
        let mut log = std::mem::replace(&mut process.log, nothing);
        let heard = Arc::clone(&complaints);
        tokio::spawn(async move {
            while let Some(line) = log.recv().await {
                if let Value::String(line) = line {
                    heard.lock().unwrap().push(line);
                }
            }
        });
        let witness = Witness::start(&process.server).await;
        let before = resident(&process, "VmRSS");
        Self {
            process,
            witness,
            before,
            complaints: Complaints(complaints),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.process.server
    }

    /// The witness gets a publication that was published after this call.
    pub(crate) async fn still_serves(&mut self) {
        self.witness.hears().await;
    }

    /// The abuse is over: the witness got everything, nothing panicked, and at no time was more memory in use than
    /// before it and this many bytes.
    pub(crate) async fn bore_it_within(mut self, bound: u64) {
        self.still_serves().await;
        let heard = self.witness.finish().await;
        let highest = resident(&self.process, "VmHWM");
        let risen = highest.saturating_sub(self.before);
        eprintln!(
            "memory: {} KiB and at most {} KiB more, {} allowed; the witness heard {heard}",
            self.before / KIB,
            risen / KIB,
            (bound + SLACK) / KIB
        );
        assert!(
            risen <= bound + SLACK,
            "{} KiB more, {} allowed",
            risen / KIB,
            (bound + SLACK) / KIB
        );
        assert_eq!(*self.complaints.0.lock().unwrap(), [""; 0]);
        self.process.signal("TERM").await;
        assert_eq!(self.process.exit_code().await, Some(0));
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it complained: {:?}", self.0.lock());
        }
    }
}

/// A figure of the process's memory, in bytes: `VmRSS` now, `VmHWM` the highest ever.
fn resident(process: &Process, name: &str) -> u64 {
    let id = process.child.id().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|line| line.split_whitespace().nth(1));
    figure.expect("a figure").parse::<u64>().unwrap() * KIB
}
