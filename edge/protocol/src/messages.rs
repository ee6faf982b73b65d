//! All messages of the protocol, as one table.
//!
//! A line of the table is `field: type = number, "meaning";`. Two words may follow the number:
//! `always` marks the few fields that JSON writes even when they are zero or empty (all others
//! are left out then), and `zigzag` a signed number in Protobuf's zig-zag form. Names and numbers
//! are the contract with every client SDK: never change or reuse one.
//!
//! Payloads are [`Bytes`]: opaque in Protobuf, one raw JSON value in JSON. Optional messages tell
//! "absent" (`None`) from "present but empty" (`Some` of the default), which clients distinguish.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{json, protobuf};

/// Declares each message as a struct with its Protobuf and JSON codecs.
///
/// Protobuf is not left to prost's derive, because that leaves empty values of maps out: valid,
/// but the JavaScript SDK then finds `null` where it expects an empty subscription.
macro_rules! messages {
    (@zero) => { json::Zero::Omit };
    (@zero always) => { json::Zero::Write };
    (@zero zigzag) => { json::Zero::Omit };
    (@form) => { protobuf::Plain };
    (@form always) => { protobuf::Plain };
    (@form zigzag) => { protobuf::ZigZag };
    ($( $name:ident: $doc:literal {
        $( $field:ident: $ty:ty = $number:literal $($mark:ident)?, $help:literal; )*
    } )*) => { $(
        #[doc = $doc]
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $( #[doc = $help] pub $field: $ty, )*
        }

        #[allow(unused_variables, reason = "a message without fields has nothing to encode")]
        impl ::prost::Message for $name {
            fn encode_raw(&self, out: &mut impl ::bytes::BufMut) {
                $( <$ty as protobuf::Field<messages!(@form $($mark)?)>>::encode(
                    &self.$field, $number, out,
                ); )*
            }

            fn encoded_len(&self) -> usize {
                0 $( + <$ty as protobuf::Field<messages!(@form $($mark)?)>>::encoded_len(
                    &self.$field, $number,
                ) )*
            }

            fn merge_field(
                &mut self,
                number: u32,
                wire_type: ::prost::encoding::WireType,
                input: &mut impl ::bytes::Buf,
                context: ::prost::encoding::DecodeContext,
            ) -> Result<(), ::prost::DecodeError> {
                match number {
                    $( $number => <$ty as protobuf::Field<messages!(@form $($mark)?)>>::merge(
                        &mut self.$field, wire_type, input, context,
                    ).map_err(|mut error| {
                        error.push(stringify!($name), const { json::wire_name(stringify!($field)) });
                        error
                    }), )*
                    _ => ::prost::encoding::skip_field(wire_type, number, input, context),
                }
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }

        impl protobuf::Embedded for $name {}

        impl ::serde::Serialize for $name {
            #[allow(unused_mut, reason = "a message without fields writes none")]
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut object = serializer.serialize_map(None)?;
                $( json::write_field(
                    &mut object,
                    const { json::wire_name(stringify!($field)) },
                    &self.$field,
                    messages!(@zero $($mark)?),
                )?; )*
                ::serde::ser::SerializeMap::end(object)
            }
        }

        impl json::Object for $name {
            const NAME: &'static str = stringify!($name);

            #[allow(unused_variables, reason = "a message without fields knows none")]
            fn read_field<'de, A: ::serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                object: &mut A,
            ) -> Result<bool, A::Error> {
                $( if name.eq_ignore_ascii_case(const { json::wire_name(stringify!($field)) }) {
                    self.$field = json::Field::read(object)?;
                    return Ok(true);
                } )*
                Ok(false)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                json::read_object(deserializer)
            }
        }

        #[cfg(test)]
        impl crate::sample::Sample for $name {
            #[allow(unused_variables, reason = "a message without fields draws nothing")]
            fn sample(entropy: &mut crate::sample::Entropy<'_>) -> Self {
                Self { $( $field: crate::sample::Sample::sample(entropy), )* }
            }
        }
    )* };
}

