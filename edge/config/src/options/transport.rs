//! The transports between clients and server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::transform::HttpResponses;
use crate::Duration;

/// The WebSocket transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Websocket {
    /// Do not serve WebSocket connections.
    pub disabled: bool,
    /// Path of the WebSocket endpoint.
    pub handler_prefix: String,
    /// Compress messages for clients that can read them (permessage-deflate).
    pub compression: bool,
    /// Smallest message in bytes that is compressed.
    pub compression_min_size: u32,
    /// How much time compression may take: 1 is fastest, 9 smallest.
    ///
    /// Negative values leave it to the compressor, which takes 6. A 0 in a file means the default, as everywhere; from
    /// the environment or a flag it stores without compressing.
    #[schemars(range(min = -2, max = 9))]
    pub compression_level: i32,
    /// Bytes of the buffer for reading from a connection; 0 lets the server choose.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub read_buffer_size: u32,
    /// Bytes of the buffer for writing to a connection; 0 lets the server choose.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub write_buffer_size: u32,
    /// Share the buffers for writing between connections.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub use_write_buffer_pool: bool,
    /// Longest time that writing to a connection may take before it is closed.
    pub write_timeout: Duration,
    /// Largest message from a client in bytes; a larger one closes the connection.
    #[schemars(range(min = 1))]
    pub message_size_limit: u32,
    /// Largest message from a client in bytes after decompression; 0 means ten times the other limit.
    pub decompressed_message_size_limit: u32,
}

impl Default for Websocket {
    fn default() -> Self {
        Self {
            disabled: false,
            handler_prefix: "/connection/websocket".to_owned(),
            compression: false,
            compression_min_size: 0,
            compression_level: 1,
            read_buffer_size: 0,
            write_buffer_size: 0,
            use_write_buffer_pool: false,
            write_timeout: Duration::from_secs(1),
            message_size_limit: 65_536,
            decompressed_message_size_limit: 0,
        }
    }
}

impl Websocket {
    /// The limit that applies to a message after decompression, in bytes.
    pub fn decompressed_limit(&self) -> u32 {
        match self.decompressed_message_size_limit {
            0 => self.message_size_limit.saturating_mul(10),
            limit => limit,
        }
    }
}

/// Server-sent events downwards, requests upwards: see [`Emulation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sse {
    /// Serve server-sent events on the listener for clients.
    pub enabled: bool,
    /// Path of the endpoint for server-sent events.
    pub handler_prefix: String,
    /// Largest request body in bytes; a larger one is refused.
    #[schemars(range(min = 1))]
    pub max_request_body_size: u32,
}

impl Default for Sse {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/sse".to_owned(),
            max_request_body_size: 65_536,
        }
    }
}

/// A streamed response downwards, requests upwards: see [`Emulation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpStream {
    /// Serve streamed responses on the listener for clients.
    pub enabled: bool,
    /// Path of the endpoint for streamed responses.
    pub handler_prefix: String,
    /// Largest request body in bytes; a larger one is refused.
    #[schemars(range(min = 1))]
    pub max_request_body_size: u32,
}

impl Default for HttpStream {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/http_stream".to_owned(),
            max_request_body_size: 65_536,
        }
    }
}

/// Where clients of SSE and HTTP streaming send their commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Emulation {
    /// Path of the endpoint; it is served when SSE or HTTP streaming is.
    pub handler_prefix: String,
    /// Largest request body in bytes; a larger one is refused.
    #[schemars(range(min = 1))]
    pub max_request_body_size: u32,
}

impl Default for Emulation {
    fn default() -> Self {
        Self {
            handler_prefix: "/emulation".to_owned(),
            max_request_body_size: 65_536,
        }
    }
}

