//! The program's commands, where its options come from, and what it says about those it does not like.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::{Process, config, edge, folder, run, write};
use crate::support::client::Client;
use crate::support::server::{API_KEY, Response, SECRET, Server};
use crate::support::{soon, token};

/// What a command prints about a good token.
fn valid(verdict: &str, token: &str) -> String {
    let payload = token.split('.').nth(1).unwrap();
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    format!("{verdict}\npayload: {claims}\n")
}

#[tokio::test]
async fn a_generated_configuration_serves_signs_and_verifies() {
    for format in ["json", "yaml", "toml"] {
        let folder = folder(&format!("generated_{format}"));
        let file = format!("config.{format}");
        let ok = |output: &str| (true, output.to_owned(), String::new());
        assert_eq!(
            run(&folder, &["genconfig", "-c", &file]).await,
            ok(""),
            "{format}"
        );
        assert_eq!(
            run(&folder, &["checkconfig", "-c", &file, "--strict"]).await,
            ok("")
        );
        let (done, token, _) = run(&folder, &["gentoken", "-c", &file, "-u", "42", "-q"]).await;
        assert!(
            done && token.starts_with("eyJ") && !token.ends_with('\n'),
            "{token:?}"
        );
        let checked = run(&folder, &["checktoken", "-c", &file, &token]).await;
        assert_eq!(checked, ok(&valid("valid token for user 42", &token)));

        let (done, text, _) = run(&folder, &["gentoken", "-c", &file, "-t", "-1"]).await;
        let head = "HMAC SHA-256 JWT for anonymous user without expiration:\n";
        let anonymous = text.strip_prefix(head).unwrap().trim();
        assert!(done);
        let checked = run(&folder, &["checktoken", "-c", &file, anonymous]).await;
        assert_eq!(
            checked,
            ok(&valid("valid token for anonymous user", anonymous))
        );

        let (done, _, error) = run(&folder, &["genconfig", "-c", &file]).await;
        assert!(!done && error.contains("it must not exist yet"), "{error}");

        let arguments = ["-c", file.as_str(), "--http_server.address", "127.0.0.1"];
        let process = Process::start(&folder, &arguments).await;
        let mut client = Client::open(&process.server).await;
        client.connect(&token).await;
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_told_why() {
    let folder = folder("tokens");
    write(folder.join("config.json"), &config(&[]));
    for (token, reason) in [
        (
            token::signed(&json!({"sub": "42", "exp": 100}), SECRET),
            "token with algorithm HS256 and claims {\"exp\":100,\"sub\":\"42\"} has error: token expired",
        ),
        (
            token::signed(&json!({"sub": "42"}), "other"),
            "has error: invalid token: signature is not valid",
        ),
        ("x".to_owned(), "token format is not valid"),
        (
            token::signed(&json!({"channel": "a"}), SECRET),
            "token is of the other kind",
        ),
    ] {
        let (done, output, error) = run(&folder, &["checktoken", &token]).await;
        assert!(
            !done && output.is_empty() && error.contains(reason),
            "{error}"
        );
        assert!(
            !error.contains(&token) || token == "x",
            "tokens are not repeated"
        );
    }
    let (done, _, error) = run(&folder, &["gentoken", "-c", "nowhere.json"]).await;
    assert!(
        !done && error.contains("set client.token.hmac_secret_key"),
        "{error}"
    );
}

#[tokio::test]
async fn subscription_tokens_are_signed_and_verified_with_their_own_key_if_they_have_one() {
    let folder = folder("subscription_tokens");
    let shared = config(&["news"]);
    let mut own = shared.clone();
    own["client"]["subscription_token"] = json!({"enabled": true, "hmac_secret_key": "another"});
    for (options, key) in [(shared, SECRET), (own, "another")] {
        write(folder.join("config.json"), &options);
        let arguments = ["gensubtoken", "-u", "42", "-s", "news:1", "-t", "3600"];
        let (done, text, error) = run(&folder, &arguments).await;
        assert!(done && error.is_empty(), "{error}");
        let head =
            "HMAC SHA-256 JWT for user \"42\" and channel \"news:1\" with expiration TTL 1h0m0s:\n";
        let token = text.strip_prefix(head).unwrap().strip_suffix('\n').unwrap();
        let checked = run(&folder, &["checksubtoken", token]).await;
        let verdict = "valid subscription token for user \"42\" and channel \"news:1\"";
        assert_eq!(checked, (true, valid(verdict, token), String::new()));
        let foreign = token::signed(&json!({"sub": "42", "channel": "news:1"}), "third");
        let (done, _, error) = run(&folder, &["checksubtoken", &foreign]).await;
        assert!(!done && error.contains("signature is not valid"), "{error}");
        let connection = token::signed(&json!({"sub": "42"}), key);
        let (done, _, error) = run(&folder, &["checksubtoken", &connection]).await;
        assert!(
            !done && error.contains("token is of the other kind"),
            "{error}"
        );

        let process = Process::start(&folder, &[]).await;
        let mut client = Client::open(&process.server).await;
        client.connect(&token::of("42")).await;
        client
            .subscribe_as(json!({"channel": "news:1", "token": token}))
            .await;
    }
    let arguments = ["gensubtoken", "--channel", "a", "--ttl", "-1", "--quiet"];
    let (done, quiet, _) = run(&folder, &arguments).await;
    assert!(
        done && quiet.starts_with("eyJ") && !quiet.ends_with('\n'),
        "{quiet:?}"
    );
    let (done, text, _) = run(&folder, &["gensubtoken", "-s", "a", "-t", "-1"]).await;
    let head = "HMAC SHA-256 JWT for anonymous user and channel \"a\" without expiration:\n";
    assert!(done && text.starts_with(head), "{text}");
    let (done, _, error) = run(&folder, &["gensubtoken", "-u", "42"]).await;
    assert!(!done && error.contains("channel is required"), "{error}");
    own_key_is_missing(&folder).await;
}

async fn own_key_is_missing(folder: &std::path::Path) {
    let mut options = config(&[]);
    options["client"]["subscription_token"] = json!({"enabled": true});
    write(folder.join("config.json"), &options);
    let (done, _, error) = run(folder, &["gensubtoken", "-s", "a"]).await;
    let remedy = "set client.subscription_token.hmac_secret_key";
    assert!(!done && error.contains(remedy), "{error}");
}

#[tokio::test]
async fn what_prevents_a_start_names_the_option_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = folder("start_errors");
    let rows: Vec<(Value, &[&str])> = vec![
        (
            json!({"http_server": {"port": "many"}}),
            &["config.json", "http_server.port"],
        ),
        (
            json!({"client": {"ping_interval": "soon"}}),
            &["client.ping_interval"],
        ),
        (
            json!({"client": {"ping_interval": "5s", "pong_timeout": "5s"}}),
            &[
                "client.ping_interval",
                "must be longer than client.pong_timeout",
                "lengthen",
            ],
        ),
        (
            json!({"client": {"allowed_origins": ["["]}}),
            &["client.allowed_origins", "is not a pattern"],
        ),
        (
            json!({"channel": {"namespaces": [{"name": "a b"}]}}),
            &["channel.namespaces[0].name", "use at least two letters"],
        ),
        (
            json!({"channel": {"namespaces": [{"name": "ab"}, {"name": "ab"}]}}),
            &["channel.namespaces[1].name", "stands twice"],
        ),
        (
            json!({"channel": {"without_namespace": {"history_size": 1}}}),
            &[
                "channel.without_namespace.history_ttl",
                "set both, or neither",
            ],
        ),
        (
            json!({"channel": {"without_namespace": {"channel_regex": "("}}}),
            &[
                "channel.without_namespace.channel_regex",
                "is not a regular expression",
            ],
        ),
        (
            json!({"http_api": {"error_mode": "loud"}}),
            &["http_api.error_mode"],
        ),
        (
            json!({"broker": {"type": "carrier pigeon"}}),
            &["broker.type"],
        ),
        (
            json!({"http_server": {"address": "127.0.0.1", "port": port}}),
            &[
                "cannot listen on 127.0.0.1, port",
                "http_server.port",
                "in use",
            ],
        ),
        (
            json!({"http_server": {"address": "localhorst"}}),
            &["\"localhorst\"", "http_server.address"],
        ),
    ];
    for (options, parts) in rows {
        write(folder.join("config.json"), &options);
        let (done, output, error) = run(&folder, &[]).await;
        assert!(!done && output.is_empty(), "{options}: {output}");
        let last = error.lines().last().unwrap();
        assert!(last.starts_with("error: "), "{error}");
        for part in parts {
            assert!(last.contains(part), "{options}: {error}");
        }
    }
}

#[tokio::test]
async fn arguments_that_cannot_be_used_are_named() {
    let folder = folder("arguments");
    let (done, _, error) = run(&folder, &["--set", "http_server.prot=1"]).await;
    assert!(
        !done && error.contains("--http_server.prot") && error.contains("no such option"),
        "{error}"
    );
    let (done, _, error) = run(&folder, &["--set", "http_server.port"]).await;
    assert!(!done && error.contains("write OPTION=VALUE"), "{error}");
    let (done, _, error) = run(&folder, &["--secrets", "nowhere"]).await;
    assert!(!done && error.contains("nowhere"), "{error}");
    let (done, _, error) = run(&folder, &["checkconfig", "-c", "nowhere.json"]).await;
    assert!(
        !done && error.contains("config file not found: nowhere.json"),
        "{error}"
    );
}

#[tokio::test]
async fn options_that_do_nothing_and_keys_that_nobody_knows_are_warned_about() {
    let folder = folder("warnings");
    let mut options = config(&["news"]);
    options["channel"]["namespaces"][0]["subscription_type"] = "map".into();
    options["admin"] = json!({"enabled": true});
    options["client"]["pingg_interval"] = "1s".into();
    write(folder.join("config.json"), &options);
    let process = Process::start(&folder, &[]).await;
    let lines = &process.skipped;
    let without_effect: Vec<&Value> = lines
        .iter()
        .filter(|line| line["message"] == "this option has no effect yet")
        .map(|line| &line["option"])
        .collect();
    assert!(
        without_effect.contains(&&json!("admin.enabled")),
        "{lines:?}"
    );
    for parts in [
        ["client.pingg_interval", "client.ping_interval?"],
        [
            "channel.namespaces[news].subscription_type",
            "not supported yet",
        ],
    ] {
        let told = lines.iter().find(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            parts.iter().all(|part| message.contains(part))
        });
        assert_eq!(told.unwrap()["level"], "WARN");
    }
    assert!(
        lines.iter().all(|line| !line.to_string().contains(SECRET)),
        "no secret is logged"
    );

    let (done, _, error) = run(&folder, &["checkconfig", "--strict"]).await;
    assert!(!done && error.contains("client.pingg_interval"), "{error}");
    let (done, _, error) = run(&folder, &["checkconfig"]).await;
    assert!(done && error.contains("warning: unknown key"), "{error}");
}

