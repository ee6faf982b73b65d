//! Signals and reload of the program, and what must not end it.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::process::{Process, config, folder, write};
use crate::support::client::Client;
use crate::support::raw::{Raw, UPGRADE};
use crate::support::server::{API_KEY, Response, SECRET};
use crate::support::{eventually, token};

#[tokio::test]
async fn sigterm_fails_readiness_goes_on_serving_then_sends_clients_away_and_exits_well() {
    let folder = folder("sigterm");
    let mut options = config(&["news"]);
    options["tidewire"]["drain"]["endpoint_propagation"] = "3s".into();
    options["pid_file"] = "edge.pid".into();
    write(folder.join("config.json"), &options);
    let mut process = Process::start(&folder, &[]).await;
    let pid = std::fs::read_to_string(folder.join("edge.pid")).unwrap();
    assert_eq!(Some(pid), process.child.id().map(|id| id.to_string()));
    let mut early = Client::connected(&process.server, "early").await;
    assert_eq!(
        process.server.get("/health/ready").await,
        Response::json(200, "{}")
    );

    process.signal("TERM").await;
    process.logged("draining").await;
    let ready = process.server.get("/health/ready").await;
    assert_eq!(ready, Response::text(503, "draining\n"));
    assert_eq!(process.node().await["draining"], true);
    let mut late = Client::connected(&process.server, "late").await;
    late.subscribe("news:a").await;
    process.server.publish("news:a", &json!(1)).await;
    assert_eq!(late.publication("news:a").await, 1);

    assert_eq!(early.closed().await, (3001, "shutdown".into()));
    assert_eq!(late.closed().await, (3001, "shutdown".into()));
    drop((early, late));
    assert_eq!(process.exit_code().await, Some(0));
    assert!(!folder.join("edge.pid").exists());
}

