//! The server side of WebSocket (RFC 6455): the opening handshake and the frames.
//!
//! No part touches a socket. [`handshake`] judges a request head, [`frame`] turns
//! received bytes into messages and builds what the server sends, [`deflate`]
//! compresses messages where both sides want it.

pub mod deflate;
pub mod frame;
pub mod handshake;