#[tokio::test]
async fn variables_that_nobody_knows_are_told_at_start_and_by_checkconfig() {
    let folder = folder("variables");
    write(folder.join("config.json"), &config(&[]));
    let unknown = [
        "unknown var in environment: TIDEWIRE_CLIENT_PINGG_INTERVAL; did you mean TIDEWIRE_CLIENT_PING_INTERVAL?",
        "unknown var in environment: CENTRIFUGO_NOSUCH",
    ];
    let set = [
        ("CENTRIFUGO_NOSUCH", "1"),
        ("TIDEWIRE_CLIENT_PINGG_INTERVAL", "1s"),
    ];
    let process = Process::start_in(&folder, &[], &set).await;
    let told = process
        .skipped
        .iter()
        .filter_map(|line| line["message"].as_str());
    let told: Vec<&str> = told.filter(|text| text.contains("var in env")).collect();
    assert_eq!(told, unknown);

    let check = |arguments: &[&str]| edge(&folder).args(arguments).envs(set).output();
    let output = soon("the end", check(&["checkconfig"])).await.unwrap();
    let warnings = unknown.map(|text| format!("warning: {text}\n")).concat();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), warnings);
    assert!(output.status.success());
    let output = soon("the end", check(&["checkconfig", "--strict"]))
        .await
        .unwrap();
    assert!(!output.status.success());
}

