//! The endpoints whose clients read an endless response, and the one that takes the commands of those that also
//! send (client-protocol, sections 4 and 5).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Frame;
use tidewire_config::{HttpResponses, route_of};
use tidewire_protocol::Encoding;
use tokio::time::timeout;

use super::{Abort, user_of};
use crate::control::ControlError;
use crate::services::Services;
use crate::session::Link;
use crate::shard::pipe::{PipeBody, Refusal, pipe};
use crate::shard::stream::Stream;
use crate::shard::{self, Arrival, Handle};
use crate::transport::http::{self, Refused};
use crate::transport::{Framing, Variant, emulation, http_stream, sse, uni};

/// What the endpoints share.
#[derive(Clone, Debug)]
pub struct StreamFront(Services);

impl StreamFront {
    /// The endpoints of a node.
    #[must_use]
    pub fn new(services: Services) -> Self {
        Self(services)
    }

    /// The routes of the streams that are on.
    pub fn router(&self) -> Router {
        let boot = &self.0.settings.boot;
        let mut router = Router::new();
        if boot.http_stream.enabled {
            router = router.route(route_of(&boot.http_stream.handler_prefix), any(http_stream));
        }
        if boot.sse.enabled {
            router = router.route(route_of(&boot.sse.handler_prefix), any(sse));
        }
        if boot.uni_sse.enabled {
            router = router.route(route_of(&boot.uni_sse.handler_prefix), any(uni_sse));
        }
        if boot.uni_http_stream.enabled {
            router = router.route(
                route_of(&boot.uni_http_stream.handler_prefix),
                any(uni_http_stream),
            );
        }
        router.with_state(self.clone())
    }

    /// The route for commands, if a stream is on whose clients send any.
    pub fn emulation(&self) -> Router {
        let boot = &self.0.settings.boot;
        if !boot.http_stream.enabled && !boot.sse.enabled {
            return Router::new();
        }
        Router::new()
            .route(route_of(&boot.emulation.handler_prefix), any(emulate))
            .with_state(self.clone())
    }

    /// The message in a request's body.
    async fn message(&self, body: Body, size_max: u32) -> Result<Bytes, Refused> {
        let patience = self.0.settings.boot.client.stale_close_delay.get();
        let body = Limited::new(body, size_max as usize).collect();
        match timeout(patience, body).await {
            Ok(Ok(message)) => Ok(message.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::TooLarge),
            Ok(Err(_)) | Err(_) => Err(Refused::Aborted),
        }
    }

    /// Gives a client to this thread's shard; the response's body is its other end.
    fn open(
        &self,
        head: &Parts,
        variant: Variant,
        message: Vec<u8>,
    ) -> Result<StreamBody, Refused> {
        let Some(shard) = shard::current() else {
            tracing::error!("a stream was asked for outside a shard");
            return Err(Refused::Internal);
        };
        let Some(Abort(abort)) = head.extensions.get().cloned() else {
            tracing::error!("a stream was asked for on no connection");
            return Err(Refused::Internal);
        };
        let user = user_of(&head.headers, &self.0.settings.boot)?;
        let (pipe, body) = pipe(abort);
        let session = Box::new(shard.session_id());
        let link = if variant.unidirectional {
            Link::Unidirectional(session)
        } else {
            Link::Emulated(session)
        };
        shard.accept(Arrival {
            stream: Stream::Pipe(pipe),
            variant,
            link,
            user,
            message: Some(message),
            received: Vec::new(),
        });
        let preamble = match variant.framing {
            Framing::Sse => sse::PREAMBLE,
            Framing::HttpStream | Framing::WebSocket | Framing::WebSocketDeflate => b"",
        };
        Ok(StreamBody::new(body, preamble, Arc::clone(&shard.handle)))
    }

    /// The same for a client that only listens. `responses` may want a status instead of a stream that ends at
    /// once.
    async fn open_unidirectional(
        &self,
        head: &Parts,
        framing: Framing,
        message: Vec<u8>,
        responses: &HttpResponses,
    ) -> Result<Response, Refused> {
        let variant = Variant::unidirectional(framing);
        let body = self.open(head, variant, message)?;
        if responses.enabled
            && let Err(refusal) = body.body.opened().await
        {
            return Ok(answer(responses, refusal));
        }
        Ok(stream(head, variant, body))
    }
}

async fn http_stream(State(front): State<StreamFront>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let opened = async {
        let encoding = match http_stream::request(&head.method, &head.headers)? {
            http_stream::Request::Preflight => return Ok(preflight()),
            http_stream::Request::Open(encoding) => encoding,
        };
        let size_max = front.0.settings.boot.http_stream.max_request_body_size;
        let message = front.message(body, size_max).await?;
        let variant = Variant::bidirectional(encoding, Framing::HttpStream);
        let body = front.open(&head, variant, message.into())?;
        Ok(stream(&head, variant, body))
    };
    opened.await.unwrap_or_else(refuse)
}

