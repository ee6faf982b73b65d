//! Whole runs at a small scale against the debug edge: right ones count, one with a loss is void.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The edge's debug binary; the first call builds it, so that no test runs against an old one.
fn edge() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let output = Command::new(env!("CARGO"))
            // The selection of packages of `make test`, so that nothing is compiled twice.
            .args(["build", "--quiet", "--workspace", "--bin", "edge"])
            .arg("--message-format=json")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        let named = |message: Value| {
            let edge = message["target"]["name"] == "edge";
            let file = message["executable"].as_str()?.to_owned();
            edge.then(|| PathBuf::from(file))
        };
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find_map(named)
            .unwrap()
    })
}

fn bench(name: &str, args: &[&str]) -> (Output, Option<Value>) {
    let file = std::env::temp_dir().join(format!("tidewire-bench-{}-{name}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .arg("--server")
        .arg(edge())
        .arg("--json")
        .arg(&file)
        .output()
        .unwrap();
    let json = std::fs::read(&file)
        .ok()
        .map(|bytes| serde_json::from_slice(&bytes).unwrap());
    drop(std::fs::remove_file(&file));
    (output, json)
}

#[test]
fn a_run_that_delivers_everything_counts() {
    let args = ["fan-low", "--connections", "20", "--seconds", "1"];
    let (output, json) = bench("right", &args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let run = &json.unwrap()["runs"][0];
    assert_eq!(run["figures"]["deliveries"], 1200.0, "{run}");
    assert_eq!(run["void"], serde_json::json!([]));
    let writes = run["figures"]["writes per delivery"].as_f64().unwrap();
    assert!(writes > 0.0 && writes < 1.1, "{writes}");
}

#[test]
fn a_run_with_a_loss_is_void() {
    let args = ["fan-low", "--connections", "20", "--seconds", "1"];
    let (output, json) = bench("loss", &[&args[..], &["--inject-loss"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.contains("run 1 is VOID: 1 deliveries skipped"),
        "{stdout}"
    );
    let json = json.unwrap();
    assert_eq!(json["runs"][0]["void"].as_array().unwrap().len(), 1);
}

#[test]
fn every_other_workload_counts_too() {
    let args = ["idle", "ramp", "api-pub", "fan-load"];
    let size = ["--connections", "10", "--channels", "3", "--seconds", "1"];
    let (output, json) = bench("others", &[&args[..], &size[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json = json.unwrap();
    let runs = json["runs"].as_array().unwrap();
    let names: Vec<&Value> = runs.iter().map(|run| &run["workload"]).collect();
    assert_eq!(names, args);
    for (run, figure) in runs.iter().zip(["connections", "connections", "requests"]) {
        assert!(run["figures"][figure].as_f64().unwrap() >= 10.0, "{run}");
    }
}

#[test]
fn what_cannot_be_measured_is_an_error_and_not_a_figure() {
    for args in [
        &["no-such-workload"][..],
        &["idle", "--inject-loss"],
        &["ramp", "--connections", "20000"],
        &["ramp", "--config", "no-such-file.json"],
    ] {
        let (output, json) = bench("error", args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_eq!(json, None);
    }
}