#[tokio::test]
async fn calls_without_the_right_key_are_logged_without_the_one_they_had() {
    let folder = folder("refused_calls");
    write(folder.join("config.json"), &config(&[]));
    let mut process = Process::start(&folder, &[]).await;
    for (path, headers) in [
        ("/api/publish?api_key=a-wrong-key", &[][..]),
        ("/api/info", &[("X-API-Key", "a-wrong-key")]),
        ("/api", &[("Authorization", "apikey a-wrong-key")]),
    ] {
        let response = process.server.request("POST", path, headers, "{}").await;
        assert_eq!(response, Response::empty(401));
    }
    let line = process.logged("an API call was refused").await;
    assert_eq!(
        (&line["level"], &line["path"]),
        (&json!("WARN"), &json!("/api/publish"))
    );
    assert_eq!(line["calls"], 1);
    process.signal("TERM").await;
    process.logged("stopped").await;
    let all = process.skipped.iter().chain([&line]);
    assert!(
        all.into_iter()
            .all(|it| !it.to_string().contains("a-wrong-key"))
    );
}

#[tokio::test]
async fn a_later_source_wins_file_secrets_environment_flags() {
    let folder = folder("sources");
    let mut options = config(&[]);
    options["node"] = json!({"name": "of the file"});
    write(folder.join("config.json"), &options);
    let secrets = folder.join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("http_api.key"), "of the secrets\n").unwrap();
    std::fs::write(folder.join(".env"), "TIDEWIRE_NODE_NAME=of .env\n").unwrap();
    let process = Process::start(&folder, &["--secrets", "secrets"]).await;
    let call = async |process: &Process, key: &str| {
        let headers = [("X-API-Key", key)];
        process
            .server
            .request("POST", "/api/info", &headers, "{}")
            .await
    };
    assert_eq!(call(&process, API_KEY).await.status, 401);
    let info = call(&process, "of the secrets").await;
    assert!(info.body.contains("\"name\":\"of .env\""), "{info:?}");
    let arguments = [
        "--secrets",
        "secrets",
        "--set",
        "node.name=of the flag",
        "--set",
        "http_api.key=k",
    ];
    let process = Process::start(&folder, &arguments).await;
    assert!(
        call(&process, "k")
            .await
            .body
            .contains("\"name\":\"of the flag\"")
    );
}

