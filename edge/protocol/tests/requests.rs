//! Which request a command stands for.

use tidewire_protocol::*;

fn request(line: &str) -> (u32, Request) {
    let command = decode::commands(Encoding::Json, line.as_bytes()).next();
    match command {
        Some(Ok(command)) => command.into_request(),
        other => (0, unreadable(line, &other)),
    }
}

#[track_caller]
fn unreadable(line: &str, read: &Option<Result<Command, Malformed>>) -> Request {
    assert!(matches!(read, Some(Ok(_))), "{line}: {read:?}");
    Request::Bad
}

#[test]
fn each_request_is_recognised() {
    let channel = || "a".to_owned();
    let cases = [
        ("connect", Request::Connect(ConnectRequest::default())),
        (
            "subscribe",
            Request::Subscribe(SubscribeRequest {
                channel: channel(),
                ..SubscribeRequest::default()
            }),
        ),
        (
            "unsubscribe",
            Request::Unsubscribe(UnsubscribeRequest { channel: channel() }),
        ),
        (
            "publish",
            Request::Publish(PublishRequest {
                channel: channel(),
                ..PublishRequest::default()
            }),
        ),
        (
            "presence",
            Request::Presence(PresenceRequest { channel: channel() }),
        ),
        (
            "presence_stats",
            Request::PresenceStats(PresenceStatsRequest { channel: channel() }),
        ),
        (
            "history",
            Request::History(HistoryRequest {
                channel: channel(),
                ..HistoryRequest::default()
            }),
        ),
        ("rpc", Request::Rpc(RPCRequest::default())),
        ("send", Request::Send(SendRequest::default())),
        ("refresh", Request::Refresh(RefreshRequest::default())),
        (
            "sub_refresh",
            Request::SubRefresh(SubRefreshRequest {
                channel: channel(),
                ..SubRefreshRequest::default()
            }),
        ),
    ];
    for (name, expected) in cases {
        let line = format!("{{\"id\":9,\"{name}\":{{\"channel\":\"a\"}}}}");
        assert_eq!(request(&line), (9, expected), "{name}");
    }
}

#[test]
fn first_of_several_requests_counts() {
    let order = [
        "connect",
        "subscribe",
        "unsubscribe",
        "publish",
        "presence",
        "presence_stats",
        "history",
        "rpc",
        "send",
        "refresh",
        "sub_refresh",
    ];
    for (index, first) in order.iter().enumerate() {
        let alone = request(&format!("{{\"id\":1,\"{first}\":{{}}}}"));
        let later: String = order[index..]
            .iter()
            .rev()
            .map(|name| format!(",\"{name}\":{{}}"))
            .collect();
        assert_eq!(request(&format!("{{\"id\":1{later}}}")), alone, "{first}");
    }
}

#[test]
fn number_zero_is_a_pong_unless_it_sends() {
    assert_eq!(request("{}"), (0, Request::Pong));
    assert_eq!(request(r#"{"connect":{}}"#), (0, Request::Pong));
    assert_eq!(request(r#"{"id":0,"ping":{}}"#), (0, Request::Pong));
    assert_eq!(
        request(r#"{"send":{}}"#),
        (0, Request::Send(SendRequest::default()))
    );
    assert_eq!(
        request(r#"{"send":{},"connect":{}}"#),
        (0, Request::Connect(ConnectRequest::default()))
    );
}

#[test]
fn command_with_nothing_to_do_is_bad() {
    assert_eq!(request(r#"{"id":2}"#), (2, Request::Bad));
    assert_eq!(request(r#"{"id":2,"ping":{}}"#), (2, Request::Bad));
    assert_eq!(request(r#"{"id":2,"connect":null}"#), (2, Request::Bad));
}
