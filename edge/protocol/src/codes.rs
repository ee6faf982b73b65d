//! The codes a client can see: errors, disconnects, unsubscribes.
//!
//! Numbers and texts are the contract with client SDKs, which branch on the numbers; sources:
//! centrifuge `errors.go`, `disconnect.go`, `unsubscribe.go`. A text is never empty and never
//! parses as JSON, because SDKs read an empty reason as "reconnect" and a JSON one as advice.

use std::borrow::Cow;
use std::fmt;

use crate::messages::{Disconnect, Error, Unsubscribe};

/// Who can remove the cause of an error or disconnect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The client: its request, its credentials or its network.
    Client,
    /// The application behind the server, by its answer, its configuration or an API call.
    Backend,
    /// The server itself, or what it runs on.
    Us,
}

macro_rules! codes {
    (
        $(#[$doc:meta])* $name:ident, $text:ident: $text_doc:literal;
        $( $variant:ident = $code:literal, $words:literal, $fault:ident, $help:literal; )*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $( #[doc = $help] $variant, )*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self { $( Self::$variant => $code, )* }
            }

            #[doc = $text_doc]
            #[must_use]
            pub const fn $text(self) -> &'static str {
                match self { $( Self::$variant => $words, )* }
            }

            /// Who can remove the cause.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $( Self::$variant => Fault::$fault, )* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}: {}", self.code(), self.$text())
            }
        }
    };
}

codes! {
    /// Why a command failed. The connection goes on.
    ErrorCode, message: "The text on the wire.";
    Internal = 100, "internal server error", Us, "Something broke on the server; temporary.";
    Unauthorized = 101, "unauthorized", Client, "The client is not authenticated. Not produced by this server.";
    UnknownChannel = 102, "unknown channel", Client, "The channel's namespace does not exist.";
    PermissionDenied = 103, "permission denied", Client, "The client may not do this.";
    MethodNotFound = 104, "method not found", Client, "No such RPC method.";
    AlreadySubscribed = 105, "already subscribed", Client, "The client is subscribed, or being subscribed, already.";
    LimitExceeded = 106, "limit exceeded", Client, "Too many channels or keys on one connection.";
    BadRequest = 107, "bad request", Client, "The request contradicts itself or the channel.";
    NotAvailable = 108, "not available", Client, "The feature is switched off for this channel or server.";
    TokenExpired = 109, "token expired", Client, "The token has expired: the SDK gets a new one.";
    Expired = 110, "expired", Backend, "The connection or subscription would have expired already.";
    TooManyRequests = 111, "too many requests", Client, "The client is too fast; temporary. Not produced by this server.";
    UnrecoverablePosition = 112, "unrecoverable position", Us, "What followed the position is no longer stored.";
    ConcurrentPagination = 113, "concurrent pagination", Client, "Another page of the map is being read; temporary.";
}

impl ErrorCode {
    /// Whether the same command may succeed later; SDKs retry then.
    #[must_use]
    pub const fn temporary(self) -> bool {
        matches!(
            self,
            Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination
        )
    }
}

impl std::error::Error for ErrorCode {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self {
            code: code.code(),
            message: code.message().to_owned(),
            temporary: code.temporary(),
        }
    }
}

codes! {
    /// Why the server ends a connection.
    DisconnectCode, reason: "The text on the wire: at most 123 bytes, not empty, not JSON.";
    ConnectionClosed = 3000, "connection closed", Client, "The connection is gone; never sent, the socket is just closed.";
    Shutdown = 3001, "shutdown", Us, "The node stops.";
    Internal = 3004, "internal server error", Us, "Something broke on the server.";
    ConnectionExpired = 3005, "connection expired", Client, "The connection was not refreshed in time.";
    SubscriptionExpired = 3006, "subscription expired", Backend, "A server-side subscription was not refreshed in time.";
    Slow = 3008, "slow", Client, "The client does not read fast enough: its queue is full.";
    WriteError = 3009, "write error", Client, "Writing failed or took longer than the write timeout.";
    InsufficientState = 3010, "insufficient state", Us, "Publications were lost on the way; the SDK reconnects and recovers.";
    ForceReconnect = 3011, "force reconnect", Backend, "The backend wants the client to connect anew.";
    NoPong = 3012, "no pong", Client, "The client did not answer a ping.";
    TooManyRequests = 3013, "too many requests", Client, "The client is too fast.";
    StateInvalidated = 3014, "state invalidated", Backend, "The SDK drops its token and positions and reconnects. Not produced by this server.";
    InvalidToken = 3500, "invalid token", Client, "The token is not valid.";
    BadRequest = 3501, "bad request", Client, "The client broke the protocol.";
    Stale = 3502, "stale", Client, "The client did not authenticate in time.";
    ForceDisconnect = 3503, "force disconnect", Backend, "The backend ended the connection.";
    ConnectionLimit = 3504, "connection limit", Us, "The node, or the user, has too many connections.";
    ChannelLimit = 3505, "channel limit", Backend, "More server-side subscriptions than one connection may have.";
    InappropriateProtocol = 3506, "inappropriate protocol", Backend, "A payload is not JSON but the connection speaks JSON.";
    PermissionDenied = 3507, "permission denied", Client, "The client may not connect.";
    NotAvailable = 3508, "not available", Client, "The server has no such feature.";
    TooManyErrors = 3509, "too many errors", Client, "Too many commands failed. Not produced by this server.";
}

impl DisconnectCode {
    /// Whether SDKs reconnect after it.
    #[must_use]
    pub const fn reconnects(self) -> bool {
        reconnects(self.code())
    }
}

/// The rule of all SDKs: a code from 3500 to 3999 or from 4500 to 4999 is final.
const fn reconnects(code: u32) -> bool {
    !matches!(code, 3500..=3999 | 4500..=4999)
}

