//! History, presence and RPC: who may ask, and what is answered.

use tidewire_protocol::{HistoryRequest, StreamPosition};

use super::*;

fn history(request: HistoryRequest) -> Command {
    Command {
        id: 5,
        history: Some(HistoryRequest {
            channel: "a".to_owned(),
            ..request
        }),
        ..Command::default()
    }
}

fn presence(channel: &str) -> [Command; 2] {
    let command = Command {
        id: 6,
        ..Command::default()
    };
    let channel = || channel.to_owned();
    [
        Command {
            presence: Some(PresenceRequest { channel: channel() }),
            ..command.clone()
        },
        Command {
            presence_stats: Some(PresenceStatsRequest { channel: channel() }),
            ..command
        },
    ]
}

#[test]
fn history_reads_as_much_as_is_asked_for_and_allowed() {
    let options = json!({
        "client": {"history_max_publication_limit": 50},
        "channel": {"without_namespace":
            {"history_size": 9, "history_ttl": "60s", "allow_history_for_client": true}},
    });
    for (limit, expected) in [(0, 0), (7, 7), (50, 50), (51, 50), (-1, 50), (i32::MIN, 50)] {
        let mut client = Client::connected(&options, "42");
        let request = HistoryRequest {
            limit,
            ..Default::default()
        };
        assert_eq!(client.run(history(request)), Done);
        let filter = HistoryFilter {
            limit: Some(expected),
            ..HistoryFilter::default()
        };
        assert_eq!(client.place.read, [filter], "{limit}");
        let result = client.last().history.clone().unwrap();
        assert_eq!((result.offset, &*result.epoch), (7, "e"));
    }
    #[rustfmt::skip]
    let rows = [
        (3, "e", false, Done),
        (3, "", true, Done),
        (0, "", false, Done),
        (0, "e", true, Error(107)),
    ];
    for (offset, epoch, reverse, expected) in rows {
        let mut client = Client::connected(&options, "42");
        let since = Some(StreamPosition {
            offset,
            epoch: epoch.to_owned(),
        });
        let request = HistoryRequest {
            limit: 1,
            since,
            reverse,
            ..Default::default()
        };
        assert_eq!(client.run(history(request)), expected, "{offset} {reverse}");
        let since = Position {
            offset,
            epoch: epoch.into(),
        };
        let filter = HistoryFilter {
            since: Some(since),
            limit: Some(1),
            reverse,
        };
        let asked: Vec<HistoryFilter> = (expected == Done).then_some(filter).into_iter().collect();
        assert_eq!(client.place.read, asked);
    }
    for (error, code) in [
        (BrokerError::UnknownEpoch, 112),
        (BrokerError::NoHistory, 108),
    ] {
        let mut client = Client::connected(&options, "42");
        client.place.broken = Some(error);
        assert_eq!(client.run(history(HistoryRequest::default())), Error(code));
    }
    let mut client = Client::connected(&options, "42");
    let mut nameless = history(HistoryRequest::default());
    nameless.history.as_mut().unwrap().channel.clear();
    assert_eq!(client.run(nameless), Closed(3501));
}