#[tokio::test]
async fn who_comes_while_clients_are_closed_is_not_let_in() {
    let folder = folder("closing");
    let mut options = config(&["news"]);
    options["tidewire"]["drain"]["endpoint_propagation"] = "1ms".into();
    write(folder.join("config.json"), &options);
    let mut process = Process::start(&folder, &[]).await;
    // One whose handshake is done already, and that does not answer, keeps the node from ending at once.
    let mut silent = Raw::open(process.server.address).await;
    process.signal("TERM").await;
    assert_eq!(silent.closed().await, (3001, "shutdown".to_owned()));
    let newcomer = tokio::net::TcpStream::connect(process.server.address).await;
    assert!(newcomer.is_err(), "the listener for clients is closed");
    drop(silent);
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_shutdown_that_takes_too_long_is_cut_short() {
    let folder = folder("shutdown_timeout");
    let mut options = config(&[]);
    options["tidewire"]["drain"]["endpoint_propagation"] = "1ms".into();
    options["shutdown"] = json!({"timeout": "300ms"});
    write(folder.join("config.json"), &options);
    let mut process = Process::start(&folder, &[]).await;
    // It does not answer the close frame.
    let _silent = Raw::open(process.server.address).await;
    process.signal("INT").await;
    process
        .logged("shutdown.timeout is over, exiting at once")
        .await;
    assert_eq!(process.exit_code().await, Some(1));
}

#[tokio::test]
async fn sighup_brings_live_options_to_connected_clients_and_refuses_what_is_invalid() {
    let folder = folder("sighup");
    let file = folder.join("config.json");
    write(&file, &config(&["old"]));
    let mut process = Process::start(&folder, &[]).await;
    let mut client = Client::connected(&process.server, "42").await;
    let subscribe = |channel: &str| json!({"subscribe": {"channel": channel}});
    assert_eq!(client.refused(subscribe("new:a")).await, 102);
    let [boot, live] = process.hashes().await;

    write(&file, &config(&["old", "new"]));
    process.signal("HUP").await;
    process.logged("configuration successfully reloaded").await;
    client.subscribe("new:a").await;
    process.server.publish("new:a", &json!(1)).await;
    assert_eq!(client.publication("new:a").await, 1);
    let [boot_now, live_now] = process.hashes().await;
    assert_eq!(boot_now, boot);
    assert_ne!(live_now, live);

    let mut refused = config(&["newer"]);
    refused["channel"]["without_namespace"] = json!({"history_size": 1});
    for content in [
        refused.to_string(),
        "{".to_owned(),
        "{\"channel\":{\"namespaces\":7}}".to_owned(),
    ] {
        std::fs::write(&file, content).unwrap();
        process.signal("HUP").await;
        let line = process.logged("the running configuration stays").await;
        assert_eq!(line["level"], "ERROR", "{line}");
        assert_eq!(client.refused(subscribe("newer:a")).await, 102);
        assert_eq!(process.hashes().await, [boot_now.clone(), live_now.clone()]);
    }
    client.subscribe("old:a").await;

    // A boot option waits for the next start, and the log says so; live ones count at once.
    let mut changed = config(&["newest"]);
    changed["client"]["channel_limit"] = 1.into();
    write(&file, &changed);
    process.signal("HUP").await;
    process
        .logged("boot options changed; they take effect at the next start")
        .await;
    process.logged("configuration successfully reloaded").await;
    client.subscribe("newest:a").await;
    assert_eq!(process.hashes().await[0], boot);
}

/// A folder as Kubernetes mounts a volume: the files are links through `..data`, which is swapped whole.
fn mount(folder: &Path, version: &str, files: &[(&str, String)]) {
    let version_folder = folder.join(version);
    std::fs::create_dir_all(&version_folder).unwrap();
    for (name, content) in files {
        std::fs::write(version_folder.join(name), content).unwrap();
        let link = folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), &link).unwrap();
        }
    }
    std::os::unix::fs::symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_mounted_configuration_and_its_secrets_are_followed_when_their_link_is_swapped() {
    let folder = folder("mounted");
    let (files, secrets) = (folder.join("config"), folder.join("secrets"));
    let mut options = config(&["old"]);
    options["client"] = json!({});
    mount(
        &files,
        "..1",
        &[
            ("boot.json", options.to_string()),
            ("live.json", "{}".to_owned()),
        ],
    );
    let key = |secret: &str| [("client.token.hmac_secret_key", secret.to_owned())];
    mount(&secrets, "..1", &key(SECRET));
    let arguments = ["--config", "config", "--secrets", "secrets"];
    let mut process = Process::start(&folder, &arguments).await;
    let mut client = Client::connected(&process.server, "42").await;
    let [boot, live] = process.hashes().await;

    let namespaces = &config(&["old", "new"])["channel"];
    let newer = json!({"channel": namespaces}).to_string();
    mount(
        &files,
        "..2",
        &[("boot.json", options.to_string()), ("live.json", newer)],
    );
    process.logged("configuration successfully reloaded").await;
    client.subscribe("new:a").await;
    let [boot_now, live_now] = process.hashes().await;
    assert_eq!(boot_now, boot);
    assert_ne!(live_now, live);

    let rotated = [
        ("client.token.hmac_secret_key", "rotated".to_owned()),
        ("http_api.key", "rotated".to_owned()),
    ];
    mount(&secrets, "..2", &rotated);
    process.logged("configuration successfully reloaded").await;
    let mut client = Client::open(&process.server).await;
    client
        .connect(&token::signed(&json!({"sub": "42"}), "rotated"))
        .await;
    let mut old = Client::open(&process.server).await;
    old.command(json!({"connect": {"token": token::of("42")}}))
        .await;
    assert_eq!(old.closed().await.0, 3500);
    for (key, status) in [("rotated", 200), (API_KEY, 401)] {
        let headers = [("X-API-Key", key)];
        let answer = process.server.request("POST", "/api/info", &headers, "{}");
        assert_eq!(answer.await.status, status, "{key}");
    }

    mount(
        &files,
        "..3",
        &[
            ("boot.json", options.to_string()),
            ("live.json", "{".to_owned()),
        ],
    );
    process.logged("the running configuration stays").await;
    assert_eq!(process.hashes().await, [boot_now, live_now]);
    client.subscribe("new:b").await;
}

#[tokio::test]
async fn hostile_input_never_ends_the_process() {
    let folder = folder("hostile");
    write(folder.join("config.json"), &config(&["news"]));
    let mut process = Process::start(&folder, &[]).await;
    let address = process.server.address;
    let mut witness = Client::connected(&process.server, "witness").await;
    witness.subscribe("news:a").await;
    for seed in 0..200_u32 {
        // Arbitrary bytes, the same in every run.
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let bytes: Vec<u8> = (0..300)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_le_bytes()[0]
            })
            .collect();
        let mut raw = Raw::dial(address).await;
        if seed % 2 == 0 {
            let head = raw.request("GET", "/connection/websocket", UPGRADE).await;
            assert_eq!(head.status, 101);
        }
        raw.send(&bytes).await;
    }
    eventually("only the witness is left", 1, async || {
        process.server.counts().await[0]
    })
    .await;
    process.server.publish("news:a", &json!(1)).await;
    assert_eq!(witness.publication("news:a").await, 1);
    assert!(process.child.try_wait().unwrap().is_none(), "it runs");
    drop(witness);
    process.signal("TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(15), process.exit_code()).await;
    assert_eq!(ended, Ok(Some(0)));
}
