//! The Rust SDK as a program: events on standard output, commands on standard input (see `e2e/sdk/README.md`).

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use centrifuge::{
    Bytes, Client, ClientBuilder, DeltaType, Error, HistoryOptions, Protocol, ProxyConfig,
    Publication, SubscribedEvent, TransportEndpoint,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};

#[derive(Debug, Default)]
struct Arguments {
    url: String,
    token: String,
    encoding: String,
    transport: String,
    channels: Vec<String>,
    delta: bool,
    refresh: bool,
}

impl Arguments {
    fn parse(mut rest: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self::default();
        while let Some(name) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{name} of what?"));
            match name.as_str() {
                "--url" => parsed.url = value()?,
                "--token" => parsed.token = value()?,
                "--encoding" => parsed.encoding = value()?,
                "--transport" => parsed.transport = value()?,
                "--channel" => parsed.channels.push(value()?),
                "--delta" => parsed.delta = true,
                "--refresh" => parsed.refresh = true,
                _ => bail!("no argument {name}"),
            }
        }
        Ok(parsed)
    }
}

/// The fields of all commands.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Command {
    op: String,
    channel: String,
    data: Value,
    limit: u32,
    token: String,
}

fn show(event: &str, mut fields: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("event".to_owned(), event.into());
    }
    // Without a reader there is nobody to tell.
    drop(writeln!(stdout(), "{fields}"));
}

fn show_error(op: &str, channel: &str, code: u32, message: &str) {
    let fields = json!({"op": op, "channel": channel, "code": code, "message": message});
    show("error", fields);
}

fn with(mut fields: Value, name: &str, value: impl Into<Value>) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert(name.to_owned(), value.into());
    }
    fields
}

fn decode(data: &Bytes) -> Value {
    serde_json::from_slice(data).unwrap_or_else(|error| format!("no JSON: {error}").into())
}

fn publication(channel: &str, publication: &Publication) -> Value {
    json!({"channel": channel, "data": decode(&publication.data), "offset": publication.offset})
}

fn subscribed(channel: &str, event: &SubscribedEvent) -> Value {
    json!({"channel": channel, "recovered": event.recovered, "was_recovering": event.was_recovering})
}

/// Shows what becomes of the connection, and of the subscriptions that the server made.
fn watched(builder: ClientBuilder) -> ClientBuilder {
    builder
        .on_connecting(|_, event| {
            show(
                "connecting",
                json!({"code": event.code, "reason": event.reason}),
            );
        })
        .on_connected(|_, event| show("connected", json!({"client": event.client_id})))
        .on_disconnected(|_, event| {
            show(
                "disconnected",
                json!({"code": event.code, "reason": event.reason}),
            );
        })
        .on_error(|_, event| show_error("connect", "", 0, &event.error.to_string()))
        .on_subscribed(|_, event| {
            let fields = subscribed(&event.channel, &event.info);
            show("subscribed", with(fields, "server_side", true));
        })
        .on_unsubscribed(|_, event| {
            let fields = json!({"channel": event.channel, "server_side": true});
            show("unsubscribed", fields);
        })
        .on_publication(|_, event| {
            let fields = publication(&event.channel, &event.publication);
            show("publication", with(fields, "server_side", true));
        })
}

struct Program {
    client: Client,
    delta: bool,
    tokens: mpsc::Sender<String>,
}

impl Program {
    fn new(arguments: &Arguments) -> Result<Self> {
        let (tokens, given) = mpsc::channel(1);
        let endpoint = match arguments.transport.as_str() {
            "" | "websocket" => TransportEndpoint::websocket(&arguments.url),
            "http_stream" => TransportEndpoint::http_stream(&arguments.url),
            other => bail!("the SDK has no transport {other}"),
        };
        let protocol = match arguments.encoding.as_str() {
            "protobuf" => Protocol::Protobuf,
            _ => Protocol::Json,
        };
        let mut builder = watched(Client::builder_with_transports([endpoint]))
            .protocol(protocol)
            .token(&arguments.token)
            .proxy(ProxyConfig::None)
            .min_reconnect_delay(Duration::from_millis(50));
        if arguments.refresh {
            let given = Arc::new(Mutex::new(given));
            builder = builder.get_token(move |_| {
                let given = Arc::clone(&given);
                async move {
                    show("token_wanted", json!({}));
                    // The command `token` answers.
                    Ok(given.lock().await.recv().await)
                }
            });
        }
        Ok(Self {
            client: builder.build()?,
            delta: arguments.delta,
            tokens,
        })
    }

