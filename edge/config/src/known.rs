//! Names that are no options here, but mean something: to the reference program, or to the
//! versions before its version 6.
//!
//! Their users deserve better than "unknown key".

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::schema::{join, variable};

/// Options of the reference program that are not supported yet: single ones, and whole sections.
const LATER: &[&str] = &[
    "admin.external",
    "admin.handler_prefix",
    "admin.insecure",
    "admin.web_path",
    "admin.web_proxy_address",
    "broker.nats.allow_wildcards",
    "broker.nats.raw_mode",
    "broker.nats.tls",
    "broker.postgres",
    "broker.redis",
    "channel.namespaces[].map",
    "channel.namespaces[].map_clients_presence_channel_prefix",
    "channel.namespaces[].map_users_presence_channel_prefix",
    "channel.namespaces[].publish_proxy_enabled",
    "channel.namespaces[].publish_proxy_name",
    "channel.namespaces[].shared_poll",
    "channel.namespaces[].sub_refresh_proxy_enabled",
    "channel.namespaces[].sub_refresh_proxy_name",
    "channel.namespaces[].subscribe_proxy_enabled",
    "channel.namespaces[].subscribe_proxy_name",
    "channel.namespaces[].subscribe_stream_proxy_bidirectional",
    "channel.namespaces[].subscribe_stream_proxy_enabled",
    "channel.namespaces[].subscribe_stream_proxy_name",
    "channel.proxy",
    "channel.without_namespace.map",
    "channel.without_namespace.map_clients_presence_channel_prefix",
    "channel.without_namespace.map_users_presence_channel_prefix",
    "channel.without_namespace.publish_proxy_enabled",
    "channel.without_namespace.publish_proxy_name",
    "channel.without_namespace.shared_poll",
    "channel.without_namespace.sub_refresh_proxy_enabled",
    "channel.without_namespace.sub_refresh_proxy_name",
    "channel.without_namespace.subscribe_proxy_enabled",
    "channel.without_namespace.subscribe_proxy_name",
    "channel.without_namespace.subscribe_stream_proxy_bidirectional",
    "channel.without_namespace.subscribe_stream_proxy_enabled",
    "channel.without_namespace.subscribe_stream_proxy_name",
    "client.proxy",
    "consumers",
    "controller",
    "debug",
    "enable_unreleased_features",
    "engine.redis",
    "graphite",
    "grpc_api",
    "http_server.h2c_external",
    "http_server.http3",
    "http_server.tls_autocert",
    "map_broker",
    "opentelemetry",
    "presence_manager",
    "proxies",
    "rpc.namespaces[].proxy_enabled",
    "rpc.namespaces[].proxy_name",
    "rpc.proxy",
    "rpc.without_namespace",
    "shared_poll",
    "uni_grpc",
    "usage_stats",
    "webtransport",
];

/// Keys of older versions: where they stand, their name, and their answer.
///
/// The answer is the path since version 6, in the same namespace or section unless they stood at
/// the top; or an advice behind `!`; or `PRO` for what only the commercial edition has.
const OLD_KEYS: &str = include_str!("known/old_keys.tsv");

/// What a name means that no option has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An option of the reference program that is not supported yet.
    Later,
    /// A name of an older version, and what became of it.
    Old(String),
}

/// The meaning of a key. `section` is the path of what it stands in, with items of lists by name
/// or position: `channel.namespaces[chat]`.
pub(crate) fn of_key(section: &str, key: &str) -> Option<Meaning> {
    let place = without_items(section);
    if LATER.contains(&join(&place, key).as_str()) {
        return Some(Meaning::Later);
    }
    let scope = match place.as_str() {
        "" => return old_key(key).map(Meaning::Old),
        "channel.without_namespace" | "channel.namespaces[]" => "namespace",
        "rpc.namespaces[]" => "rpc_namespace",
        "client" => "client",
        "channel" => "channel",
        tls if tls.ends_with("tls") => "tls",
        _ => return None,
    };
    let advice = advice(answer(scope, key)?, |new| {
        since_version_6(&join(section, new))
    });
    Some(Meaning::Old(advice))
}

/// The meaning of a variable, without its prefix.
pub(crate) fn of_variable(suffix: &str) -> Option<Meaning> {
    if LATER.iter().any(|path| sets(suffix, path)) {
        return Some(Meaning::Later);
    }
    let answer = top_answer(&suffix.to_lowercase())?;
    let advice = advice(answer, |new| {
        let name = format!("TIDEWIRE_{}", variable(new));
        moved(&name, new)
    });
    Some(Meaning::Old(advice))
}

