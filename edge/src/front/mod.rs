//! The HTTP side of a shard: serving accepted sockets with axum until a client's handshake takes the raw
//! stream away.

mod accept;
mod connections;
mod demo;
mod rate;
mod streams;
mod websocket;

use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tidewire_config::Config;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::shard::Shard;
use crate::shard::inbox::{Event, Listener};
use crate::shard::stream;
use crate::transport::http::Refused;

pub use accept::{accept, bind};
pub use connections::Connections;
pub use demo::demo;
pub use streams::StreamFront;
pub use websocket::WebSocketFront;

/// Time for a request's head, so that half a handshake holds nothing.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Ends the HTTP connection on which a request came, whatever its client does not read.
#[derive(Clone, Debug)]
struct Abort(CancellationToken);

/// Bytes that hyper may buffer of a request or a response.
const BUFFER_MAX: usize = 64 * 1024;

/// Sockets of one shard that may be in HTTP at once; the surplus is told to come again.
const IN_FLIGHT_MAX: u64 = 4096;

const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n";

/// The routers of the two listeners.
#[derive(Clone, Debug)]
pub struct Routers {
    /// Client transports; everything, if there is no internal listener.
    pub external: Router,
    /// API, health, metrics, status.
    pub internal: Router,
}

impl Routers {
    /// What a shard does with the sockets it is given.
    pub fn serve(self, shard: Rc<Shard>, stop: CancellationToken) -> impl Fn(Event) + 'static {
        move |event| {
            let Event::Socket(socket, listener) = event else {
                return;
            };
            let router = match listener {
                Listener::External => self.external.clone(),
                Listener::Internal => self.internal.clone(),
            };
            let socket = TcpStream::from_std(socket);
            match socket.and_then(|socket| stream::set_up(&socket).map(|()| socket)) {
                Ok(socket) => {
                    tokio::task::spawn_local(serve(
                        Rc::clone(&shard),
                        socket,
                        router,
                        stop.clone(),
                    ));
                }
                Err(error) => tracing::warn!(%error, "an accepted socket could not be registered"),
            }
        }
    }
}

/// The user that the header of `client.user_id_http_header` names.
///
/// # Errors
/// The header stands twice, one of them perhaps the client's own, or is not UTF-8.
fn user_of(headers: &HeaderMap, boot: &Config) -> Result<Option<Box<str>>, Refused> {
    let name = &boot.client.user_id_http_header;
    if name.is_empty() {
        return Ok(None);
    }
    let mut values = headers.get_all(name).iter();
    let (Some(user), None) = (values.next(), values.next()) else {
        return match headers.contains_key(name) {
            true => Err(Refused::BadRequest),
            false => Ok(None),
        };
    };
    let user = std::str::from_utf8(user.as_bytes()).map_err(|_not_text| Refused::BadRequest)?;
    Ok((!user.is_empty()).then(|| user.into()))
}

async fn serve(shard: Rc<Shard>, socket: TcpStream, router: Router, stop: CancellationToken) {
    let open = &shard.handle.counters.http_connections;
    if open.value() >= IN_FLIGHT_MAX {
        if let Err(error) = socket.try_write(BUSY) {
            tracing::trace!(%error, "a refused socket was gone");
        }
        return;
    }
    open.add(1);
    // A stream's body is not counted while it lives: it must have ended before this is taken back.
    serve_http(socket, router, stop).await;
    open.sub(1);
}

async fn serve_http(socket: TcpStream, router: Router, stop: CancellationToken) {
    let abort = CancellationToken::new();
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Abort(abort.clone()));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = abort.cancelled() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "an HTTP connection ended");
    }
}
