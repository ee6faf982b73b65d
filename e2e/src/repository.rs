//! The checkout, its scripts and the environment the tests were started in.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// The root folder of the checkout.
#[must_use]
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// A path below the root folder of the checkout.
#[must_use]
pub fn path(relative: &str) -> PathBuf {
    root().join(relative)
}

/// A variable of the environment, `None` when it is unset or empty.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the harness has no configuration loader; its settings are few"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs a script of the checkout and returns the `NAME=VALUE` lines of its standard output.
/// Its standard error, which has the progress, goes straight to the terminal.
///
/// # Errors
/// When the script cannot be started or fails; what it said is on the terminal.
pub async fn script(
    relative: &str,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<Vec<(String, String)>> {
    let output = Command::new(path(relative))
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // Not `output()`, which would swallow the standard error.
        .spawn()
        .with_context(|| format!("start of {relative}"))?
        .wait_with_output()
        .await?;
    ensure!(
        output.status.success(),
        "{relative} failed: {}",
        output.status
    );
    Ok(assignments(&String::from_utf8_lossy(&output.stdout)))
}

fn assignments(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_an_assignment_are_read() {
        let read = assignments("progress\nA=1\nB=x=y\n");
        assert_eq!(
            read,
            [
                ("A".to_owned(), "1".to_owned()),
                ("B".to_owned(), "x=y".to_owned())
            ]
        );
    }

    #[test]
    fn the_root_has_the_workspace_manifest() {
        assert!(path("Cargo.toml").exists() && path("e2e/cluster/up.sh").exists());
    }
}
