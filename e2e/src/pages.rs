//! One headless Chromium for all tests of a program: each driver `e2e/sdk/js/chromium.cjs` has a page of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tokio::sync::OnceCell;

use crate::repository;

static PAGES: OnceCell<Pages> = OnceCell::const_new();

/// The program `e2e/sdk/js/pages.cjs`. It outlives the tests, each of which has a runtime of its own, and ends with its
/// input: when this process does, however that comes about.
struct Pages {
    port: u16,
    _program: Child,
}

/// Installs Chromium if it is missing.
///
/// # Errors
/// When that fails.
pub async fn install() -> Result<()> {
    repository::script("e2e/cluster/install.sh", &["browser"], &[]).await?;
    Ok(())
}

/// The port on the loopback where drivers get a page; the first call starts the browser. `environment` tells where
/// the SDKs are.
///
/// # Errors
/// When the browser cannot be installed or started.
pub(crate) async fn port(environment: &'static [(String, String)]) -> Result<u16> {
    let pages = PAGES.get_or_try_init(|| async {
        install().await?;
        tokio::task::spawn_blocking(move || start(environment)).await?
    });
    Ok(pages.await?.port)
}

fn start(environment: &[(String, String)]) -> Result<Pages> {
    let mut program = Command::new("node")
        .arg(repository::path("e2e/sdk/js/pages.cjs"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = program.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(!line.is_empty(), "the browser did not start");
    Ok(Pages {
        port: line.trim().parse()?,
        _program: program,
    })
}
