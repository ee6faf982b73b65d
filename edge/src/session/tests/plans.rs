//! Who gets what of a channel: its namespace's options, what the client asked for, its rights, its token.

use super::*;

/// What a subscription got.
#[derive(Debug, PartialEq, Eq, Default)]
struct Got {
    positioned: bool,
    recoverable: bool,
    /// Joins of others reach it, its own reach others.
    joins: (bool, bool),
    presence: bool,
    delta: bool,
}

/// A namespace with these options over the ones that recovery needs.
fn namespace(options: Value) -> Value {
    let mut all = json!({"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
        "history_size": 10, "history_ttl": "60s"});
    tidewire_config::merge(&mut all, options);
    json!({"channel": {"without_namespace": all}})
}

fn everything() -> SubscribeRequest {
    SubscribeRequest {
        channel: "a".to_owned(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        delta: "fossil".to_owned(),
        ..SubscribeRequest::default()
    }
}

fn nothing() -> SubscribeRequest {
    SubscribeRequest {
        channel: "a".to_owned(),
        ..SubscribeRequest::default()
    }
}

fn got(client: &mut Client, request: SubscribeRequest) -> Got {
    let channel = request.channel.clone();
    assert_eq!(client.subscribe_as(request), Done);
    let result = client.last().subscribe.clone().unwrap();
    let grant = client.granted(&channel);
    assert_eq!(grant.positioned, result.positioned);
    assert_eq!(grant.delta != Delta::Off, result.delta);
    assert_eq!(
        grant.position.is_some(),
        result.positioned || has_history(client)
    );
    Got {
        positioned: result.positioned,
        recoverable: result.recoverable,
        joins: (grant.push_joins, grant.emit_joins),
        presence: grant.presence,
        delta: result.delta,
    }
}

fn has_history(client: &Client) -> bool {
    client
        .place
        .live
        .config
        .channel
        .without_namespace
        .history_size
        > 0
}

const POSITION: Got = Got {
    positioned: true,
    recoverable: false,
    joins: (false, false),
    presence: false,
    delta: false,
};
const RECOVERY: Got = Got {
    recoverable: true,
    ..POSITION
};
const NOTHING: Got = Got {
    positioned: false,
    ..POSITION
};

#[test]
fn what_is_forced_everybody_gets_and_what_is_allowed_those_who_ask() {
    let joins = |joins| Got { joins, ..NOTHING };
    let presence = |joins| Got {
        presence: true,
        joins,
        ..NOTHING
    };
    #[rustfmt::skip]
    let rows: Vec<(Value, Got, Got)> = vec![
        // options, without asking, asking for everything
        (json!({}), NOTHING, NOTHING),
        (json!({"allow_positioning": true}), NOTHING, POSITION),
        (json!({"allow_recovery": true}), NOTHING, RECOVERY),
        (json!({"force_positioning": true}), POSITION, POSITION),
        (json!({"force_recovery": true}), RECOVERY, RECOVERY),
        (json!({"allow_history_for_client": true}), NOTHING, RECOVERY),
        (json!({"allow_history_for_subscriber": true}), NOTHING, RECOVERY),
        (json!({"allow_history_for_anonymous": true}), NOTHING, NOTHING),
        (json!({"join_leave": true}), joins((false, true)), joins((false, true))),
        (json!({"join_leave": true, "allow_presence_for_client": true}), joins((false, true)), joins((true, true))),
        (json!({"join_leave": true, "allow_presence_for_subscriber": true}), joins((false, true)), joins((true, true))),
        (json!({"allow_presence_for_client": true}), NOTHING, NOTHING),
        (json!({"join_leave": true, "force_push_join_leave": true}), joins((true, true)), joins((true, true))),
        (json!({"force_push_join_leave": true}), joins((true, false)), joins((true, false))),
        (json!({"presence": true}), presence((false, false)), presence((false, false))),
        (json!({"allowed_delta_types": ["fossil"]}), NOTHING, Got { delta: true, ..NOTHING }),
    ];
    for (options, without, asking) in rows {
        let options = namespace(options);
        for (request, expected) in [(nothing(), without), (everything(), asking)] {
            let mut client = Client::connected(&options, "42");
            assert_eq!(got(&mut client, request), expected, "{options}");
        }
    }
}

#[test]
fn an_anonymous_client_needs_the_right_of_anonymous_clients_too() {
    let rows = [
        (json!({"allow_history_for_client": true}), NOTHING),
        (
            json!({"allow_history_for_subscriber": true, "allow_history_for_anonymous": true}),
            RECOVERY,
        ),
        (
            json!({"join_leave": true, "allow_presence_for_client": true}),
            Got {
                joins: (false, true),
                ..NOTHING
            },
        ),
    ];
    for (options, expected) in rows {
        let mut client = Client::connected(&namespace(options.clone()), "");
        assert_eq!(got(&mut client, everything()), expected, "{options}");
    }
}

#[test]
fn in_insecure_mode_who_asks_gets_what_the_channel_has() {
    let mut options = namespace(json!({"join_leave": true}));
    options["client"] = json!({"insecure": true});
    let mut client = Client::connected(&options, "");
    let expected = Got {
        joins: (true, true),
        ..RECOVERY
    };
    assert_eq!(got(&mut client, everything()), expected);
}

#[test]
fn a_channel_without_history_can_have_a_position_but_none_is_kept_for_who_does_not_ask() {
    let mut options = namespace(json!({"allow_positioning": true}));
    for option in ["history_size", "history_ttl"] {
        let namespace = &mut options["channel"]["without_namespace"];
        namespace.as_object_mut().unwrap().remove(option);
    }
    let mut client = Client::connected(&options, "42");
    assert_eq!(got(&mut client, nothing()), NOTHING);
    assert!(client.place.attached[0].stream.is_none());
    let mut client = Client::connected(&options, "42");
    let mut request = everything();
    request.recoverable = false;
    assert_eq!(got(&mut client, request), POSITION);
    assert!(
        client.place.attached[0]
            .stream
            .is_some_and(|stream| stream.size == 0)
    );
}

#[test]
fn a_token_overrides_what_the_namespace_says() {
    let all = |value: bool| {
        let value = json!({"value": value});
        json!({"presence": value, "join_leave": value, "force_push_join_leave": value,
            "force_positioning": value, "force_recovery": value})
    };
    let off = namespace(json!({}));
    let on = namespace(
        json!({"presence": true, "join_leave": true, "force_push_join_leave": true,
        "force_positioning": true, "force_recovery": true}),
    );
    let full = || Got {
        joins: (true, true),
        presence: true,
        ..RECOVERY
    };
    let rows = [
        ("nothing overridden", &off, json!({}), NOTHING),
        ("nothing overridden", &on, json!({}), full()),
        ("all on", &off, all(true), full()),
        ("all off", &on, all(false), NOTHING),
        (
            "positioning alone",
            &off,
            json!({"force_positioning": {"value": true}}),
            POSITION,
        ),
        (
            "recovery off leaves the position",
            &on,
            json!({"force_recovery": {"value": false}}),
            Got {
                recoverable: false,
                ..full()
            },
        ),
        (
            "recovery needs the position",
            &on,
            json!({"force_positioning": {"value": false}}),
            full(),
        ),
        (
            "a value left out is false",
            &on,
            json!({"presence": {}}),
            Got {
                presence: false,
                ..full()
            },
        ),
    ];
    for (name, options, overrides, expected) in rows {
        let mut client = Client::connected(options, "42");
        let claims = json!({"sub": "42", "channel": "a", "override": overrides});
        let mut request = nothing();
        request.token = token(&claims);
        assert_eq!(got(&mut client, request), expected, "{name}");
    }
}

#[test]
fn a_filter_takes_the_place_of_deltas() {
    let options = namespace(json!({"allow_tags_filter": true, "allowed_delta_types": ["fossil"]}));
    let filter = |cmp: &str| {
        Some(Box::new(tidewire_protocol::FilterNode {
            key: "k".to_owned(),
            cmp: cmp.to_owned(),
            val: "1".to_owned(),
            ..Default::default()
        }))
    };
    let mut client = Client::connected(&options, "42");
    let mut request = everything();
    request.tf = filter("eq");
    assert_eq!(got(&mut client, request), NOTHING);
    let filter_of = client.granted("a").filter.unwrap();
    assert!(filter_of.matches(&[("k".to_owned(), "1".to_owned())].into()));
    assert!(!filter_of.matches(&BTreeMap::new()));
    let mut request = everything();
    (request.channel, request.tf) = ("b".to_owned(), filter("unknown"));
    assert_eq!(client.subscribe_as(request), Error(107));
}
