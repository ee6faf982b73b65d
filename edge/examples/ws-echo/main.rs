//! A WebSocket echo server for conformance runs against the edge's WebSocket layer.
//!
//! `cargo run --example ws-echo -- PORT` serves on that port of 127.0.0.1, 0 being any free one.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::net::TcpListener;

mod echo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).context("the port is missing")?;
    let port: u16 = port.parse().context("the port is not a number")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    eprintln!("echoing on ws://{}", listener.local_addr()?);
    echo::serve(listener, echo::Limits::default()).await?;
    Ok(())
}