/// The WebSocket transport for clients that only listen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UniWebsocket {
    /// Serve unidirectional WebSocket connections on the listener for clients.
    pub enabled: bool,
    /// Path of the unidirectional WebSocket endpoint.
    pub handler_prefix: String,
    /// Compress messages for clients that can read them (permessage-deflate).
    pub compression: bool,
    /// Smallest message in bytes that is compressed.
    pub compression_min_size: u32,
    /// How much time compression may take: 1 is fastest, 9 smallest.
    ///
    /// Negative values leave it to the compressor, which takes 6. A 0 in a file means the default, as everywhere; from
    /// the environment or a flag it stores without compressing.
    #[schemars(range(min = -2, max = 9))]
    pub compression_level: i32,
    /// Bytes of the buffer for reading from a connection; 0 lets the server choose.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub read_buffer_size: u32,
    /// Bytes of the buffer for writing to a connection; 0 lets the server choose.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub write_buffer_size: u32,
    /// Share the buffers for writing between connections.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub use_write_buffer_pool: bool,
    /// Longest time that writing to a connection may take before it is closed.
    pub write_timeout: Duration,
    /// Largest message from a client in bytes; a larger one closes the connection.
    #[schemars(range(min = 1))]
    pub message_size_limit: u32,
    /// Largest message from a client in bytes after decompression; 0 means ten times the other limit.
    pub decompressed_message_size_limit: u32,
    /// Close connections without the closing handshake of WebSocket.
    pub disable_closing_handshake: bool,
    /// Do not push code and reason of a disconnect before closing.
    pub disable_disconnect_push: bool,
    /// Put several pushes into one message, each on a line of its own.
    ///
    /// A message never holds more than one push here; what goes out together shares a packet instead.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub join_push_messages: bool,
}

impl Default for UniWebsocket {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/uni_websocket".to_owned(),
            compression: false,
            compression_min_size: 0,
            compression_level: 1,
            read_buffer_size: 0,
            write_buffer_size: 0,
            use_write_buffer_pool: false,
            write_timeout: Duration::from_secs(1),
            message_size_limit: 65_536,
            decompressed_message_size_limit: 0,
            disable_closing_handshake: false,
            disable_disconnect_push: false,
            join_push_messages: false,
        }
    }
}

impl UniWebsocket {
    /// The limit that applies to a message after decompression, in bytes.
    pub fn decompressed_limit(&self) -> u32 {
        match self.decompressed_message_size_limit {
            0 => self.message_size_limit.saturating_mul(10),
            limit => limit,
        }
    }
}

/// Server-sent events for clients that only listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UniSse {
    /// Serve unidirectional server-sent events on the listener for clients.
    pub enabled: bool,
    /// Path of the unidirectional endpoint for server-sent events.
    pub handler_prefix: String,
    /// Largest request body in bytes; a larger one is refused.
    #[schemars(range(min = 1))]
    pub max_request_body_size: u32,
    /// How failed connect commands are answered.
    pub connect_code_to_http_response: HttpResponses,
}

impl Default for UniSse {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/uni_sse".to_owned(),
            max_request_body_size: 65_536,
            connect_code_to_http_response: HttpResponses::default(),
        }
    }
}

/// A streamed response for clients that only listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct UniHttpStream {
    /// Serve unidirectional streamed responses on the listener for clients.
    pub enabled: bool,
    /// Path of the unidirectional endpoint for streamed responses.
    pub handler_prefix: String,
    /// Largest request body in bytes; a larger one is refused.
    #[schemars(range(min = 1))]
    pub max_request_body_size: u32,
    /// How failed connect commands are answered.
    pub connect_code_to_http_response: HttpResponses,
}

impl Default for UniHttpStream {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/uni_http_stream".to_owned(),
            max_request_body_size: 65_536,
            connect_code_to_http_response: HttpResponses::default(),
        }
    }
}

/// The endpoint that clients ask before they connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Init {
    /// Serve an endpoint that answers `{}`, on the listener for clients.
    ///
    /// A request to it prepares what a connection needs: name, route and TLS session.
    pub enabled: bool,
    /// Path of the endpoint.
    pub handler_prefix: String,
}

impl Default for Init {
    fn default() -> Self {
        Self {
            enabled: false,
            handler_prefix: "/connection/init".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{UniWebsocket, Websocket};

    #[test]
    fn a_message_may_grow_tenfold_when_decompressed_unless_a_limit_says_otherwise() {
        let mut websocket = Websocket::default();
        assert_eq!(websocket.decompressed_limit(), 655_360);
        websocket.message_size_limit = u32::MAX;
        assert_eq!(websocket.decompressed_limit(), u32::MAX);
        websocket.decompressed_message_size_limit = 7;
        assert_eq!(websocket.decompressed_limit(), 7);
        let unidirectional = UniWebsocket {
            message_size_limit: 10,
            ..UniWebsocket::default()
        };
        assert_eq!(unidirectional.decompressed_limit(), 100);
    }
}
