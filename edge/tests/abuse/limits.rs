//! Messages at the size limit, whole and in fragments, hundreds of them unfinished at once.

use serde_json::json;

use crate::edge::{Edge, KIB};
use crate::support::raw::{CONTINUATION, Raw, TEXT, fragment, frame};
use crate::support::token;

const LIMIT: usize = 64 << 10;
const HEAD: &str = "{\"id\":2,\"publish\":{\"channel\":\"room:1\",\"data\":\"";
const TAIL: &str = "\"}}";

/// A command of exactly the limit.
fn command() -> Vec<u8> {
    let data = "x".repeat(LIMIT - HEAD.len() - TAIL.len());
    format!("{HEAD}{data}{TAIL}").into_bytes()
}

/// A message in fragments of so many bytes. The last one is not final, so that there may be more.
fn fragments(message: &[u8], size: usize) -> Vec<u8> {
    let mut opcode = TEXT;
    let parts = message.chunks(size).flat_map(|part| {
        let part = fragment(opcode, part);
        opcode = CONTINUATION;
        part
    });
    parts.collect()
}

#[tokio::test]
async fn a_message_of_the_limit_is_taken_and_one_byte_more_is_not() {
    const HELD: usize = 300;
    let options = json!({
        "client": {"stale_close_delay": "60s"},
        "websocket": {"message_size_limit": LIMIT},
    });
    let mut edge = Edge::start("limits", &options).await;
    let command = command();
    let whole = frame(TEXT, &command);
    let (most, last) = whole.split_at(whole.len() - 1);
    let parts = fragments(&command, 1000);
    let mut held = Vec::new();
    let connect = json!({"id": 1, "connect": {"token": token::of("large")}}).to_string();
    for n in 0..HELD {
        let mut raw = Raw::open(edge.server().address).await;
        raw.text(&connect).await;
        raw.recv().await;
        raw.send(if n % 3 == 0 { most } else { &parts }).await;
        held.push(raw);
    }
    edge.still_serves().await;
    for (n, raw) in held.iter_mut().enumerate() {
        match n % 3 {
            0 => raw.send(last).await,
            // An empty last fragment: the whole is still of the limit.
            1 => raw.send(&frame(CONTINUATION, b"")).await,
            _ => raw.send(&frame(CONTINUATION, b" ")).await,
        }
        if n % 3 == 2 {
            assert_eq!(raw.closed().await, (1009, String::new()));
        } else {
            assert_eq!(raw.recv().await, "{\"id\":2,\"publish\":{}}");
        }
    }
    // What grows by doubling may hold twice its length, and is copied when it moves.
    edge.bore_it_within(HELD as u64 * 2 * (64 + 8) * KIB).await;
}