/// Why a connection ends, with a number and text that may come from the backend.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DisconnectReason {
    /// The number on the wire: a [`DisconnectCode`], or 4000 to 4999 from a backend.
    pub code: u32,
    /// The text on the wire: at most 123 bytes, not empty, not JSON.
    pub reason: Cow<'static, str>,
}

impl DisconnectReason {
    /// A disconnect chosen by the backend. An empty text is replaced by `disconnect`, because
    /// SDKs reconnect after an empty one even if the code is final.
    #[must_use]
    pub fn custom(code: u32, reason: impl Into<Cow<'static, str>>) -> Self {
        let reason = reason.into();
        let reason = if reason.is_empty() {
            Cow::Borrowed("disconnect")
        } else {
            reason
        };
        Self { code, reason }
    }

    /// Whether SDKs reconnect after it.
    #[must_use]
    pub const fn reconnects(&self) -> bool {
        reconnects(self.code)
    }
}

impl From<DisconnectCode> for DisconnectReason {
    fn from(code: DisconnectCode) -> Self {
        Self {
            code: code.code(),
            reason: Cow::Borrowed(code.reason()),
        }
    }
}

impl From<DisconnectReason> for Disconnect {
    fn from(reason: DisconnectReason) -> Self {
        Self {
            code: reason.code,
            reason: reason.reason.into_owned(),
            reconnect: false,
        }
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        DisconnectReason::from(code).into()
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

codes! {
    /// Why the server ends a subscription.
    UnsubscribeCode, reason: "The text on the wire.";
    Server = 2000, "server unsubscribe", Backend, "The backend ended the subscription; the SDK stays unsubscribed.";
    InsufficientState = 2500, "insufficient state", Us, "Publications were lost on the way; the SDK subscribes again and recovers.";
    SubscriptionExpired = 2501, "subscription expired", Client, "The subscription was not refreshed in time; the SDK subscribes again.";
    StateInvalidated = 2502, "state invalidated", Backend, "The SDK drops token and position and subscribes again. Not produced by this server.";
}

impl UnsubscribeCode {
    /// Whether SDKs subscribe again by themselves.
    #[must_use]
    pub const fn resubscribes(self) -> bool {
        self.code() >= 2500
    }
}

impl From<UnsubscribeCode> for Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self {
            code: code.code(),
            reason: code.reason().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_and_texts_are_those_of_the_contract() {
        let lines: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|code| {
                let error = Error::from(*code);
                let mark = if error.temporary { " (temporary)" } else { "" };
                format!("{} {}{mark}", error.code, error.message)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "100 internal server error (temporary)",
                "101 unauthorized",
                "102 unknown channel",
                "103 permission denied",
                "104 method not found",
                "105 already subscribed",
                "106 limit exceeded",
                "107 bad request",
                "108 not available",
                "109 token expired",
                "110 expired",
                "111 too many requests (temporary)",
                "112 unrecoverable position",
                "113 concurrent pagination (temporary)",
            ]
        );
    }

    #[test]
    fn disconnect_codes_and_texts_are_those_of_the_contract() {
        let lines: Vec<String> = DisconnectCode::ALL
            .iter()
            .map(|code| {
                let push = Disconnect::from(*code);
                let mark = if code.reconnects() { "" } else { " (final)" };
                format!("{} {}{mark}", push.code, push.reason)
            })
            .collect();
        assert_eq!(
            lines,
            [
                "3000 connection closed",
                "3001 shutdown",
                "3004 internal server error",
                "3005 connection expired",
                "3006 subscription expired",
                "3008 slow",
                "3009 write error",
                "3010 insufficient state",
                "3011 force reconnect",
                "3012 no pong",
                "3013 too many requests",
                "3014 state invalidated",
                "3500 invalid token (final)",
                "3501 bad request (final)",
                "3502 stale (final)",
                "3503 force disconnect (final)",
                "3504 connection limit (final)",
                "3505 channel limit (final)",
                "3506 inappropriate protocol (final)",
                "3507 permission denied (final)",
                "3508 not available (final)",
                "3509 too many errors (final)",
            ]
        );
    }

    #[test]
    fn unsubscribe_codes_and_texts_are_those_of_the_contract() {
        let lines: Vec<String> = UnsubscribeCode::ALL
            .iter()
            .map(|code| {
                let push = Unsubscribe::from(*code);
                format!("{} {} {}", push.code, push.reason, code.resubscribes())
            })
            .collect();
        assert_eq!(
            lines,
            [
                "2000 server unsubscribe false",
                "2500 insufficient state true",
                "2501 subscription expired true",
                "2502 state invalidated true",
            ]
        );
    }

    #[test]
    fn reasons_are_short_and_do_not_parse_as_json() {
        for code in DisconnectCode::ALL {
            let reason = code.reason();
            assert!(!reason.is_empty() && reason.len() <= 123, "{code}");
            assert!(!crate::raw::is_json(reason.as_bytes()), "{code}");
        }
    }

    #[test]
    fn custom_disconnect_follows_the_rule_of_the_sdks() {
        let reconnecting: Vec<bool> = [3499, 3500, 3999, 4000, 4499, 4500, 4999, 5000]
            .into_iter()
            .map(|code| DisconnectReason::custom(code, "moved").reconnects())
            .collect();
        assert_eq!(
            reconnecting,
            [true, false, false, true, true, false, false, true]
        );
    }

    #[test]
    fn custom_disconnect_without_text_gets_one() {
        let reason = DisconnectReason::custom(4500, "");
        assert_eq!(Disconnect::from(reason.clone()).reason, "disconnect");
        assert_eq!(reason.to_string(), "4500: disconnect");
    }
}
