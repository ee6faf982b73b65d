//! Channel names, namespaces and what clients may do in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::closed_set::closed_set;
use crate::Duration;

/// Channel names, namespaces and what clients may do in them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Channel {
    /// Options of channels whose name has no namespace.
    pub without_namespace: ChannelOptions,
    /// Namespaces: the part of a channel's name before the boundary selects its options.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]
    ))]
    pub namespaces: Vec<ChannelNamespace>,
    /// How long a stream's position outlives its last publication.
    pub history_meta_ttl: Duration,
    /// Format of published data in namespaces that set none.
    pub publication_data_format: DataFormat,
    /// Most bytes in the name of a channel that a client subscribes to.
    #[schemars(range(min = 1))]
    pub max_length: u32,
    /// First part of names that always need a subscription token.
    pub private_prefix: String,
    /// What separates the namespace from the rest of a name; its first occurrence counts.
    pub namespace_boundary: String,
    /// What separates the permitted users from the rest of a name; its last occurrence counts.
    pub user_boundary: String,
    /// What separates the permitted users from each other.
    pub user_separator: String,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            without_namespace: ChannelOptions::default(),
            namespaces: Vec::new(),
            history_meta_ttl: Duration::from_secs(720 * 3600),
            publication_data_format: DataFormat::Unset,
            max_length: 255,
            private_prefix: "$".to_owned(),
            namespace_boundary: ":".to_owned(),
            user_boundary: "#".to_owned(),
            user_separator: ",".to_owned(),
        }
    }
}

/// A namespace: a name, and the options of the channels in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelNamespace {
    /// Name of the namespace, at least two letters, digits, dots, hyphens or underscores.
    #[schemars(regex(pattern = r"^[-a-zA-Z0-9_.]{2,}$"))]
    pub name: String,
    /// The options of its channels, at the same level as the name.
    #[serde(flatten)]
    pub options: ChannelOptions,
}

/// What happens in the channels of one namespace, and who may do it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChannelOptions {
    /// Keep track of who is subscribed.
    pub presence: bool,
    /// Emit an event when a client joins or leaves.
    pub join_leave: bool,
    /// Deliver join and leave events to all subscribers, asked for or not.
    pub force_push_join_leave: bool,
    /// Most publications kept in a channel's history; needs `history_ttl`, and 0 keeps none.
    pub history_size: u32,
    /// How long publications are kept, in whole seconds; needs `history_size`.
    pub history_ttl: Duration,
    /// How long a stream's position is kept, in whole seconds; 0 means `channel.history_meta_ttl`.
    pub history_meta_ttl: Duration,
    /// Track the position of every subscriber, to notice lost publications.
    pub force_positioning: bool,
    /// Let clients ask for the tracking of their position.
    pub allow_positioning: bool,
    /// Recover missed publications for every subscriber; needs history.
    pub force_recovery: bool,
    /// Let clients ask for the recovery of missed publications.
    pub allow_recovery: bool,
    /// What is recovered: all that was missed, or only the latest publication.
    pub force_recovery_mode: RecoveryMode,
    /// Recover the latest publication at every subscription; needs forced recovery in cache mode.
    pub auto_cache_recover: bool,
    /// Kinds of deltas that clients may ask for in place of whole publications; empty permits none.
    pub allowed_delta_types: Vec<DeltaType>,
    /// Keep what is needed to send deltas of every publication, however it is published.
    pub delta_publish: bool,
    /// Let clients receive only those publications whose tags pass a filter.
    pub allow_tags_filter: bool,
    /// Let users subscribe without a subscription token.
    pub allow_subscribe_for_client: bool,
    /// Let anonymous users subscribe too; works only together with `allow_subscribe_for_client`.
    pub allow_subscribe_for_anonymous: bool,
    /// Let users publish.
    pub allow_publish_for_client: bool,
    /// Let those publish who are subscribed.
    pub allow_publish_for_subscriber: bool,
    /// Extend the permission to publish to anonymous users.
    pub allow_publish_for_anonymous: bool,
    /// Let users ask who is subscribed.
    pub allow_presence_for_client: bool,
    /// Let subscribers ask who is subscribed.
    pub allow_presence_for_subscriber: bool,
    /// Extend the permission to ask who is subscribed to anonymous users.
    pub allow_presence_for_anonymous: bool,
    /// Let users read the history.
    pub allow_history_for_client: bool,
    /// Let subscribers read the history.
    pub allow_history_for_subscriber: bool,
    /// Extend the permission to read the history to anonymous users.
    pub allow_history_for_anonymous: bool,
    /// Let the end of a channel's name list the users who may subscribe.
    pub allow_user_limited_channels: bool,
    /// Regular expression for the part of a name after the namespace; empty accepts ASCII names.
    ///
    /// It may match anywhere in that part: anchor it with `^` and `$` to describe the whole.
    pub channel_regex: String,
    /// Format of published data; empty means `channel.publication_data_format`.
    pub publication_data_format: DataFormat,
    /// Kind of subscriptions.
    ///
    /// Only streams are supported yet: channels of another kind are refused, the rest of the configuration works.
    pub subscription_type: SubscriptionType,
}

/// A kind of delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum DeltaType {
    /// The delta format of the Fossil version control system.
    Fossil,
}

/// A kind of subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum SubscriptionType {
    /// As `stream`.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Publications one after another.
    Stream,
    /// Keys and values; not supported yet.
    Map,
    /// A map whose keys are clients; not supported yet.
    MapClients,
    /// A map whose keys are users; not supported yet.
    MapUsers,
    /// Values that the node asks a backend for; not supported yet.
    SharedPoll,
}

impl SubscriptionType {
    /// The number by which clients ask for this kind (client-protocol, section 9).
    pub fn number(self) -> i32 {
        match self {
            Self::Unset | Self::Stream => 0,
            Self::Map => 1,
            Self::MapClients => 2,
            Self::MapUsers => 3,
            Self::SharedPoll => 4,
        }
    }

    /// Whether it is the kind that is supported.
    pub fn is_stream(self) -> bool {
        self.number() == 0
    }
}

/// What recovery brings back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum RecoveryMode {
    /// As `stream`.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Every publication that was missed.
    Stream,
    /// The latest publication only.
    Cache,
}

/// The format that published data must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = closed_set)]
pub enum DataFormat {
    /// The global format in a namespace; globally, anything that is not empty.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Valid JSON.
    Json,
    /// A valid JSON object.
    JsonObject,
    /// Anything, empty data included.
    Binary,
}
