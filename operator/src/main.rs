//! `operator run` reconciles clusters, `operator crds` prints the definition.

use std::{io::Write, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Parser, Subcommand};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use tidewire_operator::{
    api::crd::crd_yaml,
    context::{Context, Images},
    controller::{self, Scope},
    leader::{Elector, KubeLease, LEASE},
    metrics::{self, Metrics},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Runs Tidewire clusters on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "operator", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reconcile clusters until SIGTERM (the default).
    Run(Box<Run>),
    /// Print the CustomResourceDefinition as YAML.
    Crds,
}

/// Settings of `operator run`.
#[derive(Clone, Debug, Args)]
struct Run {
    /// Namespace to look in; empty looks in every namespace.
    #[arg(long, env = "WATCH_NAMESPACE", default_value = "")]
    watch_namespace: String,
    /// Image of edge nodes whose spec names none.
    #[arg(long, env = "EDGE_IMAGE", default_value = concat!("ghcr.io/tidewire/edge:", env!("CARGO_PKG_VERSION")))]
    edge_image: String,
    /// Image of NATS servers.
    #[arg(
        long,
        env = "NATS_IMAGE",
        default_value = "docker.io/library/nats:2.15.2"
    )]
    nats_image: String,
    /// Name of this pod, unique among the candidates for leadership: a container that is started again in the same
    /// pod leads on at once. Default: a random name.
    #[arg(long, env = "POD_NAME")]
    pod_name: Option<String>,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "tidewire-system")]
    pod_namespace: String,
    /// Where /metrics and /health are served.
    #[arg(long, env = "LISTEN_ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// What is logged, for example `info` or `debug,kube=info`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
}

/// Name of the Lease that candidates compete for.
const LEASE_NAME: &str = "tidewire-operator";

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Crds) => Ok(std::io::stdout().write_all(crd_yaml()?.as_bytes())?),
        Some(Command::Run(settings)) => start(*settings),
        None => start(cli.run),
    }
}

fn start(settings: Run) -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_installed| anyhow!("a TLS provider is installed already"))?;
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(
            EnvFilter::try_new(&settings.log_level).context("the log level is not valid")?,
        )
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(settings));
    // Ends at once: after a lost lease nothing that is still running may write.
    runtime.shutdown_background();
    outcome
}

async fn run(settings: Run) -> Result<()> {
    let Run {
        watch_namespace,
        edge_image,
        nats_image,
        pod_name,
        pod_namespace,
        listen,
        log_level: _,
    } = settings;
    let stop = on_signal()?;
    let metrics = Arc::new(Metrics::new()?);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    tokio::spawn(metrics::serve(
        listener,
        metrics.clone(),
        stop.clone().cancelled_owned(),
    ));
    let client = Client::try_default()
        .await
        .context("no access to Kubernetes")?;
    let images = Images {
        edge: edge_image,
        nats: nats_image,
    };
    let identity = pod_name.unwrap_or_else(|| format!("operator-{:08x}", rand::random::<u32>()));
    let ctx = Arc::new(Context::new(
        client.clone(),
        images,
        metrics.clone(),
        Some(identity.clone()),
    ));
    let leases: Api<Lease> = Api::namespaced(client, &pod_namespace);
    let mut elector = Elector::new(KubeLease::new(leases, LEASE_NAME), &identity, LEASE);
    tokio::select! {
        () = elector.acquire() => {}
        () = stop.cancelled() => return Ok(()),
    }
    metrics.leads();
    let scope = Scope::from_setting(&watch_namespace);
    // The lease is kept until the last look has ended.
    let finished = CancellationToken::new();
    let work = tokio::spawn({
        let (stop, finished) = (stop.clone(), finished.clone());
        async move {
            // Also when it panics: a leader that does nothing must not stay leader.
            let _finished = finished.drop_guard();
            controller::run(ctx, &scope, stop).await;
        }
    });
    elector.hold(&finished).await?;
    work.await?;
    if stop.is_cancelled() {
        Ok(())
    } else {
        Err(anyhow!("the controller ended by itself"))
    }
}

/// A token that SIGTERM or SIGINT cancels.
fn on_signal() -> Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let cancelled = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(stop)
}
