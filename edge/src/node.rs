//! The composition root: builds everything, starts the shards, owns shutdown. Nobody imports it.

use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use tidewire_config::load::{Loaded, Sources};
use tidewire_config::{BrokerType, Config, HttpServer};
use tidewire_protocol::DisconnectCode;
use tokio::runtime::{Builder, LocalOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::{self, Api};
use crate::broker::{Broker, Channels, Inbox, Memory, NatsCore, NatsOptions, SHARDS_MAX};
use crate::config::{Settings, reload};
use crate::control::Control;
use crate::front::{self, Connections, Routers, StreamFront, WebSocketFront};
use crate::internal::{Identity, Internal};
use crate::metrics::Metrics;
use crate::services::Services;
use crate::shard::inbox::{Event, Listener};
use crate::shard::{Handle, Shard};
use crate::transport::origin::AllowedOrigins;

mod answers;

/// How long clients may take to answer the close frame of a shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(6);

/// How long running API calls may take once the clients are gone.
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// The sockets that a node listens on.
#[derive(Debug)]
pub struct Listeners {
    /// Client transports; everything, if `internal` is absent.
    pub external: TcpListener,
    /// API, health, metrics, status.
    pub internal: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// An address is not usable; the text names it.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let server = &config.http_server;
        let open = |address: &str, port: u16, option: &str| {
            front::bind(address, port).map_err(|error| {
                let address = match address {
                    "" => "all addresses",
                    one => one,
                };
                anyhow::anyhow!("cannot listen on {address}, port {port} ({option}): {error}")
            })
        };
        let external = open(
            &server.address,
            server.port,
            "http_server.address, http_server.port",
        )?;
        let option = "http_server.internal_address, http_server.internal_port";
        let internal = match internal_listener(server)? {
            Some((address, port)) => Some(open(address, port, option)?),
            None => None,
        };
        Ok(Self { external, internal })
    }
}

/// Address and port of the internal listener; `None` if they are those of the external one.
fn internal_listener(server: &HttpServer) -> anyhow::Result<Option<(&str, u16)>> {
    let address = if server.internal_address.is_empty() {
        &server.address
    } else {
        &server.internal_address
    };
    let port = if server.internal_port.is_empty() {
        server.port
    } else {
        server.internal_port.parse()?
    };
    let is_other = (address, port) != (&server.address, server.port);
    Ok(is_other.then_some((address, port)))
}

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    settings: Arc<Settings>,
    broker: Arc<Broker>,
    control: Arc<Control>,
    shards: Arc<[Arc<Handle>]>,
    threads: Vec<JoinHandle<()>>,
    draining: Arc<AtomicBool>,
    stop: CancellationToken,
    stop_http: CancellationToken,
}