    fn subscribe(&self, channel: &str) -> Result<(), Error> {
        let mut builder = self
            .client
            .new_subscription(channel)
            .on_subscribing(|subscription, event| {
                let channel = subscription.channel();
                let fields =
                    json!({"channel": channel, "code": event.code, "reason": event.reason});
                show("subscribing", fields);
            })
            .on_subscribed(|subscription, event| {
                show("subscribed", subscribed(subscription.channel(), &event));
            })
            .on_unsubscribed(|subscription, event| {
                let channel = subscription.channel();
                let fields =
                    json!({"channel": channel, "code": event.code, "reason": event.reason});
                show("unsubscribed", fields);
            })
            .on_error(|subscription, event| {
                show_error(
                    "subscribe",
                    subscription.channel(),
                    0,
                    &event.error.to_string(),
                );
            })
            .on_publication(|subscription, event| {
                show(
                    "publication",
                    publication(subscription.channel(), &event.publication),
                );
            });
        if self.delta {
            builder = builder.delta(DeltaType::Fossil);
        }
        builder.build()?.subscribe();
        Ok(())
    }

    async fn publish(&self, channel: &str, data: &Value) -> Result<(), Error> {
        self.client.publish(channel, data.to_string()).await?;
        show("published", json!({"channel": channel, "data": data}));
        Ok(())
    }

    async fn presence(&self, channel: &str) -> Result<(), Error> {
        let clients = self.client.presence(channel).await?.clients;
        let stats = self.client.presence_stats(channel).await?;
        let mut users: Vec<_> = clients.values().map(|info| info.user.as_str()).collect();
        users.sort_unstable();
        let data =
            json!({"users": users, "clients": stats.num_clients, "distinct": stats.num_users});
        show("presence", json!({"channel": channel, "data": data}));
        Ok(())
    }

    async fn history(&self, channel: &str, limit: u32) -> Result<(), Error> {
        let newest_first = HistoryOptions::new().limit(limit).reverse(true);
        let history = self.client.history(channel, newest_first).await?;
        let data: Vec<_> = history
            .publications
            .iter()
            .map(|publication| decode(&publication.data))
            .collect();
        let fields = json!({"channel": channel, "offset": history.offset, "data": data});
        show("history", fields);
        Ok(())
    }

    async fn run(&self, command: &Command) -> Result<()> {
        let channel = command.channel.as_str();
        let done = match command.op.as_str() {
            "publish" => self.publish(channel, &command.data).await,
            "subscribe" => self.subscribe(channel),
            "unsubscribe" => {
                let subscription = self.client.get_subscription(channel);
                subscription
                    .with_context(|| format!("no subscription to {channel}"))?
                    .unsubscribe();
                Ok(())
            }
            "presence" => self.presence(channel).await,
            "history" => self.history(channel, command.limit).await,
            "token" => {
                self.tokens.send(command.token.clone()).await?;
                Ok(())
            }
            "disconnect" => {
                self.client.disconnect();
                Ok(())
            }
            op => bail!("no command {op}"),
        };
        if let Err(error) = done {
            let code = if let Error::Server(reply) = &error {
                reply.code
            } else {
                0
            };
            show_error(&command.op, channel, code, &error.to_string());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    // The SDK works on its threads while this one waits for commands.
    let runtime = Runtime::new()?;
    let _entered = runtime.enter();
    let program = Program::new(&arguments)?;
    for channel in &arguments.channels {
        program.subscribe(channel)?;
    }
    program.client.connect()?;
    for line in stdin().lock().lines() {
        let command = serde_json::from_str(&line?)?;
        runtime.block_on(program.run(&command))?;
    }
    Ok(())
}
