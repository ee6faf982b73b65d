//! Commands behind one that waits: they are kept within bounds, and what does not fit stays in the socket.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::edge::{Edge, KIB};
use crate::support::raw::{CLOSE, Raw, TEXT, frame};

/// A set with one key, for ES256.
const KEYS: &str = r#"{"keys":[{"kid": "late", "use": "sig", "kty": "EC", "crv": "P-256", "x": "J6qAeuyKuo2R_R_Hf-mhbuWKnq8nS-iy8bNosU-J3bs", "y": "26purDL9T6k2Dl0s4cLC0ITp02Xi53PJtPIBvLGQhms"}]}"#;

/// A token of user `late` that this key signed.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImxhdGUifQ.eyJzdWIiOiJsYXRlIn0.CiiJfwpw9Z8uWgRYs4y6bVMKk6VF_ve-OeO2qL2WAQIbjMfp2_yPlr8A1yvm6ng9Jz2jqdTI0xLmo-W2qcIRPw";

/// What an honest client has to say at once. All the replies together fit its queue.
const COMMANDS: u32 = 8000;

/// A server of keys that never answers the first request. The second comes when the edge has waited for a second.
async fn late_keys() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let _unanswered = listener.accept().await.unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{KEYS}",
                KEYS.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

/// Each command gets its reply, in order.
async fn all_answered(mut reader: Raw) {
    let reply = reader.recv().await;
    assert!(reply.starts_with("{\"id\":1,\"connect\":{"), "{reply}");
    for id in 2..COMMANDS + 2 {
        assert_eq!(
            reader.recv().await,
            format!("{{\"id\":{id},\"unsubscribe\":{{}}}}")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_behind_a_command_that_waits_stays_in_the_socket() {
    const EACH: usize = 10;
    let keys = late_keys().await;
    let options = json!({"client": {
        "ping_interval": "300s",
        "stale_close_delay": "60s",
        "token": {"jwks_public_endpoint": format!("http://{}/keys", keys)},
    }});
    let mut edge = Edge::start("parked", &options).await;
    let connect = json!({"id": 1, "connect": {"token": TOKEN}}).to_string();
    let commands: Vec<u8> = (2..COMMANDS + 2)
        .flat_map(|id| {
            let command = format!("{{\"id\":{id},\"unsubscribe\":{{\"channel\":\"room:1\"}}}}");
            frame(TEXT, command.as_bytes())
        })
        .collect();
    // Messages of no bytes are messages too: a million of them for each.
    let empty = frame(TEXT, b"").repeat(1_000_000);
    let (mut honest, mut hollow) = (Vec::new(), Vec::new());
    let mut raws = Vec::new();
    for _ in 0..2 * EACH {
        raws.push(Raw::open(edge.server().address).await);
    }
    for (n, mut raw) in raws.into_iter().enumerate() {
        raw.text(&connect).await;
        let (reader, mut writer) = raw.twins();
        if n % 2 == 0 {
            let commands = commands.clone();
            tokio::spawn(async move { writer.send(&commands).await });
            honest.push(tokio::spawn(all_answered(reader)));
        } else {
            let empty = empty.clone();
            // It ends when the server has closed the connection.
            tokio::spawn(async move { writer.try_send(&empty).await });
            hollow.push(reader);
        }
    }
    edge.still_serves().await;
    for answered in honest {
        answered.await.unwrap();
    }
    for mut reader in hollow {
        let reply = reader.recv().await;
        assert!(reply.starts_with("{\"id\":1,\"connect\":{"), "{reply}");
        match reader.next().await {
            Some((CLOSE, payload)) => assert_eq!(payload, b"\x0d\xadbad request"),
            other => panic!("a close frame expected: {other:?}"),
        }
    }
    // 64 KiB are parked, and what one turn reads beyond that: four buffers of 64 KiB. Kept messages take some more than
    // their bytes.
    edge.bore_it_within(2 * EACH as u64 * 2 * 5 * 64 * KIB)
        .await;
}