impl Node {
    /// Builds a node and starts its shards. Call on the runtime that will do the broker's I/O.
    ///
    /// # Errors
    /// The configuration cannot be used; the text names the option.
    pub async fn start(loaded: Loaded) -> anyhow::Result<Self> {
        let settings = Arc::new(Settings::new(loaded)?);
        let identity = Arc::new(identity(&settings.boot));
        let shards: Arc<[Arc<Handle>]> = (0..shard_count())
            .map(|_| Arc::new(Handle::default()))
            .collect();
        let inboxes = shards
            .iter()
            .map(|shard| Arc::new(ShardInbox(Arc::clone(shard))) as Arc<dyn Inbox>);
        let broker = Arc::new(broker(&settings.boot, &identity, inboxes.collect()).await?);
        let answers = answers::Answers::new(
            Arc::clone(&identity),
            Arc::clone(&shards),
            Arc::clone(&broker),
        );
        let control = Arc::new(answers::control(&broker, &identity, Arc::new(answers)));
        let services = Services {
            settings: Arc::clone(&settings),
            broker: Arc::clone(&broker),
            control: Arc::clone(&control),
            users: Arc::default(),
        };
        let draining = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::new(Arc::clone(&shards), services.clone(), Arc::clone(&control))?;
        let internal = Internal {
            id: Arc::clone(&identity),
            services: services.clone(),
            shards: Arc::clone(&shards),
            draining: Arc::clone(&draining),
            metrics,
        };
        let routers = routers(&services, &control, &shards, internal)?;
        let stop = CancellationToken::new();
        let stop_http = CancellationToken::new();
        let mut threads = Vec::new();
        for (id, handle) in shards.iter().enumerate() {
            let (handle, services, routers) =
                (Arc::clone(handle), services.clone(), routers.clone());
            let (stop, stop_http) = (stop.clone(), stop_http.clone());
            let (started, has_started) = std::sync::mpsc::sync_channel(1);
            let run = move || {
                run_shard(stop.clone(), &started, || {
                    let shard = Shard::install(id, handle, services);
                    shard.start(&stop, routers.serve(Rc::clone(&shard), stop_http));
                });
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("shard-{id}"))
                    .spawn(run)?,
            );
            has_started
                .recv()?
                .context("a shard's runtime cannot be built")?;
        }
        Ok(Self {
            settings,
            broker,
            control,
            shards,
            threads,
            draining,
            stop,
            stop_http,
        })
    }

    /// Serves until `shutdown` resolves, then drains: not ready, wait for load balancers, close every client
    /// with 3001, end.
    ///
    /// # Errors
    /// A listener cannot be used.
    pub async fn run(
        self,
        listeners: Listeners,
        sources: &Sources,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let shards = Arc::clone(&self.shards);
        let external = front::accept(listeners.external, Listener::External, &shards);
        let internal = async {
            match listeners.internal {
                Some(listener) => front::accept(listener, Listener::Internal, &shards).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(internal);
        tokio::select! {
            result = external => result?,
            result = &mut internal => result?,
            () = reload::watch(&self.settings, sources) => {}
            () = reload_on_hangup(&self.settings, sources) => {}
            () = self.broker.run() => {}
            () = async { shutdown.await; self.announce().await } => {}
        }
        // The listener for clients is closed from here on; the API goes on to the end.
        tokio::select! {
            result = internal => result?,
            () = self.broker.run() => {}
            () = self.close_clients() => {}
        }
        self.end().await
    }

    /// Readiness turns false; accepting goes on until load balancers have noticed.
    async fn announce(&self) {
        self.draining.store(true, Ordering::Relaxed);
        let wait = self.settings.boot.tidewire.drain.endpoint_propagation.get();
        tracing::info!(
            wait_ms = wait.as_millis(),
            connections = self.connections(),
            option = "tidewire.drain.endpoint_propagation",
            "draining"
        );
        tokio::time::sleep(wait).await;
    }

    /// Every client is closed with 3001, also those that come out of a handshake now; then API calls end.
    async fn close_clients(&self) {
        for shard in self.shards.iter() {
            shard
                .inbox
                .post(Event::CloseAll(DisconnectCode::Shutdown.into()));
        }
        let gone = self
            .wait_until(CLOSE_TIMEOUT, || self.connections() == 0)
            .await;
        if !gone {
            tracing::warn!(
                connections = self.connections(),
                "clients did not answer the close frame"
            );
        }
        self.stop_http.cancel();
        self.wait_until(HTTP_TIMEOUT, || {
            self.sum(|shard| shard.counters.http_connections.value()) == 0
        })
        .await;
    }

    async fn end(self) -> anyhow::Result<()> {
        self.control.shutdown().await;
        if let Broker::Nats(nats) = &*self.broker {
            nats.shutdown().await;
        }
        self.stop.cancel();
        for thread in self.threads {
            thread
                .join()
                .map_err(|_panic| anyhow::anyhow!("a shard panicked"))?;
        }
        Ok(())
    }

    async fn wait_until(&self, patience: Duration, reached: impl Fn() -> bool) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while !reached() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    fn connections(&self) -> u64 {
        self.sum(|shard| shard.counters.connections.value())
    }

    fn sum(&self, read: impl Fn(&Handle) -> u64) -> u64 {
        self.shards.iter().map(|shard| read(shard)).sum()
    }
}

/// The broker's view of a shard's inbox.
struct ShardInbox(Arc<Handle>);

impl Inbox for ShardInbox {
    fn has_room(&self, cost: usize) -> bool {
        self.0.inbox.has_room(cost)
    }

    fn push(&self, delivery: crate::broker::Delivery) {
        self.0.inbox.push(delivery);
    }

    fn room(&self) -> futures::future::BoxFuture<'_, ()> {
        self.0.inbox.room()
    }
}

