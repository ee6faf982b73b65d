//! Subscriptions that come with the connect: of the token, the user's own channel, and those the client wants.

use super::*;

fn options() -> Value {
    json!({
        "client": {"channel_limit": 4, "allow_anonymous_connect_without_token": true},
        "channel": {"namespaces": [
            {"name": "closed"},
            {"name": "users", "allow_subscribe_for_client": true},
            {"name": "all", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true},
            {"name": "limited", "allow_user_limited_channels": true, "allow_subscribe_for_client": true},
            {"name": "regex", "allow_subscribe_for_client": true, "channel_regex": "^[a-z]+$"},
            {"name": "kept", "history_size": 9, "history_ttl": "60s", "force_recovery": true,
             "presence": true, "allowed_delta_types": ["fossil"]},
        ]},
    })
}

/// Connects with these claims, of nobody if `null`, wanting these channels.
fn come(claims: &Value, wanted: Vec<SubscribeRequest>, options: &Value) -> (Client, Came) {
    let mut client = Client::new(&with_key(options));
    let mut command = connect(&if claims.is_null() {
        String::new()
    } else {
        token(claims)
    });
    let subs = wanted.into_iter().map(|it| (it.channel.clone(), it));
    command.connect.as_mut().unwrap().subs = subs.collect();
    let came = client.run(command);
    (client, came)
}

fn wish(channel: &str) -> SubscribeRequest {
    SubscribeRequest {
        channel: channel.to_owned(),
        ..SubscribeRequest::default()
    }
}

/// The channels of the reply, all of which must be live and the server's.
fn subscribed(client: &Client) -> Vec<String> {
    let result = client.last().connect.clone().unwrap();
    let channels: Vec<String> = result.subs.keys().cloned().collect();
    let live: Vec<String> = client.place.subscriptions.keys().cloned().collect();
    assert_eq!(channels, live);
    for channel in &channels {
        assert!(client.granted(channel).server_side, "{channel}");
    }
    channels
}

#[test]
fn a_token_subscribes_to_channels_whatever_their_permissions() {
    #[rustfmt::skip]
    let rows: Vec<(Value, Came, &[&str])> = vec![
        (json!({"channels": ["closed:a", "$users:b", "regex:ABC"]}), Done, &["$users:b", "closed:a", "regex:ABC"]),
        (json!({"subs": {"closed:a": {}, "limited:a#41": {}}}), Done, &["closed:a", "limited:a#41"]),
        (json!({"subs": {"closed:a": {}}, "channels": ["closed:b"]}), Done, &["closed:a"]),
        (json!({"subs": {}, "channels": ["closed:b"]}), Done, &["closed:b"]),
        (json!({"channels": ["closed:a", "closed:a"]}), Done, &["closed:a"]),
        (json!({"channels": []}), Done, &[]),
        (json!({"channels": ["closed:a", "unknown:a"]}), Refused(102), &[]),
        (json!({"subs": {"unknown:a": {}}}), Refused(102), &[]),
        (json!({"channels": ["closed:1", "closed:2", "closed:3", "closed:4"]}), Done,
            &["closed:1", "closed:2", "closed:3", "closed:4"]),
        (json!({"channels": ["closed:1", "closed:2", "closed:3", "closed:4", "closed:5"]}), Closed(3505), &[]),
    ];
    for (mut claims, expected, channels) in rows {
        claims["sub"] = "42".into();
        let (client, came) = come(&claims, Vec::new(), &options());
        assert_eq!(came, expected, "{claims}");
        if came == Done {
            assert_eq!(subscribed(&client), channels, "{claims}");
        } else {
            assert!(!client.session.is_ready() && client.place.identified.is_empty());
        }
    }
}

#[test]
fn options_of_a_tokens_subscription_go_where_they_belong() {
    let claims = json!({"sub": "42", "info": "me", "subs": {
        "kept:a": {"info": {"role": 1}, "data": "hello", "override": {"force_recovery": {"value": false}}},
        "closed:a": {"b64info": "AAE=", "b64data": "AgM=", "override": {"force_positioning": {"value": true}}},
    }});
    let (client, came) = come(&claims, Vec::new(), &options());
    assert_eq!(came, Done);
    let subs = client.last().connect.clone().unwrap().subs;
    let kept = client.granted("kept:a");
    assert_eq!(subs["kept:a"].data, "\"hello\"");
    assert!(!subs["kept:a"].recoverable && !kept.positioned && kept.presence);
    let member = kept.member.unwrap();
    assert_eq!(
        (&*member.conn_info, &*member.chan_info),
        (&b"\"me\""[..], &b"{\"role\":1}"[..])
    );
    assert_eq!(member.client, client.session.client.to_string());
    assert!(subs["closed:a"].positioned);
    assert_eq!(subs["closed:a"].data, &[2_u8, 3][..]);
}

