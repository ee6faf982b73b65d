//! The official SDKs, as programs (`e2e/sdk`): what they print are [`Event`]s.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::edge::build;
use crate::process::Process;
use crate::{pages, repository};

/// How long an event may take to come. Several times what it takes on a busy machine.
const EVENT_TIME: Duration = Duration::from_secs(20);

static ENVIRONMENT: OnceCell<Vec<(String, String)>> = OnceCell::const_new();
static RUST_DRIVER: OnceCell<PathBuf> = OnceCell::const_new();

/// An official SDK, with the encoding and the transport that it is told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sdk {
    /// npm `centrifuge`, JSON.
    JavaScriptJson,
    /// npm `centrifuge`, Protobuf.
    JavaScriptProtobuf,
    /// npm `centrifuge`, JSON over an HTTP stream.
    JavaScriptHttpStream,
    /// npm `centrifuge`, JSON over server-sent events.
    JavaScriptSse,
    /// npm `centrifuge` in Chromium, JSON.
    ChromiumJson,
    /// npm `centrifuge` in Chromium, Protobuf over an HTTP stream.
    ChromiumHttpStream,
    /// npm `centrifuge` in Chromium, JSON over server-sent events.
    ChromiumSse,
    /// PyPI `centrifuge-python`, JSON.
    PythonJson,
    /// PyPI `centrifuge-python`, Protobuf.
    PythonProtobuf,
    /// Go module `github.com/centrifugal/centrifuge-go`, JSON.
    GoJson,
    /// Go module `github.com/centrifugal/centrifuge-go`, Protobuf.
    GoProtobuf,
    /// Maven `io.github.centrifugal:centrifuge-java`, which has Protobuf only.
    JavaProtobuf,
    /// crates.io `centrifuge-client`, JSON.
    RustJson,
    /// crates.io `centrifuge-client`, Protobuf.
    RustProtobuf,
    /// crates.io `centrifuge-client`, Protobuf over an HTTP stream.
    RustHttpStream,
}

/// What not every SDK can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ability {
    /// Subscriptions whose publications come as differences.
    Delta,
}

/// The programs of `e2e/sdk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Node,
    Chromium,
    Python,
    Go,
    Java,
    Rust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    WebSocket,
    HttpStream,
    Sse,
}

impl Sdk {
    /// Every SDK, in each encoding that it has, over WebSocket. JavaScript is in Node.
    pub const ALL: [Self; 9] = [
        Self::JavaScriptJson,
        Self::JavaScriptProtobuf,
        Self::PythonJson,
        Self::PythonProtobuf,
        Self::GoJson,
        Self::GoProtobuf,
        Self::JavaProtobuf,
        Self::RustJson,
        Self::RustProtobuf,
    ];

    /// Those that have more transports than WebSocket, over these.
    pub const OVER_HTTP: [Self; 3] = [
        Self::JavaScriptHttpStream,
        Self::JavaScriptSse,
        Self::RustHttpStream,
    ];

    /// The JavaScript SDK in Chromium, over every transport.
    pub const IN_CHROMIUM: [Self; 3] = [
        Self::ChromiumJson,
        Self::ChromiumHttpStream,
        Self::ChromiumSse,
    ];

