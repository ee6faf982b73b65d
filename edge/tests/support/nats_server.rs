//! A real NATS server for tests: on a free loopback port, stopped when dropped.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A running server.
#[derive(Debug)]
pub(crate) struct NatsServer {
    child: Child,
    port: u16,
}

impl NatsServer {
    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::start_on(free_port())
    }

    /// Starts a server on the port of an earlier one and waits until it listens.
    pub(crate) fn start_on(port: u16) -> Self {
        let mut child = Command::new(program())
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program named by NATS_SERVER starts");
        let mut log = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let mut seen = String::new();
        while !seen.contains("Server is ready") {
            assert_ne!(
                log.read_line(&mut seen).expect("the log is text"),
                0,
                "nats-server ended: {seen}"
            );
        }
        // Its log must go on being read, or it would stop for lack of room.
        std::thread::spawn(move || log.lines().count());
        Self { child, port }
    }

    /// The address for clients.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// The port, to start a successor there.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stops all its threads (SIGSTOP), as a frozen machine would.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        // The signal stops one thread after the other.
        while !self.is_frozen() {
            std::thread::yield_now();
        }
    }

    /// Ends [`NatsServer::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn is_frozen(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        threads.expect("the server is our child").all(|thread| {
            let status = thread.map(|thread| std::fs::read_to_string(thread.path().join("status")));
            matches!(status, Ok(Ok(status)) if status.contains("State:\tT"))
        })
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill starts").success(), "SIG{name} is sent");
    }
}

impl Drop for NatsServer {
    /// As SIGKILL: nothing is flushed.
    fn drop(&mut self) {
        self.child.kill().expect("the server is our child");
        self.child.wait().expect("the server is our child");
    }
}

/// The address of a port on the loopback interface.
pub(crate) fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}

#[expect(
    clippy::disallowed_methods,
    reason = "says where the test's server is; the product does not read it"
)]
fn program() -> String {
    std::env::var("NATS_SERVER")
        .expect("NATS_SERVER names the nats-server program; run the tests with `make test`")
}
