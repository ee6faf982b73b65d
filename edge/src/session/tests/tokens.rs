//! Subscription tokens (channels-and-auth, section 12.2) and their refresh (client-protocol, section 8).

use tidewire_protocol::SubRefreshRequest;

use super::*;

/// Claims over those of a good token of user 42 for channel `a`.
fn claims(more: Value) -> Value {
    let mut all = json!({"sub": "42", "channel": "a"});
    tidewire_config::merge(&mut all, more);
    all
}

fn with_token(channel: &str, token: String) -> SubscribeRequest {
    SubscribeRequest {
        channel: channel.to_owned(),
        token,
        ..SubscribeRequest::default()
    }
}

#[test]
fn a_subscription_token_is_for_one_user_one_channel_and_one_time() {
    #[rustfmt::skip]
    let rows: Vec<(&str, Value, Came)> = vec![
        ("good", json!({}), Done),
        ("another user", json!({"sub": "43"}), Closed(3500)),
        ("nobody", json!({"sub": null}), Closed(3500)),
        ("a user that is a number", json!({"sub": 42}), Error(103)),
        ("another channel", json!({"channel": "b"}), Closed(3500)),
        ("no channel", json!({"channel": null}), Error(103)),
        ("another client", json!({"client": "x"}), Closed(3500)),
        ("any client", json!({"client": ""}), Done),
        ("expired", json!({"exp": NOW - 1}), Error(109)),
        ("expires this very second", json!({"exp": NOW}), Error(109)),
        ("not valid yet", json!({"nbf": NOW + 5}), Error(109)),
        ("valid since a while", json!({"nbf": NOW - 5, "exp": NOW + 5}), Done),
        ("expiry in the past", json!({"expire_at": NOW - 1}), Error(110)),
        ("expiry in the past, token good", json!({"exp": NOW + 5, "expire_at": NOW}), Error(110)),
        ("never expires", json!({"expire_at": 0}), Done),
        ("bad Base64", json!({"b64info": "!"}), Error(103)),
    ];
    for (name, more, expected) in rows {
        let mut client = Client::connected(&json!({}), "42");
        let request = with_token("a", token(&claims(more)));
        assert_eq!(client.subscribe_as(request), expected, "{name}");
        let subscribed = client.place.subscribed("a") == Subscribed::Yes;
        assert_eq!(subscribed, expected == Done, "{name}");
    }
    let mut client = Client::connected(&json!({}), "42");
    let own = json!({"client": client.session.client.to_string()});
    let request = with_token("a", token(&claims(own)));
    assert_eq!(client.subscribe_as(request), Done, "this very client");
    let request = with_token("b", signed(&claims(json!({"channel": "b"})), "other"));
    assert_eq!(client.subscribe_as(request), Error(103), "another key");
    // An anonymous client has tokens of nobody.
    let mut client = Client::connected(&json!({}), "");
    let request = with_token("a", token(&json!({"channel": "a"})));
    assert_eq!(client.subscribe_as(request), Done);
}

#[test]
fn a_token_decides_alone_but_the_channel_must_be_one() {
    #[rustfmt::skip]
    let rows = [
        ("closed:a", Done),
        ("$closed:a", Done),
        ("limited:a#41", Done),
        ("unknown:a", Error(102)),
        ("$unknown:a", Error(102)),
        ("closed:ж", Error(107)),
        ("regex:ABC", Error(107)),
        ("closed:aaaaaaaaaaaaaaaaaaaa", Error(107)),
    ];
    for (channel, expected) in rows {
        let mut client = Client::connected(&namespaces(), "42");
        let good = token(&claims(json!({"channel": channel})));
        assert_eq!(
            client.subscribe_as(with_token(channel, good)),
            expected,
            "{channel}"
        );
    }
    // Whoever sends a bad token is refused where everybody may subscribe.
    let mut client = Client::connected(&namespaces(), "42");
    let expired = token(&claims(json!({"channel": "all:a", "exp": 1})));
    assert_eq!(
        client.subscribe_as(with_token("all:a", expired)),
        Error(109)
    );
    assert_eq!(
        client.subscribe_as(with_token("all:a", String::new())),
        Done
    );
}