    /// Why the SDK, in the release that is pinned, has not this ability; `None` when it has.
    #[must_use]
    pub fn lacks(self, ability: Ability) -> Option<&'static str> {
        match (self.told().0, ability) {
            (Driver::Java, Ability::Delta) => Some("centrifuge-java 0.4.1 has no option for it"),
            _ => None,
        }
    }

    /// The driver, the encoding and the transport.
    fn told(self) -> (Driver, &'static str, Transport) {
        use Driver::{Chromium, Go, Java, Node, Python, Rust};
        use Transport::{HttpStream, Sse, WebSocket};
        match self {
            Self::JavaScriptJson => (Node, "json", WebSocket),
            Self::JavaScriptProtobuf => (Node, "protobuf", WebSocket),
            Self::JavaScriptHttpStream => (Node, "json", HttpStream),
            Self::JavaScriptSse => (Node, "json", Sse),
            Self::ChromiumJson => (Chromium, "json", WebSocket),
            Self::ChromiumHttpStream => (Chromium, "protobuf", HttpStream),
            Self::ChromiumSse => (Chromium, "json", Sse),
            Self::PythonJson => (Python, "json", WebSocket),
            Self::PythonProtobuf => (Python, "protobuf", WebSocket),
            Self::GoJson => (Go, "json", WebSocket),
            Self::GoProtobuf => (Go, "protobuf", WebSocket),
            Self::JavaProtobuf => (Java, "protobuf", WebSocket),
            Self::RustJson => (Rust, "json", WebSocket),
            Self::RustProtobuf => (Rust, "protobuf", WebSocket),
            Self::RustHttpStream => (Rust, "protobuf", HttpStream),
        }
    }

    /// The driver, told to connect to the edge at `address`; the first call installs the SDKs.
    async fn driver(self, address: &str) -> Result<Command> {
        let installed = environment().await?;
        let place = |name: &str| {
            let found = installed.iter().find(|(variable, _)| variable == name);
            found
                .map(|(_, place)| place)
                .with_context(|| format!("sdk.sh printed no {name}"))
        };
        let script = |interpreter: &str, path: &str| {
            let mut command = Command::new(interpreter);
            command.arg(repository::path(path));
            command
        };
        let (driver, encoding, transport) = self.told();
        let mut command = match driver {
            Driver::Node => script("node", "e2e/sdk/js/client.cjs"),
            Driver::Chromium => {
                let mut page = script("node", "e2e/sdk/js/chromium.cjs");
                page.env("PAGES", pages::port(installed).await?.to_string());
                page
            }
            Driver::Python => script("python3", "e2e/sdk/python/client.py"),
            Driver::Go => Command::new(place("SDK_GO")?),
            Driver::Java => {
                let mut java = Command::new("java");
                // It starts in half the time.
                java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                    .args(["-cp", place("SDK_JAVA")?, "Driver"]);
                java
            }
            Driver::Rust => Command::new(RUST_DRIVER.get_or_try_init(|| build("sdk-rust")).await?),
        };
        command
            .envs(installed.iter().map(|(name, value)| (name, value)))
            .args(["--encoding", encoding]);
        match transport {
            Transport::WebSocket => {
                command.args(["--url", &format!("ws://{address}/connection/websocket")])
            }
            Transport::HttpStream => command
                .args(["--url", &format!("http://{address}/connection/http_stream")])
                .args(["--transport", "http_stream"]),
            Transport::Sse => command
                .args(["--url", &format!("http://{address}/connection/sse")])
                .args(["--transport", "sse"]),
        };
        Ok(command)
    }
}

/// What an SDK said: the name of the event and all its fields.
#[derive(Debug, Clone)]
pub struct Event {
    fields: Value,
}

impl Event {
    /// The event's name, as in `e2e/sdk/README.md`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.field("event")
    }

    /// A field that is text, empty when there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The field `code`, 0 when there is none.
    #[must_use]
    pub fn code(&self) -> u64 {
        self.fields.get("code").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Whether a field is there and true.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// The data of a publication.
    #[must_use]
    pub fn data(&self) -> &Value {
        self.fields.get("data").unwrap_or(&Value::Null)
    }
}

/// A running SDK client.
pub struct SdkClient {
    process: Process,
}

impl SdkClient {
    /// Starts a client that connects to the edge at `address` (host and port) and subscribes to the channels.
    ///
    /// # Errors
    /// When the SDK cannot be installed or started.
    pub async fn start(sdk: Sdk, address: &str, token: &str, channels: &[&str]) -> Result<Self> {
        Self::start_with(sdk, address, token, channels, &[]).await
    }