messages! {
    // The envelope.

    Command: "What a client sends: a number and one request." {
        id: u32 = 1, "Number chosen by the client, repeated in the reply; 0 for `send` and for pongs.";
        connect: Option<ConnectRequest> = 4, "Authenticates the connection; must come first.";
        subscribe: Option<SubscribeRequest> = 5, "Subscribes to a channel.";
        unsubscribe: Option<UnsubscribeRequest> = 6, "Ends a subscription.";
        publish: Option<PublishRequest> = 7, "Publishes into a channel.";
        presence: Option<PresenceRequest> = 8, "Asks who is subscribed to a channel.";
        presence_stats: Option<PresenceStatsRequest> = 9, "Asks how many are subscribed to a channel.";
        history: Option<HistoryRequest> = 10, "Reads the stored publications of a channel.";
        ping: Option<PingRequest> = 11, "Known to the schema only; a command with nothing else is a bad request.";
        send: Option<SendRequest> = 12, "Sends a payload that gets no reply.";
        rpc: Option<RPCRequest> = 13, "Calls a method of the backend.";
        refresh: Option<RefreshRequest> = 14, "Brings a new connection token.";
        sub_refresh: Option<SubRefreshRequest> = 15, "Brings a new subscription token, or tracked keys.";
    }

    Reply: "What a bidirectional client receives: the answer to one command, a push, or, if empty, a ping." {
        id: u32 = 1, "Number of the command answered; 0 in pushes and pings.";
        error: Option<Error> = 2, "Why the command failed; no result is set then.";
        push: Option<Push> = 4, "A message that answers no command.";
        connect: Option<ConnectResult> = 5, "Result of `connect`.";
        subscribe: Option<SubscribeResult> = 6, "Result of `subscribe`.";
        unsubscribe: Option<UnsubscribeResult> = 7, "Result of `unsubscribe`.";
        publish: Option<PublishResult> = 8, "Result of `publish`.";
        presence: Option<PresenceResult> = 9, "Result of `presence`.";
        presence_stats: Option<PresenceStatsResult> = 10, "Result of `presence_stats`.";
        history: Option<HistoryResult> = 11, "Result of `history`.";
        ping: Option<PingResult> = 12, "Known to the schema only.";
        rpc: Option<RPCResult> = 13, "Result of `rpc`.";
        refresh: Option<RefreshResult> = 14, "Result of `refresh`.";
        sub_refresh: Option<SubRefreshResult> = 15, "Result of `sub_refresh`.";
    }

    Error: "Why a command failed. Build it from an [`ErrorCode`](crate::ErrorCode), or from a proxy's answer." {
        code: u32 = 1, "100 to 399 are the protocol's own, 400 to 1999 an application's.";
        message: String = 2, "For people; never empty on the wire, since a SDK requires it.";
        temporary: bool = 3, "Whether the same command may succeed later.";
    }

    Push: "A message that answers no command. Unidirectional clients receive it bare." {
        id: i64 = 1, "Number that stands for the channel after compaction; 0 is none.";
        channel: String = 2, "Channel concerned; empty in `connect`, `disconnect`, `refresh` and `message`.";
        r#pub: Option<Publication> = 4, "A publication.";
        join: Option<Join> = 5, "Somebody subscribed.";
        leave: Option<Leave> = 6, "Somebody's subscription ended.";
        unsubscribe: Option<Unsubscribe> = 7, "The server ended the subscription.";
        message: Option<Message> = 8, "A payload outside of any channel.";
        subscribe: Option<Subscribe> = 9, "The server subscribed the client.";
        connect: Option<Connect> = 10, "First push of a unidirectional connection.";
        disconnect: Option<Disconnect> = 11, "Last push where the transport has no close code.";
        refresh: Option<Refresh> = 12, "The expiry of the connection changed.";
    }

    EmulationRequest: "The client's half of a transport that only streams to the client (SSE, HTTP streaming)." {
        node: String = 1, "Id of the node that holds the stream.";
        session: String = 2, "Secret id of the session on that node.";
        data: Bytes = 3, "Framed commands; with JSON this is a JSON string that holds them, see [`raw::unquote`](crate::raw::unquote).";
    }

    // Requests.

    ConnectRequest: "Authenticates a connection." {
        token: String = 1, "Connection token; empty if the client has none.";
        data: Bytes = 2, "Payload for the connect proxy.";
        subs: BTreeMap<String, SubscribeRequest> = 3, "Positions to recover server-side subscriptions from, or channels wanted by a unidirectional client.";
        name: String = 4, "Name of the client software, such as `js`.";
        version: String = 5, "Version of the client application.";
        headers: BTreeMap<String, String> = 6, "Headers that a browser could not send; for proxy calls only.";
        flag: i64 = 7, "Bits of features offered; bit 1 is dictionary compression.";
        dict: String = 8, "Id of the compression dictionary the client holds.";
        profile: String = 9, "Name of the compression profile wanted.";
    }

    SubscribeRequest: "Subscribes to a channel, or asks for the next page of a map subscription." {
        channel: String = 1, "Channel wanted.";
        token: String = 2, "Subscription token; empty if the client has none.";
        recover: bool = 3, "Whether to deliver what was missed since `offset` and `epoch`.";
        epoch: String = 6, "Epoch of the stream at the last known position.";
        offset: u64 = 7, "Offset of the last publication seen.";
        data: Bytes = 8, "Payload for the subscribe proxy.";
        positioned: bool = 9, "Asks for gap detection.";
        recoverable: bool = 10, "Asks for recovery.";
        join_leave: bool = 11, "Asks for `join` and `leave` pushes.";
        delta: String = 12, "Delta format wanted: `fossil` or empty.";
        tf: Option<Box<FilterNode>> = 13, "Filter by tags of publications.";
        flag: i64 = 14, "Bits: 1 offers channel compaction, 2 rejects an unrecovered subscription.";
        r#type: i32 = 15, "0 stream, 1 map, 2 map of clients, 3 map of users, 4 shared poll.";
        phase: i32 = 16, "Phase of a map subscription: 2 state, 1 stream, 0 live.";
        cursor: String = 17, "Page of the map's state to continue with.";
        limit: i32 = 18, "Entries per page of a map subscription; 0 is the server's default.";
        asc: bool = 19, "Whether the state of an ordered map is wanted in ascending order.";
    }

    UnsubscribeRequest: "Ends a subscription." {
        channel: String = 1, "Channel to leave.";
    }

    PublishRequest: "Publishes into a channel." {
        channel: String = 1, "Channel to publish into.";
        data: Bytes = 2, "Payload.";
        r#type: i32 = 3, "0 stream, 1 map.";
        key: String = 4, "Key of the map entry.";
        removed: bool = 5, "Whether the map entry is removed instead of set.";
    }

    PresenceRequest: "Asks who is subscribed to a channel." {
        channel: String = 1, "Channel asked about.";
    }

    PresenceStatsRequest: "Asks how many are subscribed to a channel." {
        channel: String = 1, "Channel asked about.";
    }

    HistoryRequest: "Reads the stored publications of a channel." {
        channel: String = 1, "Channel to read.";
        limit: i32 = 7, "Most publications wanted; 0 asks for the position only, negative for as many as allowed.";
        since: Option<StreamPosition> = 8, "Position to continue from, exclusive.";
        reverse: bool = 9, "Newest first.";
    }

    StreamPosition: "A position in a channel's stream." {
        offset: u64 = 1, "Number of the publication within the epoch.";
        epoch: String = 2, "Name of the stream's incarnation; offsets of different epochs do not compare.";
    }

    RPCRequest: "Calls a method of the backend." {
        data: Bytes = 1, "Arguments.";
        method: String = 2, "Name of the method.";
    }

    SendRequest: "Sends a payload that gets no reply." {
        data: Bytes = 1, "Payload.";
    }

    RefreshRequest: "Brings a new connection token." {
        token: String = 1, "Connection token.";
    }

    SubRefreshRequest: "Brings a new subscription token, or changes the keys tracked by a shared poll." {
        channel: String = 1, "Channel of the subscription.";
        token: String = 2, "Subscription token.";
        r#type: i32 = 3, "0 token, 1 track, 2 untrack.";
        track: Vec<TrackBatch> = 4, "Keys to track.";
        untrack: Vec<String> = 5, "Keys to track no longer.";
    }

    TrackBatch: "Keys to track, signed together." {
        signature: String = 1, "Proof that the backend allows these keys, in this order.";
        items: Vec<KeyedItem> = 2, "The keys.";
    }

    KeyedItem: "A tracked key." {
        key: String = 1, "The key.";
        version: u64 = 2, "Version that the client holds; 0 is none.";
    }

    FilterNode: "A condition on the tags of a publication: a comparison, or an operator over nodes." {
        op: String = 1, "`and`, `or`, `not`; empty in a comparison.";
        key: String = 2, "Tag compared.";
        cmp: String = 3, "Comparison, such as `eq`, `in` or `gte`.";
        val: String = 4, "Value to compare with.";
        vals: Vec<String> = 5, "Values of `in` and `nin`.";
        nodes: Vec<FilterNode> = 6, "Operands of the operator.";
    }

    PingRequest: "Known to the schema only." {}

    // Results.

    ConnectResult: "Result of `connect`." {
        client: String = 1, "Id of the connection, a random UUID.";
        version: String = 2, "Version of the server.";
        expires: bool = 3, "Whether the client has to refresh the connection.";
        ttl: u32 = 4, "Seconds until then; at least 1 if `expires`.";
        data: Bytes = 5, "Payload of the connect proxy.";
        subs: BTreeMap<String, SubscribeResult> = 6, "Server-side subscriptions by channel.";
        ping: u32 = 7, "Seconds between pings of the server; 0 is none.";
        pong: bool = 8, "Whether the client has to answer pings.";
        session: String = 9, "Secret id for the emulation endpoint, or of a unidirectional session.";
        node: String = 10, "Id of the node, for the emulation endpoint.";
        time: i64 = 11, "Time of the server, Unix milliseconds; 0 unless configured.";
        flag: i64 = 12, "Bits of features granted.";
        dict: Option<Dictionary> = 13, "Compression dictionary.";
    }

    SubscribeResult: "Result of `subscribe`, and the state of a server-side subscription." {
        expires: bool = 1, "Whether the client has to refresh the subscription.";
        ttl: u32 = 2, "Seconds until then; at least 1 if `expires`.";
        recoverable: bool = 3, "Whether missed publications can be recovered.";
        epoch: String = 6, "Epoch of the stream.";
        publications: Vec<Publication> = 7, "Recovered publications, in offset order.";
        recovered: bool = 8, "Whether nothing is missing since the position of the request.";
        offset: u64 = 9, "Offset that `publications` continue from, else the top of the stream.";
        positioned: bool = 10, "Whether gaps are detected.";
        data: Bytes = 11, "Payload of the subscribe proxy.";
        was_recovering: bool = 12, "Whether recovery was attempted.";
        delta: bool = 13, "Whether publications may come as deltas.";
        id: i64 = 14, "Number that stands for the channel in pushes; 0 is none.";
        r#type: i32 = 15, "Kind of the subscription: 0 stream, 1 map, 4 shared poll.";
        phase: i32 = 16, "Phase of a map subscription: 2 state, 1 stream, 0 live.";
        cursor: String = 17, "Where the next page of the state begins; empty after the last.";
        state: Vec<Publication> = 18, "Entries of the map.";
        publish_debounce: u32 = 19, "Milliseconds by which the client should hold back publishes.";
    }

    UnsubscribeResult: "Result of `unsubscribe`." {}

    PublishResult: "Result of `publish`." {}

    PresenceResult: "Result of `presence`." {
        presence: BTreeMap<String, ClientInfo> = 1 always, "Subscribers by client id.";
    }

    PresenceStatsResult: "Result of `presence_stats`." {
        num_clients: u32 = 1 always, "Connections subscribed.";
        num_users: u32 = 2 always, "Different users among them.";
    }

    HistoryResult: "Result of `history`." {
        publications: Vec<Publication> = 1 always, "Publications in the order asked for.";
        epoch: String = 2 always, "Epoch of the stream.";
        offset: u64 = 3 always, "Top of the stream.";
    }

    PingResult: "Known to the schema only." {}

    RPCResult: "Result of `rpc`." {
        data: Bytes = 1, "What the backend returned.";
    }

    RefreshResult: "Result of `refresh`." {
        client: String = 1, "Never filled.";
        version: String = 2, "Never filled.";
        expires: bool = 3, "Whether the client has to refresh again.";
        ttl: u32 = 4, "Seconds until then; at least 1 if `expires`.";
    }

    SubRefreshResult: "Result of `sub_refresh`." {
        expires: bool = 1, "Whether the client has to refresh again.";
        ttl: u32 = 2, "Seconds until then; at least 1 if `expires`.";
        items: Vec<Publication> = 3, "Entries of tracked keys that the server holds already.";
    }

    Dictionary: "A dictionary for compressing frames." {
        id: String = 1, "Digest of the content.";
        data: Bytes = 2, "Compressed content (Protobuf).";
        data_b64: String = 3, "Compressed content in base64 (JSON).";
    }

    // Pushes.

    Publication: "A publication, or an entry of a map." {
        data: Bytes = 4, "Payload, or a delta against the previous one.";
        info: Option<ClientInfo> = 5, "Who published; absent for the server API.";
        offset: u64 = 6, "Offset in the stream; 0 without history.";
        tags: BTreeMap<String, String> = 7, "Tags given by the publisher.";
        delta: bool = 8, "Whether `data` is a delta.";
        time: i64 = 9, "Time of publication, Unix milliseconds; never filled for clients.";
        channel: String = 10, "Channel, for wildcard subscriptions; unused.";
        key: String = 11, "Key of a map or shared-poll entry.";
        removed: bool = 12, "Whether the entry was removed.";
        score: i64 = 13 zigzag, "Rank in an ordered map; unused.";
        epoch: String = 14, "Epoch of the stream, only in the first publication of it.";
        prev_data: Bytes = 15, "Internal to a server; never sent to clients.";
        version: u64 = 16, "Version given by the publisher.";
    }

    ClientInfo: "Who published or subscribed." {
        user: String = 1 always, "Id of the user; empty if anonymous.";
        client: String = 2 always, "Id of the connection.";
        conn_info: Bytes = 3, "Payload attached to the connection.";
        chan_info: Bytes = 4, "Payload attached to the subscription.";
    }

    Join: "Somebody subscribed." {
        info: Option<ClientInfo> = 1, "Who.";
    }

    Leave: "Somebody's subscription ended." {
        info: Option<ClientInfo> = 1, "Who.";
    }

    Unsubscribe: "The server ended a subscription. Build it from an [`UnsubscribeCode`](crate::UnsubscribeCode)." {
        code: u32 = 2, "2000 to 2499 are final, from 2500 on the SDK subscribes again.";
        reason: String = 3, "For people; never empty on the wire, since a SDK requires it.";
    }

    Message: "A payload outside of any channel." {
        data: Bytes = 1, "Payload.";
    }

    Subscribe: "The server subscribed the client." {
        recoverable: bool = 1, "Whether missed publications can be recovered.";
        epoch: String = 4, "Epoch of the stream.";
        offset: u64 = 5, "Top of the stream.";
        positioned: bool = 6, "Whether gaps are detected.";
        data: Bytes = 7, "Payload attached by the backend.";
    }

    Connect: "First push of a unidirectional connection. Its numbers differ from [`ConnectResult`] from the third field on." {
        client: String = 1, "Id of the connection, a random UUID.";
        version: String = 2, "Version of the server.";
        data: Bytes = 3, "Payload of the connect proxy.";
        subs: BTreeMap<String, SubscribeResult> = 4, "Server-side subscriptions by channel.";
        expires: bool = 5, "Whether the connection expires.";
        ttl: u32 = 6, "Seconds until then; at least 1 if `expires`.";
        ping: u32 = 7, "Seconds between pings of the server; 0 is none.";
        pong: bool = 8, "Never set: a unidirectional client cannot answer.";
        session: String = 9, "Id of the session.";
        node: String = 10, "Id of the node.";
        time: i64 = 11, "Time of the server, Unix milliseconds; 0 unless configured.";
    }

    Disconnect: "Last push where the transport has no close code. Build it from a [`DisconnectReason`](crate::DisconnectReason)." {
        code: u32 = 1, "Tells the SDK whether to reconnect, see [`DisconnectReason::reconnects`](crate::DisconnectReason::reconnects).";
        reason: String = 2, "For people; never empty on the wire, since a SDK requires it.";
        reconnect: bool = 3, "Never set: the code says it.";
    }

    Refresh: "The expiry of the connection changed." {
        expires: bool = 1, "Whether the connection expires.";
        ttl: u32 = 2, "Seconds until then.";
    }
}

impl From<ConnectResult> for Connect {
    fn from(result: ConnectResult) -> Self {
        Self {
            client: result.client,
            version: result.version,
            data: result.data,
            subs: result.subs,
            expires: result.expires,
            ttl: result.ttl,
            ping: result.ping,
            pong: result.pong,
            session: result.session,
            node: result.node,
            time: result.time,
        }
    }
}