/// What became of a key that stood at the top of the file before version 6.
pub(crate) fn old_key(key: &str) -> Option<String> {
    Some(advice(top_answer(key)?, since_version_6))
}

fn advice(answer: &str, moved: impl FnOnce(&str) -> String) -> String {
    match answer.strip_prefix('!') {
        Some(advice) => advice.to_owned(),
        None if answer == "PRO" => "it belongs to the commercial edition".to_owned(),
        None => moved(answer),
    }
}

fn since_version_6(path: &str) -> String {
    moved(path, path)
}

/// `name` is the new name of the option at `path`.
fn moved(name: &str, path: &str) -> String {
    let path = without_items(path);
    let is_below = |section: &&str| {
        path.strip_prefix(*section)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if LATER.iter().any(is_below) {
        format!("since version 6 it is {name}, which is not supported yet")
    } else {
        format!("since version 6 it is {name}")
    }
}

fn top_answer(key: &str) -> Option<&'static str> {
    if key.starts_with("sockjs_") {
        return answer("top", "sockjs");
    }
    answer("top", key)
}

fn answer(scope: &str, key: &str) -> Option<&'static str> {
    static ANSWERS: LazyLock<HashMap<(&str, &str), &str>> = LazyLock::new(|| {
        let mut answers = HashMap::new();
        for line in OLD_KEYS.lines().skip(1) {
            let mut columns = line.split('\t');
            if let (Some(scope), Some(key), Some(answer)) =
                (columns.next(), columns.next(), columns.next())
            {
                answers.insert((scope, key), answer);
            }
        }
        answers
    });
    ANSWERS.get(&(scope, key)).copied()
}

/// Whether a variable sets the option at a path, or one below it.
fn sets(suffix: &str, path: &str) -> bool {
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with('_');
    let Some((list, option)) = path.split_once("[].") else {
        let whole = suffix.strip_prefix(variable(path).as_str());
        return whole.is_some_and(is_end);
    };
    let item = suffix.strip_prefix(&format!("{}_", variable(list)));
    let option = format!("_{}", variable(option));
    item.is_some_and(|item| {
        // The item's name may hold the same letters as the option.
        item.match_indices(&option)
            .any(|(at, _)| at > 0 && item.get(at + option.len()..).is_some_and(is_end))
    })
}

/// The path with `[]` for the item of a list, whichever it is.
fn without_items(path: &str) -> String {
    let mut short = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, item)) = rest.split_once('[') {
        short.push_str(before);
        short.push_str("[]");
        rest = item.split_once(']').map_or("", |(_, behind)| behind);
    }
    short.push_str(rest);
    short
}

#[cfg(test)]
mod tests {
    use super::{LATER, Meaning, OLD_KEYS, of_key, of_variable, without_items};
    use crate::schema::options;

    fn advice(section: &str, key: &str) -> String {
        match of_key(section, key) {
            Some(Meaning::Old(advice)) => advice,
            other => panic!("{section} {key}: {other:?}"),
        }
    }

    #[test]
    fn what_is_supported_does_not_count_as_later() {
        for option in options() {
            for later in LATER {
                assert!(
                    option.path != *later && !option.path.starts_with(&format!("{later}.")),
                    "{later} is supported: leave it out of the list"
                );
            }
        }
        assert!(LATER.is_sorted());
    }