#[test]
fn a_token_grants_the_subscription_and_no_other_right() {
    let options = json!({"channel": {"without_namespace":
        {"presence": true, "history_size": 1, "history_ttl": "1s"}}});
    let mut client = Client::connected(&options, "42");
    let good = token(&claims(json!({})));
    let request = SubscribeRequest {
        positioned: true,
        ..with_token("a", good)
    };
    assert_eq!(client.subscribe_as(request), Done);
    assert!(!client.last().subscribe.clone().unwrap().positioned);
    assert_eq!(client.publish("a", "1"), Error(103));
    for command in others() {
        if command.rpc.is_none() {
            assert_eq!(client.run(command.clone()), Error(103), "{command:?}");
        }
    }
}

#[test]
fn info_data_and_expiry_of_a_token_go_where_they_belong() {
    let mut client = Client::connected(&json!({}), "42");
    let more = json!({"exp": NOW + 60, "info": {"role": "x"}, "data": [1]});
    assert_eq!(
        client.subscribe_as(with_token("a", token(&claims(more)))),
        Done
    );
    let result = client.last().subscribe.clone().unwrap();
    assert_eq!((result.expires, result.ttl), (true, 60));
    assert_eq!(result.data, "[1]");
    let grant = client.granted("a");
    assert_eq!(grant.expire_at, Some(NOW + 60));
    let member = grant.member.unwrap();
    assert_eq!(
        (&*member.user, &*member.chan_info),
        ("42", &b"{\"role\":\"x\"}"[..])
    );
    let more = json!({"channel": "b", "b64info": "AAE=", "b64data": "AgM=", "exp": NOW + 9, "expire_at": 0});
    assert_eq!(
        client.subscribe_as(with_token("b", token(&claims(more)))),
        Done
    );
    let result = client.last().subscribe.clone().unwrap();
    assert_eq!((result.expires, result.ttl), (false, 0));
    assert_eq!(result.data, &[2_u8, 3][..]);
    assert_eq!(
        client.granted("b").member.unwrap().chan_info,
        &[0_u8, 1][..]
    );
    let long = json!({"channel": "c", "exp": NOW + 2 * YEAR});
    assert_eq!(
        client.subscribe_as(with_token("c", token(&claims(long)))),
        Done
    );
    assert_eq!(
        u64::from(client.last().subscribe.clone().unwrap().ttl),
        YEAR
    );
}

#[test]
fn subscription_tokens_can_have_keys_and_rules_of_their_own() {
    let options = json!({"client": {"subscription_token": {
        "enabled": true, "hmac_secret_key": "other", "issuer": "it", "audience": "me",
    }}});
    let good = json!({"iss": "it", "aud": ["you", "me"]});
    #[rustfmt::skip]
    let rows = [
        ("good", signed(&claims(good.clone()), "other"), Done),
        ("the key of connections", token(&claims(good)), Error(103)),
        ("no issuer", signed(&claims(json!({"aud": "me"})), "other"), Error(103)),
        ("another audience", signed(&claims(json!({"iss": "it", "aud": "you"})), "other"), Error(103)),
    ];
    for (name, token, expected) in rows {
        let mut client = Client::connected(&options, "42");
        assert_eq!(
            client.subscribe_as(with_token("a", token)),
            expected,
            "{name}"
        );
    }
}

fn refresh(channel: &str, token: String) -> Command {
    Command {
        id: 8,
        sub_refresh: Some(SubRefreshRequest {
            channel: channel.to_owned(),
            token,
            ..SubRefreshRequest::default()
        }),
        ..Command::default()
    }
}