async fn sse(State(front): State<StreamFront>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let opened = async {
        let message = match sse::request(&head.method, head.uri.query())? {
            sse::Initial::Query(message) => message,
            sse::Initial::Body => {
                let size_max = front.0.settings.boot.sse.max_request_body_size;
                front.message(body, size_max).await?.into()
            }
        };
        let variant = Variant::bidirectional(Encoding::Json, Framing::Sse);
        let body = front.open(&head, variant, message)?;
        Ok(stream(&head, variant, body))
    };
    opened.await.unwrap_or_else(refuse)
}

async fn uni_sse(State(front): State<StreamFront>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let options = &front.0.settings.boot.uni_sse;
    let opened = async {
        let message = match uni::sse_request(&head.method, head.uri.query())? {
            uni::Initial::Query(message) => message,
            uni::Initial::Body => connect(&front, body, options.max_request_body_size).await?,
        };
        let responses = &options.connect_code_to_http_response;
        front
            .open_unidirectional(&head, Framing::Sse, message, responses)
            .await
    };
    opened.await.unwrap_or_else(refuse)
}

async fn uni_http_stream(State(front): State<StreamFront>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let options = &front.0.settings.boot.uni_http_stream;
    let opened = async {
        if http_stream::request(&head.method, &head.headers)? == http_stream::Request::Preflight {
            return Ok(preflight());
        }
        let message = connect(&front, body, options.max_request_body_size).await?;
        let responses = &options.connect_code_to_http_response;
        front
            .open_unidirectional(&head, Framing::HttpStream, message, responses)
            .await
    };
    opened.await.unwrap_or_else(refuse)
}

/// The well-formed connect request in a body.
async fn connect(front: &StreamFront, body: Body, size_max: u32) -> Result<Vec<u8>, Refused> {
    let message = front.message(body, size_max).await?;
    uni::connect_request(&message)?;
    Ok(message.into())
}

async fn emulate(State(front): State<StreamFront>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let forwarded = async {
        let encoding = match http_stream::request(&head.method, &head.headers)? {
            http_stream::Request::Preflight => return Ok(preflight()),
            http_stream::Request::Open(encoding) => encoding,
        };
        let size_max = front.0.settings.boot.emulation.max_request_body_size;
        let body = front.message(body, size_max).await?;
        let emulated = emulation::read(encoding, &body)?;
        let (session, commands) = match emulated.commands {
            Some(commands) => (emulated.session, commands),
            // No session has this id: nobody gets what is no string.
            None => (String::new(), Bytes::new()),
        };
        let control = &front.0.control;
        match control.emulate(&emulated.node, &session, commands).await {
            Ok(true) => Ok(StatusCode::NO_CONTENT.into_response()),
            Ok(false) => Err(Refused::UnknownNode),
            Err(error) => {
                tracing::debug!(%error, "commands of an emulated client were not delivered");
                Err(match error {
                    ControlError::Busy => Refused::Busy,
                    ControlError::Pattern(_)
                    | ControlError::Disconnected
                    | ControlError::Failed { .. }
                    | ControlError::Timeout(_) => Refused::Internal,
                })
            }
        }
    };
    forwarded.await.unwrap_or_else(refuse)
}

fn refuse(refused: Refused) -> Response {
    refused.status().into_response()
}

fn preflight() -> Response {
    (StatusCode::NO_CONTENT, http::preflight_headers()).into_response()
}

fn stream(head: &Parts, variant: Variant, body: StreamBody) -> Response {
    let headers = match variant.framing {
        Framing::Sse => sse::response_headers(head.version),
        Framing::HttpStream | Framing::WebSocket | Framing::WebSocketDeflate => {
            http_stream::response_headers(head.version, variant.encoding)
        }
    };
    (headers, Body::new(body)).into_response()
}

/// The answer to a client that was not connected, where the configuration wants one.
fn answer(responses: &HttpResponses, refusal: Refusal) -> Response {
    let Some(to) = responses.find(refusal.code) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, refusal.text).into_response();
    };
    let status = StatusCode::from_u16(to.status_code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = match to.body.is_empty() {
        true => refusal.text,
        false => to.body.clone(),
    };
    (status, body).into_response()
}

/// A response's body. While it lives its socket counts as a client's, not as one in HTTP.
struct StreamBody {
    body: PipeBody,
    preamble: &'static [u8],
    shard: Arc<Handle>,
}

impl StreamBody {
    fn new(body: PipeBody, preamble: &'static [u8], shard: Arc<Handle>) -> Self {
        shard.counters.http_connections.sub(1);
        Self {
            body,
            preamble,
            shard,
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.shard.counters.http_connections.add(1);
    }
}

impl hyper::body::Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let preamble = std::mem::take(&mut self.preamble);
        if !preamble.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(preamble)))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