#[tokio::test]
async fn edge_dev_prints_a_page_a_token_and_a_curl_that_work() {
    let folder = folder("dev");
    let mut child = edge(&folder)
        .args(["dev", "--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut text = Vec::new();
    while !text
        .last()
        .is_some_and(|line: &String| line.starts_with("curl"))
    {
        text.push(soon("a line", lines.next_line()).await.unwrap().unwrap());
    }
    let page = text[0].strip_prefix("Demo page: http://").unwrap();
    let address: SocketAddr = page.split('/').next().unwrap().parse().unwrap();
    let server = Server::elsewhere(address, address);
    let response = server.get("/").await;
    assert!(
        response.status == 200 && response.content_type.starts_with("text/html"),
        "{response:?}"
    );

    let token = &text[text
        .iter()
        .position(|line| line.starts_with("Token"))
        .unwrap()
        + 1];
    let mut client = Client::open(&server).await;
    client.connect(token).await;
    client.subscribe("chat:lobby").await;
    // The curl line is: curl -H 'X-API-Key: KEY' -d 'BODY' URL
    let quoted: Vec<&str> = text.last().unwrap().split('\'').collect();
    let key = quoted[1].strip_prefix("X-API-Key: ").unwrap();
    let path = quoted[4]
        .trim()
        .strip_prefix(&format!("http://{address}"))
        .unwrap();
    let response = server
        .request("POST", path, &[("X-API-Key", key)], quoted[3])
        .await;
    assert_eq!(response, Response::json(200, "{\"result\":{}}"));
    assert_eq!(
        client.publication("chat:lobby").await,
        json!({"text": "hello from curl"})
    );
    client
        .command(json!({"publish": {"channel": "chat:lobby", "data": "me too"}}))
        .await;
    assert_eq!(client.publication("chat:lobby").await, "me too");
    drop(child);
}

#[tokio::test]
async fn the_log_goes_where_it_is_configured_and_holds_what_its_level_lets_through() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for (level, warns) in [("warn", true), ("error", false)] {
        let folder = folder(&format!("log_{level}"));
        let mut options = config(&[]);
        options["log"] = json!({"file": "edge.log", "level": level});
        options["http_server"]["port"] = taken.local_addr().unwrap().port().into();
        options["unknown"] = true.into();
        write(folder.join("config.json"), &options);
        // It ends at once, because the port is taken.
        let (done, _, error) = run(&folder, &[]).await;
        assert!(!done && !error.contains("unknown"), "{error}");
        let log = std::fs::read_to_string(folder.join("edge.log")).unwrap();
        assert_eq!(log.contains("unknown"), warns, "{level}: {log}");
    }
}
