//! Namespaces of channels and methods, and what their options need from each other.

use std::collections::HashSet;

use regex::Regex;

use super::{Violations, last_line};
use crate::{ChannelOptions, Config, Duration, RecoveryMode};

pub(super) fn check(config: &Config, found: &mut Violations) {
    let channel = &config.channel;
    whole_seconds("channel.history_meta_ttl", channel.history_meta_ttl, found);
    let names = channel.namespaces.iter().map(|item| item.name.as_str());
    check_names("channel.namespaces", names, found);
    let methods = config.rpc.namespaces.iter().map(|item| item.name.as_str());
    check_names("rpc.namespaces", methods, found);
    let without = ("channel.without_namespace", &channel.without_namespace);
    check_history(config, without, found);
    check_options(without, found);
    for item in &channel.namespaces {
        let at = format!("channel.namespaces[{}]", item.name);
        let options = (at.as_str(), &item.options);
        check_history(config, options, found);
        check_options(options, found);
    }
    check_personal_channel(config, found);
}

fn check_names<'a>(list: &str, names: impl Iterator<Item = &'a str>, found: &mut Violations) {
    let mut seen = HashSet::new();
    for (index, name) in names.enumerate() {
        if !is_namespace_name(name) {
            found.add(
                format!("{list}[{index}].name"),
                format!(
                    "{name:?} is not a name: use at least two letters, digits, dots, hyphens or \
                     underscores"
                ),
            );
        }
        if !seen.insert(name) {
            found.add(
                format!("{list}[{index}].name"),
                format!("{name:?} stands twice: keep one of the two or rename it"),
            );
        }
    }
}

fn check_history(config: &Config, (at, options): (&str, &ChannelOptions), found: &mut Violations) {
    let (size, ttl) = (options.history_size, options.history_ttl);
    let meta_ttl = if options.history_meta_ttl.is_zero() {
        config.channel.history_meta_ttl
    } else {
        options.history_meta_ttl
    };
    if size > 0 && ttl.is_zero() {
        found.add(
            format!("{at}.history_ttl"),
            format!(
                "history_size is {size} but history_ttl is not set: set both, or neither to keep \
                 no history"
            ),
        );
    }
    if size == 0 && !ttl.is_zero() {
        found.add(
            format!("{at}.history_size"),
            format!(
                "history_ttl is {ttl} but history_size is not set: set both, or neither to keep \
                 no history"
            ),
        );
    }
    whole_seconds(&format!("{at}.history_ttl"), ttl, found);
    whole_seconds(
        &format!("{at}.history_meta_ttl"),
        options.history_meta_ttl,
        found,
    );
    if ttl > meta_ttl {
        found.add(
            format!("{at}.history_ttl"),
            format!(
                "{ttl} is longer than the history_meta_ttl that applies ({meta_ttl}): shorten it \
                 or raise history_meta_ttl"
            ),
        );
    }
    if options.force_recovery && (size == 0 || ttl.is_zero()) {
        found.add(
            format!("{at}.force_recovery"),
            "recovery needs history: set history_size and history_ttl too",
        );
    }
}

fn check_options((at, options): (&str, &ChannelOptions), found: &mut Violations) {
    let is_cache = options.force_recovery && options.force_recovery_mode == RecoveryMode::Cache;
    if options.auto_cache_recover && !is_cache {
        found.add(
            format!("{at}.auto_cache_recover"),
            "only the latest publication can be recovered unasked: set force_recovery, and \
             force_recovery_mode to cache",
        );
    }
    if let Err(error) = Regex::new(&options.channel_regex) {
        found.add(
            format!("{at}.channel_regex"),
            format!(
                "{:?} is not a regular expression: {}",
                options.channel_regex,
                last_line(&error.to_string())
            ),
        );
    }
}

fn check_personal_channel(config: &Config, found: &mut Violations) {
    let personal = &config.client.subscribe_to_user_personal_channel;
    if !personal.enabled {
        return;
    }
    let name = &personal.personal_channel_namespace;
    let mut namespaces = config.channel.namespaces.iter();
    let options = match name.as_str() {
        "" => Some(&config.channel.without_namespace),
        name => namespaces
            .find(|item| item.name == name)
            .map(|item| &item.options),
    };
    match options {
        None => found.add(
            "client.subscribe_to_user_personal_channel.personal_channel_namespace",
            format!("there is no namespace {name:?}: add it to channel.namespaces"),
        ),
        Some(options) if personal.single_connection && !options.presence => found.add(
            "client.subscribe_to_user_personal_channel.single_connection",
            "other connections are found by presence: set presence where the personal channels are",
        ),
        Some(_) => {}
    }
}

fn whole_seconds(path: &str, duration: Duration, found: &mut Violations) {
    if !duration.is_whole_seconds() {
        found.add(
            path,
            format!("{duration} must be a whole number of seconds: round it"),
        );
    }
}

fn is_namespace_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() >= 2 && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use crate::check::tests::{namespace, refused, violations};
    use crate::{ChannelOptions, Config, Duration, RecoveryMode, RpcNamespace};

    #[test]
    fn names_of_method_namespaces_are_well_formed_and_unique() {
        let named = |name: &str| RpcNamespace {
            name: name.to_owned(),
        };
        refused("rpc.namespaces[0].name", "at least two", |config| {
            config.rpc.namespaces = vec![named("a:b")];
        });
        refused("rpc.namespaces[2].name", "twice", |config| {
            config.rpc.namespaces = vec![named("chat"), named("news"), named("chat")];
        });
    }

    #[test]
    fn automatic_recovery_needs_forced_recovery_of_the_latest_publication() {
        let set = |config: &mut Config, force_recovery, force_recovery_mode| {
            let options = &mut config.channel.without_namespace;
            options.history_size = 1;
            options.history_ttl = Duration::from_secs(60);
            options.auto_cache_recover = true;
            options.force_recovery = force_recovery;
            options.force_recovery_mode = force_recovery_mode;
        };
        for (force, mode) in [
            (true, RecoveryMode::Unset),
            (true, RecoveryMode::Stream),
            (false, RecoveryMode::Cache),
        ] {
            refused(
                "channel.without_namespace.auto_cache_recover",
                "force_recovery_mode to cache",
                |config| set(config, force, mode),
            );
        }
        let allowed = |config: &mut Config| set(config, true, RecoveryMode::Cache);
        assert_eq!(violations(allowed), []);
    }

    #[test]
    fn the_personal_channel_needs_its_namespace() {
        let path = "client.subscribe_to_user_personal_channel.personal_channel_namespace";
        let named = |config: &mut Config| {
            let personal = &mut config.client.subscribe_to_user_personal_channel;
            personal.personal_channel_namespace = "mine".to_owned();
        };
        assert_eq!(violations(named), []);
        refused(path, "add it", |config| {
            named(config);
            config.client.subscribe_to_user_personal_channel.enabled = true;
        });
        let present = |config: &mut Config| {
            named(config);
            config.client.subscribe_to_user_personal_channel.enabled = true;
            config.channel.namespaces = vec![namespace("mine", ChannelOptions::default())];
        };
        assert_eq!(violations(present), []);
    }

    #[test]
    fn a_single_connection_per_user_needs_presence() {
        let path = "client.subscribe_to_user_personal_channel.single_connection";
        let single = |config: &mut Config| {
            let personal = &mut config.client.subscribe_to_user_personal_channel;
            personal.enabled = true;
            personal.single_connection = true;
        };
        refused(path, "set presence", single);
        let with_presence = |config: &mut Config| {
            single(config);
            config.channel.without_namespace.presence = true;
        };
        assert_eq!(violations(with_presence), []);
    }
}