    #[test]
    fn every_old_key_leads_to_an_option_of_the_reference_or_an_advice() {
        let reference: Vec<&str> = include_str!("../tests/data/options.tsv")
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        let mut counted = 0;
        for line in OLD_KEYS.lines().skip(1) {
            let [scope, old, new] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("three columns: {line}");
            };
            let section = match scope {
                "top" => "",
                "namespace" => "channel.namespaces[]",
                "rpc_namespace" => "rpc.namespaces[]",
                "tls" => "http_server.tls",
                "client" | "channel" => scope,
                other => panic!("{other}"),
            };
            if new != "PRO" && !new.starts_with('!') {
                let path = match section {
                    "" => new.to_owned(),
                    section => format!("{section}.{new}"),
                };
                assert!(reference.contains(&path.as_str()), "{old}: {path}");
            }
            assert!(of_key(section, old).is_some(), "{scope} {old}");
            counted += 1;
        }
        assert!(counted > 400, "{counted}");
    }

    #[test]
    fn an_old_key_is_answered_with_its_place_since_version_6() {
        for (section, key, new) in [
            ("", "token_hmac_secret_key", "client.token.hmac_secret_key"),
            ("", "secret", "client.token.hmac_secret_key"),
            ("", "api_key", "http_api.key"),
            ("", "history_size", "channel.without_namespace.history_size"),
            ("", "namespaces", "channel.namespaces"),
            ("", "tls_key", "http_server.tls.key_pem"),
            (
                "channel.namespaces[chat]",
                "history_lifetime",
                "channel.namespaces[chat].history_ttl",
            ),
            (
                "channel.without_namespace",
                "recover",
                "channel.without_namespace.force_recovery",
            ),
            (
                "http_server.internal_tls",
                "cert",
                "http_server.internal_tls.cert_pem",
            ),
        ] {
            let wanted = format!("since version 6 it is {new}");
            assert_eq!(advice(section, key), wanted, "{section} {key}");
        }
        assert_eq!(
            advice("", "redis_address"),
            "since version 6 it is engine.redis.address, which is not supported yet"
        );
        assert_eq!(
            advice("channel.namespaces[0]", "proxy_subscribe"),
            "since version 6 it is channel.namespaces[0].subscribe_proxy_enabled, which is not \
             supported yet"
        );
    }

    #[test]
    fn removed_and_commercial_keys_are_told_apart() {
        assert_eq!(advice("", "sockjs_url"), "it was removed");
        assert!(advice("", "granular_proxy_mode").contains("named proxies"));
        for (section, key) in [
            ("", "subscribe_cel"),
            ("", "database"),
            ("client", "write_delay"),
            ("channel", "patterns"),
            ("channel.namespaces[chat]", "keep_latest_publication"),
        ] {
            assert_eq!(
                advice(section, key),
                "it belongs to the commercial edition",
                "{key}"
            );
        }
    }

    #[test]
    fn a_key_that_means_nothing_has_no_meaning() {
        for (section, key) in [
            ("", "clinet"),
            ("", "sockjsx"),
            ("log", "secret"),
            ("channel.namespaces[chat]", "token_issuer"),
            ("node", "engine"),
        ] {
            assert_eq!(of_key(section, key), None, "{section} {key}");
        }
    }

    #[test]
    fn keys_of_options_and_sections_to_come_are_known() {
        for (section, key) in [
            ("", "proxies"),
            ("client", "proxy"),
            ("engine", "redis"),
            ("channel.namespaces[my.ns]", "map"),
            ("rpc.namespaces[2]", "proxy_name"),
        ] {
            assert_eq!(of_key(section, key), Some(Meaning::Later), "{key}");
        }
    }

    #[test]
    fn variables_have_the_meaning_of_their_option() {
        for later in [
            "ENGINE_REDIS_ADDRESS",
            "PROXIES",
            "CONSUMERS_KAFKA_ENABLED",
            "CHANNEL_NAMESPACES_CHAT_MAP_MODE",
            "CHANNEL_NAMESPACES_MY_MAP_NS_SUBSCRIBE_PROXY_NAME",
        ] {
            assert_eq!(of_variable(later), Some(Meaning::Later), "{later}");
        }
        for nothing in [
            "ENGINE_REDISX",
            "CHANNEL_NAMESPACES_MAP_PRESENCE",
            "CHANNEL_NAMESPACES_CHAT_PRESENCE",
        ] {
            assert_eq!(of_variable(nothing), None, "{nothing}");
        }
        let old = |new: &str| Some(Meaning::Old(format!("since version 6 it is {new}")));
        assert_eq!(
            of_variable("TOKEN_HMAC_SECRET_KEY"),
            old("TIDEWIRE_CLIENT_TOKEN_HMAC_SECRET_KEY")
        );
        assert_eq!(of_variable("ENGINE"), old("TIDEWIRE_ENGINE_TYPE"));
    }

    #[test]
    fn items_of_lists_are_left_out_of_a_path() {
        assert_eq!(without_items("a.b"), "a.b");
        assert_eq!(without_items("a.b[x.y].c[0].d"), "a.b[].c[].d");
        assert_eq!(without_items("a[b"), "a[]");
    }
}