/// A client with an expiring subscription to `a`.
fn expiring() -> Client {
    let mut client = Client::connected(&json!({}), "42");
    let first = token(&claims(json!({"exp": NOW + 60, "info": "old"})));
    assert_eq!(client.subscribe_as(with_token("a", first)), Done);
    client
}

#[test]
fn a_refresh_of_a_subscription_moves_its_expiry_or_says_why_not() {
    let old = Some(NOW + 60);
    let good = |more: Value| token(&claims(more));
    #[rustfmt::skip]
    let rows = [
        ("later", "a", good(json!({"exp": NOW + 160})), Done, Some(NOW + 160)),
        ("never", "a", good(json!({})), Done, None),
        ("never, by expire_at", "a", good(json!({"exp": NOW + 5, "expire_at": 0})), Done, None),
        ("the channel of the token", "", good(json!({"exp": NOW + 160})), Done, Some(NOW + 160)),
        ("no token", "a", String::new(), Error(107), old),
        ("nothing at all", "", String::new(), Closed(3501), old),
        ("not subscribed", "b", good(json!({"channel": "b"})), Error(103), old),
        ("not subscribed to the token's channel", "", good(json!({"channel": "b"})), Error(103), old),
        ("another channel", "a", good(json!({"channel": "b"})), Closed(3500), old),
        ("another user", "a", good(json!({"sub": "43"})), Closed(3500), old),
        ("another client", "a", good(json!({"client": "x"})), Closed(3500), old),
        ("another key", "a", signed(&claims(json!({})), "other"), Closed(3500), old),
        ("not a token", "a", "x".into(), Closed(3500), old),
        ("expired, of an unknown channel", "", good(json!({"exp": 1})), Error(109), old),
    ];
    for (name, channel, token, expected, expire_at) in rows {
        let mut client = expiring();
        assert_eq!(client.run(refresh(channel, token)), expected, "{name}");
        assert_eq!(client.granted("a").expire_at, expire_at, "{name}");
        if expected == Done {
            let result = client.last().sub_refresh.clone().unwrap();
            let ttl = expire_at.map_or(0, |at| at - NOW);
            assert_eq!(
                (result.expires, u64::from(result.ttl)),
                (expire_at.is_some(), ttl),
                "{name}"
            );
        }
    }
}

#[test]
fn a_refresh_that_comes_too_late_ends_the_subscription_without_an_error() {
    for more in [
        json!({"exp": NOW}),
        json!({"nbf": NOW + 9}),
        json!({"expire_at": NOW}),
    ] {
        let mut client = expiring();
        assert_eq!(
            client.run(refresh("a", token(&claims(more.clone())))),
            Done,
            "{more}"
        );
        assert_eq!(
            client.last().sub_refresh,
            Some(Default::default()),
            "{more}"
        );
        assert_eq!(client.place.expired, ["a"], "{more}");
        assert_eq!(client.place.subscribed("a"), Subscribed::No, "{more}");
    }
    let mut client = expiring();
    let grant = Grant {
        server_side: true,
        ..client.granted("a")
    };
    client.place.subscriptions.insert("a".to_owned(), Ok(grant));
    let late = token(&claims(json!({"exp": NOW})));
    assert_eq!(client.run(refresh("a", late)), Closed(3006));
}

#[test]
fn a_refresh_adopts_the_new_info_of_a_subscription() {
    let mut client = expiring();
    assert_eq!(client.granted("a").member.unwrap().chan_info, "\"old\"");
    let new = token(&claims(json!({"info": "new"})));
    assert_eq!(client.run(refresh("a", new)), Done);
    assert_eq!(client.granted("a").member.unwrap().chan_info, "\"new\"");
}

#[test]
fn a_subscription_that_is_still_opening_cannot_be_refreshed() {
    let mut client = Client::connected(&json!({}), "42");
    client.place.open("a");
    let good = token(&claims(json!({})));
    assert_eq!(client.run(refresh("a", good)), Error(103));
}
