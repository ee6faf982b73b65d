//! Small messages that unfold to hundreds of megabytes.

use flate2::{Compress, Compression, FlushCompress};
use serde_json::json;

use crate::edge::{Edge, KIB, MIB};
use crate::support::raw::{RSV1, Raw, TEXT, UPGRADE, frame};

/// 400 MiB of spaces, compressed to as many bytes as the ratio of DEFLATE allows.
fn bomb() -> Vec<u8> {
    let spaces = vec![b' '; 1 << 20];
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(1 << 14);
    // A full flush: the block refers to nothing before it, so it may stand 400 times.
    compress
        .compress_vec(&spaces, &mut block, FlushCompress::Full)
        .unwrap();
    assert_eq!(compress.total_in(), spaces.len() as u64);
    let bomb = block.repeat(400);
    bomb.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

#[tokio::test]
async fn a_bomb_is_refused_as_soon_as_it_is_larger_than_the_limit() {
    let options = json!({"websocket": {
        "compression": true,
        "message_size_limit": MIB,
        "decompressed_message_size_limit": 2 * MIB,
    }});
    let mut edge = Edge::start("bombs", &options).await;
    let bomb = bomb();
    assert!((bomb.len() as u64) < MIB, "{} bytes", bomb.len());
    let message = frame(RSV1 | TEXT, &bomb);
    let mut headers = UPGRADE.to_vec();
    headers.push(("Sec-WebSocket-Extensions", "permessage-deflate"));
    for _ in 0..20 {
        let mut raw = Raw::dial(edge.server().address).await;
        let head = raw.request("GET", "/connection/websocket", &headers).await;
        assert_eq!(head.status, 101);
        raw.send(&message).await;
        let expected = (1009, "message too big after decompression".to_owned());
        assert_eq!(raw.closed().await, expected);
        edge.still_serves().await;
    }
    // The message while it is received, and what was unfolded up to the limit; each is copied once when it grows.
    edge.bore_it_within(2 * MIB + 2 * (2 * MIB + KIB)).await;
}
