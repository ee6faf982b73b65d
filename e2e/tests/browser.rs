//! The demo page of `edge dev`, used by two people in a real browser.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidewire_e2e::edge;
use tidewire_e2e::process::Process;
use tidewire_e2e::{pages, repository, sdk};
use tokio::process::Command;

const START_TIME: Duration = Duration::from_secs(20);
/// A cold start of the browser and a chat on a busy machine.
const CHAT_TIME: Duration = Duration::from_secs(120);

/// Starts `edge dev` and returns the address of the page that it prints first.
async fn dev() -> Result<(Process, String)> {
    let mut command = Command::new(edge::binary().await?);
    command.args(["dev", "--port", "0"]);
    let mut process = Process::start("edge dev", command)?;
    let address = process
        .pick(START_TIME, |line| {
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned)
        })
        .await?;
    Ok((process, address))
}

async fn chat(address: &str, screenshot: &Path) -> Result<Value> {
    let mut command = Command::new("node");
    command
        .envs(
            sdk::environment()
                .await?
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .arg(repository::path("e2e/sdk/js/browser.cjs"))
        .arg(address)
        .arg(screenshot);
    let mut browser = Process::start("browser", command)?;
    let pages = |line: &str| {
        let shown: Value = serde_json::from_str(line).ok()?;
        shown.get("pages").is_some().then_some(shown)
    };
    let shown = browser.pick(CHAT_TIME, pages).await?;
    // It closes Chromium and removes its profile last.
    let status = browser.ended(START_TIME).await?;
    ensure!(status.success(), "the browser's driver ended with {status}");
    Ok(shown)
}

#[tokio::test]
async fn two_people_chat_with_each_other_on_the_demo_page() -> Result<()> {
    pages::install().await?;
    let (_edge, address) = dev().await?;
    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.png");
    let shown = chat(&address, &screenshot).await?;
    eprintln!("screenshot: {}", screenshot.display());

    let message =
        |author: &str, text: &str, own: bool| json!({"author": author, "text": text, "own": own});
    let page = |own: &str| {
        let question = message("Ada", "Hello Bob, can you <b>read</b> me?", own == "Ada");
        json!({"state": "Connected", "messages": [question, message("Bob", "Loud and clear", own == "Bob")], "problems": []})
    };
    assert_eq!(shown, json!({"pages": [page("Ada"), page("Bob")]}));
    let bytes = std::fs::metadata(&screenshot)
        .context("no screenshot")?
        .len();
    ensure!(
        bytes > 10_000,
        "the screenshot has {bytes} bytes: an empty page"
    );
    Ok(())
}