#[test]
fn presence_and_history_are_for_those_who_have_the_right() {
    let feature = json!({"presence": true, "history_size": 1, "history_ttl": "1s"});
    let channel = |rights: &[&str]| {
        let mut all = feature.clone();
        for right in rights {
            for feature in ["presence", "history"] {
                all[format!("allow_{feature}_for_{right}")] = true.into();
            }
        }
        all
    };
    #[rustfmt::skip]
    let rows = [
        // options, the outcome for a user and for an anonymous client, both again when subscribed
        (json!({}), [Error(108); 4]),
        (json!({"allow_presence_for_client": true, "allow_history_for_client": true}), [Error(108); 4]),
        (channel(&[]), [Error(103); 4]),
        (channel(&["client"]), [Done, Error(103), Done, Error(103)]),
        (channel(&["subscriber"]), [Error(103), Error(103), Done, Error(103)]),
        (channel(&["anonymous"]), [Error(103); 4]),
        (channel(&["client", "anonymous"]), [Done; 4]),
        (channel(&["subscriber", "anonymous"]), [Error(103), Error(103), Done, Done]),
    ];
    for (namespace, expected) in rows {
        let options = json!({"channel": {"without_namespace": namespace}});
        let mut commands = presence("a").to_vec();
        commands.push(history(HistoryRequest::default()));
        for command in commands {
            let mut outcomes = Vec::new();
            for subscribed in [false, true] {
                for user in ["42", ""] {
                    let mut client = Client::connected(&options, user);
                    client.place.open("a");
                    if subscribed {
                        client.place.settle("a", Settle::Live(Grant::default()));
                    }
                    outcomes.push(client.run(command.clone()));
                }
            }
            assert_eq!(outcomes, expected, "{options} {command:?}");
        }
    }
    let mut insecure = json!({"channel": {"without_namespace": feature}});
    insecure["client"] = json!({"insecure": true});
    for command in presence("a") {
        let mut client = Client::connected(&insecure, "");
        assert_eq!(client.run(command), Done);
    }
}

#[test]
fn presence_names_the_channel_and_counts_clients_and_users() {
    let options = json!({"client": {"insecure": true}, "channel": {"without_namespace": {"presence": true},
        "namespaces": [{"name": "regex", "presence": true, "channel_regex": "^[a-z]+$"}]}});
    let mut client = Client::connected(&options, "42");
    let [all, stats] = presence("a");
    assert_eq!(client.run(all), Done);
    let present = client.last().presence.clone().unwrap().presence;
    assert_eq!(present.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(client.run(stats), Done);
    let counts = client.last().presence_stats.clone().unwrap();
    assert_eq!(
        (counts.num_clients, counts.num_users),
        (3, 2),
        "anonymous clients are one user"
    );
    for (channel, expected) in [
        ("unknown:a", Error(102)),
        ("regex:A", Error(107)),
        ("", Closed(3501)),
    ] {
        for command in presence(channel) {
            let mut client = Client::connected(&options, "42");
            assert_eq!(client.run(command), expected, "{channel}");
        }
    }
}

#[test]
fn when_the_nodes_cannot_be_asked_presence_is_an_error() {
    let options =
        json!({"client": {"insecure": true}, "channel": {"without_namespace": {"presence": true}}});
    for command in presence("a") {
        let mut client = Client::connected(&options, "42");
        let step = client.session.handle(command, &mut client.place);
        let Call { then, .. } = called(step);
        let answer = Answer::Presence(None);
        let step = client.session.resume(then, answer, &mut client.place);
        assert!(matches!(step, Step::Idle));
        assert_eq!(client.last().error.clone().unwrap().code, 100);
    }
}

#[test]
fn only_the_builtin_ping_of_rpc_is_answered() {
    let call = |method: &str| Command {
        id: 7,
        rpc: Some(RPCRequest {
            method: method.to_owned(),
            ..RPCRequest::default()
        }),
        ..Command::default()
    };
    let ping = json!({"rpc": {"ping": {"enabled": true}}});
    let renamed = json!({"rpc": {
        "ping": {"enabled": true, "method": "known:rtt"}, "namespaces": [{"name": "known"}],
    }});
    #[rustfmt::skip]
    let rows = [
        (json!({}), "ping", Error(108)),
        (json!({}), "unknown:ping", Error(104)),
        (ping.clone(), "ping", Done),
        (ping.clone(), "pong", Error(104)),
        (ping, "unknown:ping", Error(104)),
        (renamed.clone(), "known:rtt", Done),
        (renamed.clone(), "ping", Error(104)),
        (renamed, "unknown:rtt", Error(104)),
    ];
    for (options, method, expected) in rows {
        let mut client = Client::connected(&options, "42");
        assert_eq!(client.run(call(method)), expected, "{options} {method}");
        if expected == Done {
            assert_eq!(client.last().rpc, Some(Default::default()));
        }
    }
}
