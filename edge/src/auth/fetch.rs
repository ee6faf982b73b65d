//! One GET of a JWKS endpoint.
//!
//! An endpoint is asked within a second, and a redirect is followed only within
//! the endpoint's origin: the configuration says whom to trust, not whoever
//! answers there. An answer that is too large is not read to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, LOCATION, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Uri, body::Incoming};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::client::WantsClientCert;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// The time for one attempt, redirects included.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The largest answer, in bytes. Sets of keys have a few thousand.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Redirects followed in one attempt.
const REDIRECTS_MAX: usize = 3;

/// Why there is no set of keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the address is not a URL")]
    Address(#[source] hyper::http::Error),
    #[error("the system's certificates cannot be loaded")]
    Certificates(#[source] io::Error),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the request failed")]
    Request(#[source] hyper_util::client::legacy::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer leads to another origin, or round and round")]
    Redirect,
    #[error("the answer breaks off or is larger than {ANSWER_BYTES_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer is not a set of keys")]
    NotASet(#[source] serde_json::Error),
}

/// The HTTP clients. The system's certificates are read when `https` is used
/// first; `http` works without any.
#[derive(Default)]
pub(super) struct Http {
    plain: OnceCell<HttpClient>,
    encrypted: OnceCell<HttpClient>,
}

type Tls<State> = ConfigBuilder<ClientConfig, State>;

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

impl Http {
    /// The body of the answer to one GET.
    pub(super) async fn get(&self, address: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = address
            .parse()
            .map_err(|invalid| FetchError::Address(hyper::http::Error::from(invalid)))?;
        let client = if uri.scheme_str() == Some("https") {
            self.encrypted.get_or_try_init(encrypted).await?
        } else {
            let plain =
                || async { connect(|tls| Ok(tls.with_root_certificates(RootCertStore::empty()))) };
            self.plain.get_or_try_init(plain).await?
        };
        timeout(TIMEOUT, follow(client, uri))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }
}

async fn encrypted() -> Result<HttpClient, FetchError> {
    // Reads files.
    tokio::task::spawn_blocking(|| connect(ConfigBuilderExt::with_native_roots))
        .await
        .unwrap_or_else(|stopped| Err(FetchError::Certificates(io::Error::other(stopped))))
}

/// Connections are not kept: fetches are an hour apart, and a kept one would
/// stay with the runtime of whoever happened to fetch.
fn connect(
    roots: impl FnOnce(Tls<WantsVerifier>) -> io::Result<Tls<WantsClientCert>>,
) -> Result<HttpClient, FetchError> {
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)
        .and_then(roots)
        .map_err(FetchError::Certificates)?
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector))
}

async fn follow(client: &HttpClient, mut uri: Uri) -> Result<Bytes, FetchError> {
    for _ in 0..=REDIRECTS_MAX {
        let request = Request::get(uri.clone())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("tidewire/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(FetchError::Address)?;
        let response = client.request(request).await.map_err(FetchError::Request)?;
        match response.status() {
            StatusCode::OK => return body(response).await,
            status if status.is_redirection() => {
                uri = target(&uri, &response).ok_or(FetchError::Redirect)?;
            }
            status => return Err(FetchError::Status(status)),
        }
    }
    Err(FetchError::Redirect)
}

async fn body(response: Response<Incoming>) -> Result<Bytes, FetchError> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map(|body| body.to_bytes())
        .map_err(FetchError::Body)
}

/// Where a redirect leads, if that is within the same origin. A path relative to
/// the current one is not understood.
fn target(from: &Uri, response: &Response<Incoming>) -> Option<Uri> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    if location.starts_with('/') && !location.starts_with("//") {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(location.parse::<PathAndQuery>().ok()?);
        return Uri::from_parts(parts).ok();
    }
    let to: Uri = location.parse().ok()?;
    (to.scheme().is_some() && origin(&to) == origin(from)).then_some(to)
}

/// Scheme, host and port (RFC 6454).
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default_port = match uri.scheme_str() {
        Some("https") => Some(443),
        _ => Some(80),
    };
    (
        uri.scheme_str(),
        uri.host().map(str::to_ascii_lowercase),
        uri.port_u16().or(default_port),
    )
}