/// One shard per core that this process may use, cgroup quota included.
fn shard_count() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(SHARDS_MAX)
}

fn identity(config: &Config) -> Identity {
    let name = if config.node.name.is_empty() {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}_{}", host.trim(), config.http_server.port)
    } else {
        config.node.name.clone()
    };
    Identity {
        id: Uuid::new_v4().to_string(),
        name,
    }
}

async fn broker(
    config: &Config,
    identity: &Identity,
    inboxes: Vec<Arc<dyn Inbox>>,
) -> anyhow::Result<Broker> {
    let options = &config.broker;
    if !options.enabled || options.r#type == BrokerType::Memory {
        let channels = Arc::new(Channels::new(inboxes));
        return Ok(Broker::Memory(Memory::new(channels)));
    }
    let nats = NatsOptions {
        url: options.nats.url.clone(),
        prefix: options.nats.prefix.clone(),
        connect_timeout: options.nats.dial_timeout.get(),
        write_timeout: options.nats.write_timeout.get(),
        node_id: identity.id.clone(),
        tls: None,
    };
    let channels = Arc::new(Channels::new(inboxes));
    Ok(Broker::Nats(NatsCore::connect(nats, channels).await?))
}

fn routers(
    services: &Services,
    control: &Arc<Control>,
    shards: &Arc<[Arc<Handle>]>,
    internal: Internal,
) -> anyhow::Result<Routers> {
    let boot = &services.settings.boot;
    let origins = Arc::new(AllowedOrigins::new(&boot.client.allowed_origins)?);
    let streams = StreamFront::new(services.clone());
    let websocket = WebSocketFront::new(services.clone(), Arc::clone(&origins)).router();
    let connections = Connections::new(services.clone(), origins, Arc::clone(shards));
    let mut external = connections.router(websocket.merge(streams.router()), streams.emulation());
    let mut inner = internal.router();
    if boot.tidewire.demo.enabled {
        external = external.merge(front::demo(services.clone()));
    }
    if !boot.http_api.disabled {
        let api = Api::new(services.clone(), Arc::clone(control)).router();
        if boot.http_api.external {
            external = external.merge(api);
        } else {
            inner = inner.merge(api);
        }
    }
    if boot.swagger.enabled {
        inner = inner.merge(api::description(boot));
    }
    if internal_listener(&boot.http_server)?.is_none() {
        external = external.merge(inner.clone());
    }
    Ok(Routers {
        external: external.fallback(not_found),
        internal: inner.fallback(not_found),
    })
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The thread of a shard: its runtime, until `stop`. Says first whether there is one.
fn run_shard(
    stop: CancellationToken,
    started: &std::sync::mpsc::SyncSender<std::io::Result<()>>,
    start: impl FnOnce(),
) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let (runtime, result) = match runtime {
        Ok(runtime) => (Some(runtime), Ok(())),
        Err(error) => (None, Err(error)),
    };
    if started.send(result).is_err() {
        return;
    }
    if let Some(runtime) = runtime {
        runtime.block_on(async move {
            start();
            stop.cancelled().await;
        });
    }
}

async fn reload_on_hangup(settings: &Settings, sources: &Sources) {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            while hangups.recv().await.is_some() {
                tracing::info!("reloading configuration");
                reload::report(settings, reload::reload(settings, sources));
            }
        }
        Err(error) => tracing::warn!(%error, "SIGHUP cannot be received"),
    }
    std::future::pending().await
}
