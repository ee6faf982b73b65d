//! Client connections: who may connect, and their limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Secret};

/// Client connections: who may connect, and their limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Client {
    /// Patterns of origins from which browsers may connect; empty admits only requests without one.
    ///
    /// A pattern is matched against the whole lower-cased Origin header: `*` stands for any text,
    /// `?` for one character, and `[]` and `{}` for choices. A single `*` admits every origin.
    pub allowed_origins: Vec<String>,
    /// How connection tokens are verified.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub token: Token,
    /// Connect anybody without a token and permit everything, for development only.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub insecure: bool,
    /// Connect clients that bring no token, as the anonymous user.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub allow_anonymous_connect_without_token: bool,
    /// Refuse tokens that name no user.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub disallow_anonymous_connection_tokens: bool,
    /// Time between two pings to a client; must be longer than `pong_timeout`.
    pub ping_interval: Duration,
    /// Longest wait for the answer to a ping before the connection is closed.
    pub pong_timeout: Duration,
    /// Time in which a new connection must send its connect command.
    pub stale_close_delay: Duration,
    /// Time in which a client may refresh a connection that has expired.
    pub expired_close_delay: Duration,
    /// Most channels that one client may subscribe to.
    #[schemars(range(min = 1))]
    pub channel_limit: u32,
    /// Most bytes that wait for one client; a slower client is disconnected.
    #[schemars(range(min = 1))]
    pub queue_max_size: u32,
    /// Most clients on this node; 0 sets no limit, and further ones are answered with status 503.
    pub connection_limit: u32,
    /// Most connections of one user on this node; 0 sets no limit.
    pub user_connection_limit: u32,
    /// Tell the server's time in the connect reply.
    pub connect_include_server_time: bool,
    /// Most publications in one answer to a history command.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub history_max_publication_limit: u32,
    /// Most publications that a client recovers; a longer gap counts as not recovered.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub recovery_max_publication_limit: u32,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            token: Token::default(),
            insecure: false,
            allow_anonymous_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            channel_limit: 128,
            queue_max_size: 1_048_576,
            connection_limit: 0,
            user_connection_limit: 0,
            connect_include_server_time: false,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
        }
    }
}

/// How tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Token {
    /// Key of tokens signed with HS256, HS384 or HS512; empty accepts none.
    #[serde(skip_serializing)]
    pub hmac_secret_key: Secret<String>,
    /// Key that is also accepted while keys are exchanged; empty accepts none.
    #[serde(skip_serializing)]
    pub hmac_previous_secret_key: Secret<String>,
    /// Unix time in seconds until which the previous key is accepted; 0 sets no limit.
    #[schemars(range(min = 0))]
    pub hmac_previous_secret_key_valid_until: i64,
    /// Audience that a token must name; empty does not check it.
    pub audience: String,
    /// Issuer that a token must name; empty does not check it.
    pub issuer: String,
    /// Claim that holds the user; empty means `sub`.
    ///
    /// Its name consists of letters and underscores.
    pub user_id_claim: String,
}
