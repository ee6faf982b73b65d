//! The command line.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser};
use serde_json::{Value, json};

use crate::cores::Cores;
use crate::report::{Report, Verdict};
use crate::server::Launch;
use crate::usage;
use crate::workloads::{ALL, Context, Workload};

/// Measures what a server costs per connection, delivery and request.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = after_help())]
struct Cli {
    /// What to run, in this order.
    #[arg(default_values = ["idle", "fan-low"])]
    workloads: Vec<String>,
    /// The server; it is started with `--config FILE`. Default: the release `edge` beside this program.
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Its configuration in JSON; address and port are replaced. Default: config/edge.json of this crate.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Runs of each workload, taken in turns.
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: u32,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The server's core.
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    server_core: usize,
    /// The generator's core.
    #[arg(long, default_value_t = 1, value_name = "CORE")]
    generator_core: usize,
    #[command(flatten)]
    size: Size,
    /// Lose one delivery on purpose: the run must be void.
    #[arg(long)]
    inject_loss: bool,
}

/// The size of the load, instead of each workload's own.
#[derive(Clone, Debug, Args)]
pub(crate) struct Size {
    /// Clients, or connections to the API.
    #[arg(long, value_name = "N")]
    pub(crate) connections: Option<usize>,
    /// Channels that the clients of `idle` and `ramp` are spread over. Default: one each.
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<usize>,
    /// Publications per second.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// Seconds of measuring.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
}

/// Runs what the command line says.
///
/// # Errors
/// Something could not be measured.
pub(crate) fn run() -> Result<Verdict> {
    let cli = Cli::parse();
    let workloads = chosen(&cli)?;
    let launch = cli.launch()?;
    let mut report = Report::default();
    for run in 1..=cli.runs {
        for workload in &workloads {
            let context = Context {
                launch: launch.clone(),
                size: cli.size.clone(),
                inject_loss: cli.inject_loss,
                title: format!("{} {run}/{}", workload.name, cli.runs),
            };
            let outcome = (workload.run)(&context).with_context(|| context.title.clone())?;
            report.add(workload.name, workload.about, outcome);
        }
    }
    let machine = json!({
        "processor": usage::processor(),
        "kernel": usage::kernel(),
        "cores": launch.cores.describe(),
    });
    let head = format!("server {}\nmachine {machine}\n", launch.program.display());
    std::io::stdout().write_all((head + &report.table()).as_bytes())?;
    if let Some(file) = &cli.json {
        let document = json!({
            "server": launch.program,
            "config": launch.config,
            "machine": machine,
            "runs": report.runs(),
        });
        write_json(file, &document)?;
    }
    Ok(report.verdict())
}

fn chosen(cli: &Cli) -> Result<Vec<&'static Workload>> {
    let find = |name: &String| {
        let found = ALL.iter().find(|workload| workload.name == name);
        found.with_context(|| format!("no workload is called {name} (see --help)"))
    };
    let chosen: Vec<_> = cli.workloads.iter().map(find).collect::<Result<_>>()?;
    if let Some(workload) = chosen.iter().find(|it| cli.inject_loss && !it.delivers) {
        bail!("--inject-loss: {} delivers nothing", workload.name);
    }
    Ok(chosen)
}

impl Cli {
    fn launch(&self) -> Result<Launch> {
        let program = self.server.clone().map_or_else(default_server, Ok)?;
        ensure!(
            program.is_file(),
            "{} is missing (cargo build --release -p tidewire-edge --bin edge)",
            program.display()
        );
        let config: Value = match &self.config {
            Some(file) => {
                let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
                serde_json::from_str(&text).with_context(|| file.display().to_string())?
            }
            None => serde_json::from_str(include_str!("../config/edge.json"))?,
        };
        Ok(Launch {
            program,
            config,
            cores: Cores::choose(self.server_core, self.generator_core)?,
        })
    }
}

/// `bench` stands in `target/release` or `target/debug`, the edge to measure in `target/release`.
fn default_server() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).unwrap_or(&own);
    Ok(target.join("release").join("edge"))
}

fn write_json(file: &Path, document: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(document)? + "\n";
    fs::write(file, text).with_context(|| file.display().to_string())
}

fn after_help() -> String {
    let mut text = "Workloads:\n".to_owned();
    for workload in ALL {
        text.push_str(&format!("  {:<10} {}\n", workload.name, workload.about));
    }
    text + "\nExit code: 0 all runs count, 1 a run is void, 2 it could not be measured."
}
