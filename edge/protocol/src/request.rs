//! Which request a command stands for.

use crate::messages::{
    Command, ConnectRequest, HistoryRequest, PresenceRequest, PresenceStatsRequest, PublishRequest,
    RPCRequest, RefreshRequest, SendRequest, SubRefreshRequest, SubscribeRequest,
    UnsubscribeRequest,
};

/// The one request of a [`Command`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Authenticate the connection.
    Connect(ConnectRequest),
    /// Subscribe to a channel.
    Subscribe(SubscribeRequest),
    /// End a subscription.
    Unsubscribe(UnsubscribeRequest),
    /// Publish into a channel.
    Publish(PublishRequest),
    /// Ask who is subscribed.
    Presence(PresenceRequest),
    /// Ask how many are subscribed.
    PresenceStats(PresenceStatsRequest),
    /// Read stored publications.
    History(HistoryRequest),
    /// Call a method of the backend.
    Rpc(RPCRequest),
    /// Send a payload that gets no reply.
    Send(SendRequest),
    /// Bring a new connection token.
    Refresh(RefreshRequest),
    /// Bring a new subscription token, or tracked keys.
    SubRefresh(SubRefreshRequest),
    /// The answer to a ping.
    Pong,
    /// Nothing that a server could do: disconnect with [`BadRequest`](crate::DisconnectCode::BadRequest).
    Bad,
}

impl Command {
    /// Splits the command into its number and its one request.
    ///
    /// Number 0 without `send` is a pong, whatever else is set. If several requests are set, the
    /// first of connect, subscribe, unsubscribe, publish, presence, presence stats, history, rpc,
    /// send, refresh and sub refresh counts. With none of them (also with only `ping`) the
    /// request is [`Request::Bad`].
    #[must_use]
    pub fn into_request(self) -> (u32, Request) {
        if self.id == 0 && self.send.is_none() {
            return (0, Request::Pong);
        }
        let request = None
            .or_else(|| self.connect.map(Request::Connect))
            .or_else(|| self.subscribe.map(Request::Subscribe))
            .or_else(|| self.unsubscribe.map(Request::Unsubscribe))
            .or_else(|| self.publish.map(Request::Publish))
            .or_else(|| self.presence.map(Request::Presence))
            .or_else(|| self.presence_stats.map(Request::PresenceStats))
            .or_else(|| self.history.map(Request::History))
            .or_else(|| self.rpc.map(Request::Rpc))
            .or_else(|| self.send.map(Request::Send))
            .or_else(|| self.refresh.map(Request::Refresh))
            .or_else(|| self.sub_refresh.map(Request::SubRefresh))
            .unwrap_or(Request::Bad);
        (self.id, request)
    }
}
