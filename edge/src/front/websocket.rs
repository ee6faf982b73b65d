//! The two WebSocket endpoints: they check the handshake and give the raw stream to this thread's shard.

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
use tidewire_config::route_of;
use tidewire_protocol::Encoding;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::user_of;
use crate::services::Services;
use crate::session::Link;
use crate::shard::stream::Stream;
use crate::shard::{self, Arrival};
use crate::transport::origin::AllowedOrigins;
use crate::transport::uni;
use crate::transport::websocket::deflate;
use crate::transport::websocket::handshake::{self, Refused, Upgrade};
use crate::transport::{Framing, Variant};

/// What the endpoints share.
#[derive(Clone, Debug)]
pub struct WebSocketFront {
    services: Services,
    origins: Arc<AllowedOrigins>,
}

impl WebSocketFront {
    /// The endpoints of a node; `origins` are `client.allowed_origins`.
    #[must_use]
    pub fn new(services: Services, origins: Arc<AllowedOrigins>) -> Self {
        Self { services, origins }
    }

    /// The routes of the endpoints that are on.
    pub fn router(self) -> Router {
        let boot = &self.services.settings.boot;
        let mut router = Router::new();
        if !boot.websocket.disabled {
            router = router.route(route_of(&boot.websocket.handler_prefix), any(bidirectional));
        }
        if boot.uni_websocket.enabled {
            router = router.route(
                route_of(&boot.uni_websocket.handler_prefix),
                any(unidirectional),
            );
        }
        router.with_state(self)
    }

    /// Judges a handshake.
    fn accepted(&self, request: &Request) -> Result<Upgrade, Refused> {
        let upgrade =
            handshake::upgrade(request.method(), request.headers(), request.uri().query())?;
        let origin = request.headers().get(ORIGIN).map(HeaderValue::as_bytes);
        if !self.origins.allows(origin) {
            return Err(Refused::FORBIDDEN);
        }
        Ok(upgrade)
    }
}

async fn bidirectional(State(front): State<WebSocketFront>, request: Request) -> Response {
    let upgrade = match front.accepted(&request) {
        Ok(upgrade) => upgrade,
        Err(refused) => return (refused.status, refused.body).into_response(),
    };
    let encoding = if upgrade.encoding_protobuf {
        Encoding::Protobuf
    } else {
        Encoding::Json
    };
    let boot = &front.services.settings.boot;
    let Ok(user) = user_of(request.headers(), boot) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let extension = extension(&request, boot.websocket.compression);
    let client = Client {
        variant: Variant::bidirectional(encoding, framing(extension)),
        link: Link::Duplex {
            frame_pings: upgrade.frame_ping_pong,
        },
        user,
        message: None,
    };
    switch(
        request,
        client,
        &upgrade.accept,
        extension,
        upgrade.subprotocol,
    )
}

/// The connect request of a unidirectional client is in the query, or is its first message.
async fn unidirectional(State(front): State<WebSocketFront>, request: Request) -> Response {
    let upgrade = match front.accepted(&request) {
        Ok(upgrade) => upgrade,
        Err(refused) => return (refused.status, refused.body).into_response(),
    };
    let Ok(message) = uni::connect_from_query(request.uri().query()) else {
        return (StatusCode::BAD_REQUEST, uni::INVALID_CONNECT).into_response();
    };
    let boot = &front.services.settings.boot;
    let Ok(user) = user_of(request.headers(), boot) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let extension = extension(&request, boot.uni_websocket.compression);
    let client = Client {
        variant: Variant::unidirectional(framing(extension)),
        link: Link::Unidirectional(Box::new(Uuid::new_v4())),
        user,
        message,
    };
    switch(request, client, &upgrade.accept, extension, None)
}

/// What the extension header of the response says, if compression is on and the client offered it.
fn extension(request: &Request, compression: bool) -> Option<&'static str> {
    compression
        .then(|| deflate::negotiate(request.headers()))
        .flatten()
}

fn framing(extension: Option<&'static str>) -> Framing {
    match extension {
        None => Framing::WebSocket,
        Some(_) => Framing::WebSocketDeflate,
    }
}

/// A client whose stream is still in hyper's hands.
struct Client {
    variant: Variant,
    link: Link,
    user: Option<Box<str>>,
    message: Option<Vec<u8>>,
}

fn switch(
    mut request: Request,
    client: Client,
    accept: &str,
    extension: Option<&'static str>,
    subprotocol: Option<&'static str>,
) -> Response {
    tokio::task::spawn_local(hand_over(hyper::upgrade::on(&mut request), client));
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(extension) = extension {
        headers.insert(
            SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_static(extension),
        );
    }
    if let Some(subprotocol) = subprotocol {
        headers.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(subprotocol),
        );
    }
    response
}

/// Takes the TCP stream out of the finished handshake; hyper's buffers end here.
async fn hand_over(upgraded: OnUpgrade, client: Client) {
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
    let Some(shard) = shard::current() else {
        tracing::error!("a handshake ended outside a shard");
        return;
    };
    let Client {
        variant,
        link,
        user,
        message,
    } = client;
    shard.accept(Arrival {
        stream: Stream::Tcp(parts.io.into_inner()),
        variant,
        link,
        user,
        message,
        received: parts.read_buf.to_vec(),
    });
}