#[test]
fn of_what_a_client_wants_it_gets_what_it_could_subscribe_to() {
    let user = json!({"sub": "42"});
    #[rustfmt::skip]
    let rows = [
        // channel, whether a user gets it, a client without token
        ("users:a", true, false),
        ("all:a", true, true),
        ("closed:a", false, false),
        ("$users:a", false, false),
        ("limited:a#42", true, false),
        ("limited:a#41", false, false),
        ("limited:a#", false, false),
        ("regex:abc", true, false),
        ("regex:ABC", false, false),
        ("users:ж", false, false),
    ];
    for (channel, for_user, for_nobody) in rows {
        for (claims, granted) in [(&user, for_user), (&Value::Null, for_nobody)] {
            let (client, came) = come(claims, vec![wish(channel)], &options());
            assert_eq!(came, Done, "{channel}");
            assert_eq!(
                subscribed(&client).len(),
                usize::from(granted),
                "{channel} {claims}"
            );
        }
        let mut insecure = options();
        insecure["client"]["insecure"] = true.into();
        let (client, _) = come(&Value::Null, vec![wish(channel)], &insecure);
        let valid = !matches!(channel, "$users:a" | "regex:ABC" | "users:ж");
        assert_eq!(
            subscribed(&client).len(),
            usize::from(valid),
            "{channel}, insecure"
        );
    }
    let (_, came) = come(&user, vec![wish("users:a"), wish("unknown:a")], &options());
    assert_eq!(came, Closed(3501));
    let many = (0..5).map(|n| wish(&format!("users:{n}"))).collect();
    assert_eq!(come(&user, many, &options()).1, Closed(3505));
    let refused = (0..9).map(|n| wish(&format!("closed:{n}"))).collect();
    assert_eq!(
        come(&user, refused, &options()).1,
        Done,
        "what is refused does not count"
    );
}

