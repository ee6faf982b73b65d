//! The Kubernetes under test, with the operator installed, and ways into it.
//!
//! With `KUBECONFIG` the tests run on that cluster, with the images that `EDGE_IMAGE`, `OPERATOR_IMAGE` and
//! `NATS_IMAGE` name. Without it the first test starts a cluster of its own (`e2e/cluster`), which all tests of
//! this process share and which goes down when the process has ended.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::process::Process;
use crate::repository;

/// Where the operator lives.
pub const SYSTEM_NAMESPACE: &str = "tidewire-system";
/// The operator's Deployment and ServiceAccount.
pub const OPERATOR: &str = "tidewire-operator";

const FORWARD_TIME: Duration = Duration::from_secs(10);

type Settings = Vec<(String, String)>;

static SETTINGS: OnceCell<Result<Settings, String>> = OnceCell::const_new();

/// A way into the shared cluster for one test. The client belongs to the test's own runtime.
#[derive(Clone)]
pub struct Cluster {
    /// An administrator's client, for set-up and assertions.
    pub client: Client,
    settings: &'static Settings,
}

impl Cluster {
    /// The cluster that all tests of this process share; the first call brings it up.
    ///
    /// # Errors
    /// When that fails; it is not tried a second time.
    pub async fn shared() -> Result<Self> {
        let settings = SETTINGS
            .get_or_init(|| async { prepare().await.map_err(|error| format!("{error:#}")) })
            .await;
        let settings = settings
            .as_ref()
            .map_err(|error| anyhow!("no cluster: {error}"))?;
        let client = client(settings).await?;
        Ok(Self { client, settings })
    }

    /// One of `KUBECONFIG`, `EDGE_IMAGE`, `OPERATOR_IMAGE`, `NATS_IMAGE`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn setting(&self, name: &str) -> Result<&str> {
        find(self.settings, name).with_context(|| format!("no setting {name}"))
    }

    /// Whether the cluster is the one of `e2e/cluster`, whose network can be entered from this machine.
    #[must_use]
    pub fn is_own(&self) -> bool {
        find(self.settings, "OWN").is_some()
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(find(self.settings, "KUBECTL").unwrap_or("kubectl"));
        command
            .args(arguments)
            .env(
                "KUBECONFIG",
                find(self.settings, "KUBECONFIG").unwrap_or_default(),
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs kubectl as a user would and returns what it prints.
    ///
    /// # Errors
    /// When it fails; the message is kubectl's own.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .kubectl_command(arguments)
            .output()
            .await
            .context("start of kubectl")?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A loopback port that leads to a port of a Service, through the cluster's own load balancing where possible.
    ///
    /// # Errors
    /// When the Service does not exist or the forwarder does not start.
    pub async fn forward_service(&self, namespace: &str, name: &str, port: u16) -> Result<Forward> {
        if !self.is_own() {
            return self
                .port_forward(namespace, &format!("service/{name}"), port)
                .await;
        }
        let service = Api::<Service>::namespaced(self.client.clone(), namespace)
            .get(name)
            .await?;
        let address = service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("the Service has no address")?;
        self.enter(&address, port).await
    }

    /// A loopback port that leads to a port of one pod.
    ///
    /// # Errors
    /// When the pod has no address or the forwarder does not start.
    pub async fn forward_pod(&self, pod: &Pod, port: u16) -> Result<Forward> {
        let name = pod
            .metadata
            .name
            .as_deref()
            .context("a pod without a name")?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        if !self.is_own() {
            return self
                .port_forward(namespace, &format!("pod/{name}"), port)
                .await;
        }
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        self.enter(
            &address.with_context(|| format!("pod {name} has no address"))?,
            port,
        )
        .await
    }

    async fn enter(&self, address: &str, port: u16) -> Result<Forward> {
        let node = self.setting("NODE_PID")?;
        let mut command = Command::new("python3");
        command
            .arg(repository::path("e2e/cluster/forward.py"))
            .args([node, &format!("127.0.0.1:0={address}:{port}")]);
        Forward::start(command, |line| {
            line.strip_prefix("forwarding ")?
                .split('=')
                .next()
                .map(str::to_owned)
        })
        .await
    }

    async fn port_forward(&self, namespace: &str, target: &str, port: u16) -> Result<Forward> {
        let command = self.kubectl_command(&[
            "-n",
            namespace,
            "port-forward",
            "--address=127.0.0.1",
            target,
            &format!(":{port}"),
        ]);
        Forward::start(command, |line| {
            line.strip_prefix("Forwarding from ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .await
    }
}

/// A forwarder; it ends when it is dropped.
pub struct Forward {
    /// Where it listens, host and port.
    pub address: String,
    _process: Process,
}

impl Forward {
    async fn start(
        command: Command,
        listening: impl FnMut(&str) -> Option<String>,
    ) -> Result<Self> {
        let mut process = Process::start("forwarder", command)?;
        let address = process.pick(FORWARD_TIME, listening).await?;
        Ok(Self {
            address,
            _process: process,
        })
    }
}

fn find<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
    settings
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

async fn prepare() -> Result<Settings> {
    let settings = match repository::variable("KUBECONFIG") {
        Some(kubeconfig) => given(kubeconfig),
        None => own().await?,
    };
    repository::script("e2e/scripts/operator.sh", &["install"], &settings).await?;
    Ok(settings)
}

/// What is missing is named by `operator.sh`, for all callers alike.
fn given(kubeconfig: String) -> Settings {
    let images = ["EDGE_IMAGE", "OPERATOR_IMAGE", "NATS_IMAGE"];
    let images = images
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), repository::variable(name)?)));
    [("KUBECONFIG".to_owned(), kubeconfig)]
        .into_iter()
        .chain(images)
        .collect()
}

async fn own() -> Result<Settings> {
    let environment = [
        ("CLUSTER".to_owned(), "test".to_owned()),
        ("METRICS".to_owned(), "1".to_owned()),
    ];
    let owner = std::process::id().to_string();
    let mut settings = repository::script(
        "e2e/scripts/bring-up.sh",
        &["--owner", &owner],
        &environment,
    )
    .await?;
    settings.push(("OWN".to_owned(), "yes".to_owned()));
    Ok(settings)
}

async fn client(settings: &Settings) -> Result<Client> {
    // Fails when another test was first, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let kubeconfig = Kubeconfig::read_from(find(settings, "KUBECONFIG").unwrap_or_default())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
