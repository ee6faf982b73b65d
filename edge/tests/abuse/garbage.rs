//! Bytes that mean nothing.

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use serde_json::json;

use crate::edge::{Edge, KIB};
use crate::support::raw::{BINARY, CLOSE, Raw, TEXT, frame};
use crate::support::token;

const CONNECTIONS: usize = 300;

fn garbage(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..4096)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// The code of the close frame that must come, whatever comes before it.
async fn close_code(raw: &mut Raw) -> u16 {
    loop {
        match raw.next().await {
            Some((CLOSE, payload)) if payload.is_empty() => return 1005,
            Some((CLOSE, payload)) => return u16::from_be_bytes([payload[0], payload[1]]),
            Some(_) => {}
            None => panic!("cut without a close frame"),
        }
    }
}

#[tokio::test]
async fn it_ends_the_connection_that_it_came_on_and_no_other() {
    let options = json!({"client": {"stale_close_delay": "5s"}});
    let mut edge = Edge::start("garbage", &options).await;
    let address = edge.server().address;
    let mut random = StdRng::seed_from_u64(42);
    let connect = json!({"id": 1, "connect": {"token": token::of("noise")}}).to_string();
    for n in 0..CONNECTIONS {
        let noise = garbage(&mut random);
        match n % 4 {
            // Instead of a request.
            0 => {
                let mut raw = Raw::dial(address).await;
                raw.send(&noise).await;
                // A line that never ends is no error yet.
                raw.send(b"\r\n\r\n").await;
                let answer = raw.rest().await;
                assert!(
                    answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
                    "{:?}",
                    String::from_utf8_lossy(&answer)
                );
            }
            // Instead of frames. What happens to be the beginning of one waits for the rest until it is stale.
            1 => {
                let mut raw = Raw::open(address).await;
                raw.send(&noise).await;
                let code = close_code(&mut raw).await;
                assert!(
                    matches!(code, 1000..=1014 | 3000..=4999),
                    "{code}: {noise:?}"
                );
            }
            // Instead of a connect.
            2 => {
                let mut raw = Raw::open(address).await;
                raw.send(&frame(BINARY, &noise)).await;
                assert_eq!(close_code(&mut raw).await, 3501, "{noise:?}");
            }
            // Instead of another command.
            _ => {
                let mut raw = Raw::open(address).await;
                raw.text(&connect).await;
                raw.recv().await;
                raw.send(&frame(TEXT, &noise)).await;
                assert_eq!(close_code(&mut raw).await, 3501, "{noise:?}");
            }
        }
    }
    edge.still_serves().await;
    edge.bore_it_within(CONNECTIONS as u64 * 8 * KIB).await;
}
