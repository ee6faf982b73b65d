//! Client connections: who may connect, and their limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::token::{SubscriptionToken, Token};
use super::transform::UnidirectionalDisconnects;
use crate::Duration;

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
    /// How subscription tokens are verified, where that differs from connection tokens.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub subscription_token: SubscriptionToken,
    /// Connect anybody without a token and permit everything, for development only.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub insecure: bool,
    /// Believe tokens without checking their signature, for development only.
    ///
    /// Issuer, audience and expiry are still checked.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub insecure_skip_token_signature_verify: bool,
    /// Connect clients that bring no token, as the anonymous user.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub allow_anonymous_connect_without_token: bool,
    /// Refuse tokens that name no user.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub disallow_anonymous_connection_tokens: bool,
    /// Header of the connection request that names the user; empty reads none.
    ///
    /// Only behind a proxy that sets this header itself and drops what clients send.
    pub user_id_http_header: String,
    /// The channel that every user is subscribed to without asking.
    #[schemars(extend("x-tidewire-change" = "live"))]
    pub subscribe_to_user_personal_channel: PersonalChannel,
    /// Time between two pings to a client; must be longer than `pong_timeout`.
    pub ping_interval: Duration,
    /// Longest wait for the answer to a ping before the connection is closed.
    pub pong_timeout: Duration,
    /// Time in which a new connection must send its connect command.
    pub stale_close_delay: Duration,
    /// Time in which a client may refresh a connection that has expired.
    pub expired_close_delay: Duration,
    /// Time in which a client may refresh a subscription that has expired.
    pub expired_sub_close_delay: Duration,
    /// Time between two rounds of upkeep of a client: presence, expiry and position.
    pub presence_update_interval: Duration,
    /// Shortest time between two checks of a subscriber's position.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub channel_position_check_delay: Duration,
    /// Longest delay of publications that a positioned subscriber accepts; 0 sets no limit.
    #[schemars(extend("x-tidewire-effect" = "none"))]
    pub channel_position_max_time_lag: Duration,
    /// Most commands of one client that wait for an answer at once; 0 and 1 take them in turn.
    pub concurrency: u32,
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
    /// Most new connections per second on this node; 0 sets no limit, the rest is answered 503.
    pub connection_rate_limit: u32,
    /// Tell the server's time in the connect reply.
    pub connect_include_server_time: bool,
    /// Most publications in one answer to a history command.
    pub history_max_publication_limit: u32,
    /// Most publications that a client recovers; a longer gap counts as not recovered.
    pub recovery_max_publication_limit: u32,
    /// How failed connect commands of unidirectional clients are reported.
    pub connect_code_to_unidirectional_disconnect: UnidirectionalDisconnects,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            token: Token::default(),
            subscription_token: SubscriptionToken::default(),
            insecure: false,
            insecure_skip_token_signature_verify: false,
            allow_anonymous_connect_without_token: false,
            disallow_anonymous_connection_tokens: false,
            user_id_http_header: String::new(),
            subscribe_to_user_personal_channel: PersonalChannel::default(),
            ping_interval: Duration::from_secs(25),
            pong_timeout: Duration::from_secs(8),
            stale_close_delay: Duration::from_secs(10),
            expired_close_delay: Duration::from_secs(25),
            expired_sub_close_delay: Duration::from_secs(25),
            presence_update_interval: Duration::from_secs(27),
            channel_position_check_delay: Duration::from_secs(40),
            channel_position_max_time_lag: Duration::ZERO,
            concurrency: 0,
            channel_limit: 128,
            queue_max_size: 1_048_576,
            connection_limit: 0,
            user_connection_limit: 0,
            connection_rate_limit: 0,
            connect_include_server_time: false,
            history_max_publication_limit: 300,
            recovery_max_publication_limit: 300,
            connect_code_to_unidirectional_disconnect: UnidirectionalDisconnects::default(),
        }
    }
}

/// The channel that every user is subscribed to without asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PersonalChannel {
    /// Subscribe every user who is not anonymous to a channel of their own.
    pub enabled: bool,
    /// Namespace of these channels; empty means that they have none.
    ///
    /// The channel of user 42 is `#42`, in the namespace `ns` it is `ns:#42`.
    pub personal_channel_namespace: String,
    /// Close older connections of a user who connects again; needs presence in that namespace.
    ///
    /// Two that connect at the same moment may both stay.
    pub single_connection: bool,
}