    /// As [`SdkClient::start`], with more arguments of `e2e/sdk/README.md`.
    ///
    /// # Errors
    /// As [`SdkClient::start`].
    pub async fn start_with(
        sdk: Sdk,
        address: &str,
        token: &str,
        channels: &[&str],
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = sdk.driver(address).await?;
        command.args(["--token", token]).args(arguments);
        for channel in channels {
            command.args(["--channel", channel]);
        }
        Ok(Self {
            process: Process::start(&format!("{sdk:?}"), command)?,
        })
    }

    /// Starts a client and waits until it is subscribed to every channel.
    ///
    /// # Errors
    /// When it is not within the time.
    pub async fn subscribed(
        sdk: Sdk,
        address: &str,
        token: &str,
        channels: &[&str],
    ) -> Result<Self> {
        let mut client = Self::start(sdk, address, token, channels).await?;
        for _ in channels {
            client.expect("subscribed").await?;
        }
        Ok(client)
    }

    /// The next event of that name; others are passed over.
    ///
    /// # Errors
    /// When it does not come within the time; the message has all that the client printed.
    pub async fn expect(&mut self, name: &str) -> Result<Event> {
        let event = self
            .process
            .pick(EVENT_TIME, |line| {
                parse(line).filter(|event| event.name() == name)
            })
            .await;
        event.with_context(|| format!("event {name}"))
    }

    /// Publishes as the client and waits for the server's answer: the event `published` or `error`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn publish(&mut self, channel: &str, data: &Value) -> Result<Event> {
        let command = json!({"op": "publish", "channel": channel, "data": data});
        self.ask(&command, "published").await
    }

    /// Gives the program a command and waits for the answer: the event of that name, or `error`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn ask(&mut self, command: &Value, name: &str) -> Result<Event> {
        self.send(command).await?;
        let op = command.get("op").and_then(Value::as_str);
        let answer = |event: &Event| {
            event.name() == name || (event.name() == "error" && Some(event.field("op")) == op)
        };
        self.process
            .pick(EVENT_TIME, |line| parse(line).filter(answer))
            .await
    }

    /// Gives the program a command of `e2e/sdk/README.md`.
    ///
    /// # Errors
    /// When the program has ended.
    pub async fn send(&mut self, command: &Value) -> Result<()> {
        self.process.write_line(&command.to_string()).await
    }
}

fn parse(line: &str) -> Option<Event> {
    let fields: Value = serde_json::from_str(line).ok()?;
    fields.get("event")?;
    Some(Event { fields })
}

/// Where the SDKs are installed; the first call installs them.
///
/// # Errors
/// When that fails.
pub async fn environment() -> Result<&'static [(String, String)]> {
    let installed = ENVIRONMENT
        .get_or_try_init(|| repository::script("e2e/scripts/sdk.sh", &[], &[]))
        .await?;
    Ok(installed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javascript_is_over_every_transport_in_node_and_in_chromium() {
        let lists = [&Sdk::ALL[..], &Sdk::OVER_HTTP, &Sdk::IN_CHROMIUM].concat();
        for driver in [Driver::Node, Driver::Chromium] {
            for transport in [Transport::WebSocket, Transport::HttpStream, Transport::Sse] {
                let is_that = |sdk: &&Sdk| (sdk.told().0, sdk.told().2) == (driver, transport);
                assert!(
                    lists.iter().any(|sdk| is_that(&sdk)),
                    "{driver:?} {transport:?}"
                );
            }
        }
    }

    #[test]
    fn a_line_that_is_no_event_is_passed_over() {
        assert!(parse("Debugger attached").is_none() && parse("{\"a\":1}").is_none());
        let event =
            parse(r#"{"event":"disconnected","code":3500,"reason":"invalid token"}"#).unwrap();
        assert_eq!(
            (event.name(), event.code(), event.field("reason")),
            ("disconnected", 3500, "invalid token")
        );
    }
}