#[test]
fn a_client_says_from_where_to_recover_and_with_deltas_but_not_what_it_is_granted() {
    let claims = json!({"sub": "42", "channels": ["kept:a", "closed:a"]});
    let ask = |channel: &str| SubscribeRequest {
        recover: true,
        offset: 3,
        epoch: "e".to_owned(),
        delta: "fossil".to_owned(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        ..wish(channel)
    };
    let (client, came) = come(&claims, vec![ask("kept:a"), ask("closed:a")], &options());
    assert_eq!(came, Done);
    let subs = client.last().connect.clone().unwrap().subs;
    assert!(subs["kept:a"].was_recovering && subs["kept:a"].recoverable && subs["kept:a"].delta);
    assert!(!subs["closed:a"].positioned && !subs["closed:a"].delta);
    let since = Position {
        offset: 3,
        epoch: "e".into(),
    };
    let reads: Vec<_> = client
        .place
        .attached
        .iter()
        .map(|it| it.read.clone())
        .collect();
    let read = HistoryFilter {
        since: Some(since),
        limit: Some(300),
        reverse: false,
    };
    assert_eq!(reads, [None, Some(read)]);
}

#[test]
fn a_users_own_channel_comes_with_the_connect() {
    let personal = |namespace: &str| {
        let mut options = options();
        options["client"]["subscribe_to_user_personal_channel"] =
            json!({"enabled": true, "personal_channel_namespace": namespace});
        options
    };
    let user = json!({"sub": "42"});
    for (namespace, claims, channels) in [
        ("", user.clone(), &["#42"][..]),
        ("kept", user.clone(), &["kept:#42"]),
        ("", json!({}), &[]),
        ("", Value::Null, &[]),
        (
            "",
            json!({"sub": "42", "channels": ["#42", "closed:a"]}),
            &["#42", "closed:a"],
        ),
    ] {
        let (client, came) = come(&claims, Vec::new(), &personal(namespace));
        assert_eq!(came, Done);
        assert_eq!(subscribed(&client), channels, "{namespace} {claims}");
    }
    let (client, _) = come(&user, Vec::new(), &options());
    assert!(subscribed(&client).is_empty(), "unless it is not enabled");
}

#[test]
fn a_user_with_a_single_connection_comes_alone_or_not_at_all() {
    let mut options = options();
    options["client"]["subscribe_to_user_personal_channel"] =
        json!({"enabled": true, "single_connection": true});
    options["channel"]["without_namespace"]["presence"] = json!(true);
    let others = || vec!["42".to_owned(), "43".to_owned()];
    let mut client = Client::new(&with_key(&options));
    client.place.identified = others();
    assert_eq!(client.connect(&token(&json!({"sub": "42"}))), Done);
    assert_eq!(client.place.identified, ["43", "42"]);
    let mut client = Client::new(&with_key(&options));
    client.place.identified = others();
    let command = connect(&token(&json!({"sub": "42"})));
    let step = client.session.handle(command, &mut client.place);
    let Call { request, then } = called(step);
    let verified = client.answer(*request);
    client.place.broken = Some(BrokerError::Disconnected);
    let step = client.session.resume(then, verified, &mut client.place);
    let Step::Close(reason) = client.finish(step) else {
        panic!("not all nodes could be told")
    };
    assert_eq!(reason.code, 3004);
}

#[test]
fn a_server_side_subscription_that_fails_fails_the_connect() {
    for (error, code) in [
        (BrokerError::Disconnected, 100),
        (BrokerError::NoHistory, 108),
    ] {
        let mut client = Client::new(&with_key(&options()));
        client.place.broken = Some(error);
        let claims = json!({"sub": "42", "channels": ["closed:a"]});
        // The first request verifies the token, which needs no broker.
        let step = client
            .session
            .handle(connect(&token(&claims)), &mut client.place);
        let Call { request, then } = called(step);
        let broken = client.place.broken.take();
        let answer = client.answer(*request);
        client.place.broken = broken;
        let step = client.session.resume(then, answer, &mut client.place);
        assert!(matches!(client.finish(step), Step::Dead));
        assert_eq!(client.last().error.clone().unwrap().code, code);
        assert!(client.place.identified.is_empty());
    }
}

#[test]
fn a_client_cannot_subscribe_to_what_the_server_subscribed_it_to_but_can_leave_it() {
    let claims = json!({"sub": "42", "channels": ["users:a"]});
    let (mut client, _) = come(&claims, Vec::new(), &options());
    assert_eq!(client.subscribe("users:a"), Error(105));
    assert_eq!(client.run(unsubscribe("users:a")), Done);
    assert_eq!(client.subscribe("users:a"), Done);
    assert!(!client.granted("users:a").server_side);
}

#[test]
fn beyond_the_limit_of_connections_a_user_is_refused() {
    let mut options = options();
    options["client"]["user_connection_limit"] = 1.into();
    let mut client = Client::new(&with_key(&options));
    client.place.identified.push("42".to_owned());
    let connect = token(&json!({"sub": "42", "channels": ["closed:a"]}));
    assert_eq!(client.connect(&connect), Closed(3504));
    assert!(!client.session.is_ready());
}

#[test]
fn a_refresh_must_come_with_the_channels_that_the_client_has() {
    let user = |channels: &[&str]| json!({"sub": "42", "channels": channels});
    #[rustfmt::skip]
    let rows: [(&str, &[&str], &[&str], Came); 8] = [
        // channels left before the refresh, channels of the new token
        ("the same", &[], &["closed:a", "closed:b"], Done),
        ("in another order", &[], &["closed:b", "closed:a"], Done),
        ("one is missing", &[], &["closed:a"], Closed(3010)),
        ("all are missing", &[], &[], Closed(3010)),
        ("one is new", &[], &["closed:a", "closed:b", "closed:c"], Closed(3010)),
        ("one that the client subscribed to", &[], &["closed:a", "closed:b", "users:a"], Done),
        ("one was left, and is missing", &["closed:b"], &["closed:a"], Done),
        ("one was left", &["closed:b"], &["closed:a", "closed:b"], Closed(3010)),
    ];
    for (name, left, channels, expected) in rows {
        let (mut client, _) = come(&user(&["closed:a", "closed:b"]), Vec::new(), &options());
        assert_eq!(client.subscribe("users:a"), Done);
        for channel in left {
            assert_eq!(client.run(unsubscribe(channel)), Done);
        }
        assert_eq!(client.refresh(&token(&user(channels))), expected, "{name}");
    }
}
