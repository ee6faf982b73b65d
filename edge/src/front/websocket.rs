//! The WebSocket endpoint: checks the handshake and gives the raw stream to this thread's shard.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tidewire_protocol::Encoding;
use tokio::net::TcpStream;

use crate::services::Services;
use crate::shard;
use crate::shard::stream::Stream;
use crate::transport::origin::AllowedOrigins;
use crate::transport::websocket::deflate;
use crate::transport::websocket::handshake::{self, Upgrade};
use crate::transport::{Framing, Variant};

/// The endpoint's state.
#[derive(Clone, Debug)]
pub struct WebSocketFront {
    services: Services,
    origins: Arc<AllowedOrigins>,
}

impl WebSocketFront {
    /// The endpoint of a node; `origins` are `client.allowed_origins`.
    #[must_use]
    pub fn new(services: Services, origins: Arc<AllowedOrigins>) -> Self {
        Self { services, origins }
    }

    /// The route.
    pub fn router(self) -> Router {
        let path = self.services.settings.boot.websocket.handler_prefix.clone();
        Router::new().route(&path, any(upgrade)).with_state(self)
    }
}

async fn upgrade(State(front): State<WebSocketFront>, mut request: Request) -> Response {
    let accepted = handshake::upgrade(request.method(), request.headers(), request.uri().query());
    let upgrade = match accepted {
        Ok(upgrade) => upgrade,
        Err(refused) => return (refused.status, refused.body).into_response(),
    };
    if !front
        .origins
        .allows(request.headers().get(ORIGIN).map(HeaderValue::as_bytes))
    {
        return (StatusCode::FORBIDDEN, "Forbidden\n").into_response();
    }
    let encoding = if upgrade.encoding_protobuf {
        Encoding::Protobuf
    } else {
        Encoding::Json
    };
    let compression = front.services.settings.boot.websocket.compression;
    let extension = compression
        .then(|| deflate::negotiate(request.headers()))
        .flatten();
    let framing = match extension {
        None => Framing::WebSocket,
        Some(_) => Framing::WebSocketDeflate,
    };
    let variant = Variant { encoding, framing };
    tokio::task::spawn_local(hand_over(hyper::upgrade::on(&mut request), variant));
    switching(&upgrade, extension)
}

fn switching(upgrade: &Upgrade, extension: Option<&'static str>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&upgrade.accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(extension) = extension {
        headers.insert(
            SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_static(extension),
        );
    }
    if let Some(subprotocol) = upgrade.subprotocol {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
    }
    response
}

/// Takes the TCP stream out of the finished handshake; hyper's buffers end here.
async fn hand_over(upgraded: OnUpgrade, variant: Variant) {
    let upgraded: Upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a handshake was not finished");
            return;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("an upgraded connection is not a TCP stream");
        return;
    };
    match (Stream::tcp(parts.io.into_inner()), shard::current()) {
        (Ok(stream), Some(shard)) => shard.accept(stream, variant, &parts.read_buf),
        (Err(error), _) => tracing::debug!(%error, "a client left during its handshake"),
        (_, None) => tracing::error!("a handshake ended outside a shard"),
    }
}
