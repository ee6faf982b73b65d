//! From a channel's name to the options that apply to it.
//!
//! A name is never changed on the way: prefix, namespace and users are only read, because the
//! whole name identifies the channel. Setting a boundary or the prefix to the empty text turns
//! its mechanism off.

use std::collections::HashMap;

use regex::Regex;

use crate::{Channel, ChannelOptions, Config, DataFormat};

impl Channel {
    /// Name of the namespace that a channel asks for, or `None` when it has none.
    ///
    /// One private prefix is skipped, then everything before the first boundary is the name.
    pub fn namespace_name<'a>(&self, channel: &'a str) -> Option<&'a str> {
        self.split_name(channel).0
    }

    /// Whether the channel always needs a subscription token.
    pub fn is_private(&self, channel: &str) -> bool {
        !self.private_prefix.is_empty() && channel.starts_with(&self.private_prefix)
    }

    /// The users listed at the end of a channel's name, or `None` when it lists none.
    ///
    /// The list is everything behind the last user boundary. Whether it restricts anything is
    /// decided by `allow_user_limited_channels` of the namespace.
    pub fn user_limited_users<'a>(&'a self, channel: &'a str) -> Option<Users<'a>> {
        if self.user_boundary.is_empty() {
            return None;
        }
        let (_, list) = channel.rsplit_once(&self.user_boundary)?;
        Some(Users {
            rest: Some(list),
            separator: &self.user_separator,
        })
    }

    /// Whether a channel's name lists this user. The anonymous user is never listed.
    pub fn lists_user(&self, channel: &str, user: &str) -> bool {
        !user.is_empty()
            && self
                .user_limited_users(channel)
                .is_some_and(|mut users| users.any(|listed| listed == user))
    }

    /// The namespace's name, and the part of the channel's name behind the boundary.
    fn split_name<'a>(&self, channel: &'a str) -> (Option<&'a str>, &'a str) {
        if self.namespace_boundary.is_empty() {
            return (None, channel);
        }
        let name = match channel.strip_prefix(&self.private_prefix) {
            Some(name) if !self.private_prefix.is_empty() => name,
            Some(_) | None => channel,
        };
        match name.split_once(&self.namespace_boundary) {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, channel),
        }
    }
}

impl Config {
    /// The options of a channel, or `None` when its namespace is unknown.
    ///
    /// It walks the list of namespaces and allocates nothing. On a hot path use [`Namespaces`],
    /// which also applies the global defaults.
    pub fn resolve_channel(&self, channel: &str) -> Option<&ChannelOptions> {
        let Some(name) = self.channel.namespace_name(channel) else {
            return Some(&self.channel.without_namespace);
        };
        let found = self
            .channel
            .namespaces
            .iter()
            .find(|item| item.name == name)?;
        Some(&found.options)
    }

    /// Whether the channel always needs a subscription token: see [`Channel::is_private`].
    pub fn is_private(&self, channel: &str) -> bool {
        self.channel.is_private(channel)
    }

    /// The users listed in a channel's name: see [`Channel::user_limited_users`].
    pub fn user_limited_users<'a>(&'a self, channel: &'a str) -> Option<Users<'a>> {
        self.channel.user_limited_users(channel)
    }
}

/// The users in a channel's name, in order, empty ones included.
#[derive(Clone, Debug)]
pub struct Users<'a> {
    rest: Option<&'a str>,
    separator: &'a str,
}

impl<'a> Iterator for Users<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let list = self.rest.take()?;
        if self.separator.is_empty() {
            return Some(list);
        }
        match list.split_once(self.separator) {
            Some((user, rest)) => {
                self.rest = Some(rest);
                Some(user)
            }
            None => Some(list),
        }
    }
}

/// One namespace, ready for use: inherited options filled in, its expression compiled.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its name; empty for channels without namespace.
    pub name: String,
    /// Its options; `publication_data_format` and `history_meta_ttl` hold the global value where
    /// the namespace sets none.
    pub options: ChannelOptions,
    /// `channel_regex`, if set.
    regex: Option<Regex>,
}

impl Namespace {
    fn new(name: &str, options: &ChannelOptions, global: &Channel) -> Result<Self, regex::Error> {
        let mut options = options.clone();
        if options.publication_data_format == DataFormat::Unset {
            options.publication_data_format = global.publication_data_format;
        }
        if options.history_meta_ttl.is_zero() {
            options.history_meta_ttl = global.history_meta_ttl;
        }
        let regex = match options.channel_regex.as_str() {
            "" => None,
            pattern => Some(Regex::new(pattern)?),
        };
        Ok(Self {
            name: name.to_owned(),
            options,
            regex,
        })
    }
}

/// An index of all namespaces, built once for each configuration.
#[derive(Clone, Debug)]
pub struct Namespaces {
    channel: Channel,
    without: Namespace,
    by_name: HashMap<String, Namespace>,
}

impl Namespaces {
    /// Builds the index.
    ///
    /// # Errors
    /// A `channel_regex` that does not compile; [`Config::check`] reports it with its path, so
    /// check the configuration first.
    pub fn new(config: &Config) -> Result<Self, regex::Error> {
        let channel = &config.channel;
        let mut by_name = HashMap::with_capacity(channel.namespaces.len());
        for item in &channel.namespaces {
            let namespace = Namespace::new(&item.name, &item.options, channel)?;
            by_name.insert(item.name.clone(), namespace);
        }
        Ok(Self {
            without: Namespace::new("", &channel.without_namespace, channel)?,
            by_name,
            channel: Channel {
                namespaces: Vec::new(),
                ..channel.clone()
            },
        })
    }

    /// The namespace of a channel, or `None` when it is unknown.
    pub fn resolve(&self, channel: &str) -> Option<&Namespace> {
        match self.channel.namespace_name(channel) {
            Some(name) => self.by_name.get(name),
            None => Some(&self.without),
        }
    }

    /// Whether clients may use this name: it matches the namespace's expression, or without an
    /// expression consists of ASCII characters.
    ///
    /// The expression sees the part behind the namespace boundary, or the whole name when it has
    /// no namespace. The length limit is a separate rule.
    pub fn accepts_name(&self, namespace: &Namespace, channel: &str) -> bool {
        match &namespace.regex {
            Some(regex) => regex.is_match(self.channel.split_name(channel).1),
            None => channel.is_ascii(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Namespaces;
    use crate::{ChannelNamespace, ChannelOptions, Config, DataFormat, Duration};

    fn with_namespaces(names: &[&str]) -> Config {
        let mut config = Config::default();
        config.channel.namespaces = names
            .iter()
            .map(|name| ChannelNamespace {
                name: (*name).to_owned(),
                options: ChannelOptions {
                    channel_regex: format!("^{name}"),
                    ..ChannelOptions::default()
                },
            })
            .collect();
        config
    }

    fn resolved<'a>(config: &'a Config, channel: &str) -> Option<&'a str> {
        config
            .resolve_channel(channel)
            .map(|options| options.channel_regex.as_str())
    }

    #[test]
    fn the_first_boundary_ends_the_namespace() {
        let config = with_namespaces(&["chat", "news"]);
        assert_eq!(resolved(&config, "chat:room:1"), Some("^chat"));
        assert_eq!(resolved(&config, "news:"), Some("^news"));
        assert_eq!(resolved(&config, "room"), Some(""));
        assert_eq!(resolved(&config, "unknown:room"), None);
        assert_eq!(resolved(&config, ":room"), None);
    }

    #[test]
    fn exactly_one_private_prefix_is_skipped() {
        let config = with_namespaces(&["chat"]);
        assert_eq!(resolved(&config, "$chat:room"), Some("^chat"));
        assert_eq!(resolved(&config, "$$chat:room"), None);
        assert!(config.is_private("$chat:room"));
        assert!(!config.is_private("chat:$room"));
    }

    #[test]
    fn an_empty_boundary_or_prefix_turns_its_mechanism_off() {
        let mut config = with_namespaces(&["chat"]);
        config.channel.namespace_boundary = String::new();
        config.channel.private_prefix = String::new();
        config.channel.user_boundary = String::new();
        assert_eq!(resolved(&config, "unknown:room"), Some(""));
        assert!(!config.is_private("$room"));
        assert!(config.user_limited_users("room#1").is_none());
        config.channel.namespace_boundary = ":".to_owned();
        assert_eq!(resolved(&config, "$chat:room"), None);
    }

    #[test]
    fn users_stand_behind_the_last_boundary() {
        let config = Config::default();
        let users = |channel| -> Vec<&str> {
            config
                .user_limited_users(channel)
                .map(|users| users.collect())
                .unwrap_or_default()
        };
        assert_eq!(users("d#1,2"), ["1", "2"]);
        assert_eq!(users("d#1#2"), ["2"]);
        assert_eq!(users("d#"), [""]);
        assert_eq!(users("d"), Vec::<&str>::new());
        let mut single = Config::default();
        single.channel.user_separator = String::new();
        let listed: Vec<&str> = single
            .user_limited_users("d#1,2")
            .expect("a list")
            .collect();
        assert_eq!(listed, ["1,2"]);
    }

    #[test]
    fn the_anonymous_user_is_never_listed() {
        let channel = &Config::default().channel;
        assert!(channel.lists_user("d#1,2", "2"));
        assert!(!channel.lists_user("d#1,2", "12"));
        assert!(!channel.lists_user("d#", ""));
    }

    #[test]
    fn the_index_agrees_with_the_walk_and_fills_in_global_values() {
        let mut config = with_namespaces(&["chat", "news"]);
        config.channel.publication_data_format = DataFormat::Json;
        if let Some(news) = config.channel.namespaces.last_mut() {
            news.options.publication_data_format = DataFormat::Binary;
            news.options.history_meta_ttl = Duration::from_secs(7);
        }
        let index = Namespaces::new(&config).expect("valid expressions");
        for channel in ["chat:a", "$news:b", "c", "unknown:d"] {
            let walked = resolved(&config, channel);
            let indexed = index.resolve(channel);
            assert_eq!(indexed.map(|n| n.options.channel_regex.as_str()), walked);
        }
        let chat = &index.resolve("chat:a").expect("known").options;
        assert_eq!(chat.publication_data_format, DataFormat::Json);
        assert_eq!(chat.history_meta_ttl, Duration::from_secs(720 * 3600));
        let news = &index.resolve("news:a").expect("known").options;
        assert_eq!(news.publication_data_format, DataFormat::Binary);
        assert_eq!(news.history_meta_ttl, Duration::from_secs(7));
    }

    #[test]
    fn the_expression_sees_the_part_behind_the_namespace_and_lifts_the_ascii_rule() {
        let mut config = with_namespaces(&["chat", "free"]);
        config.channel.namespaces[0].options.channel_regex = "^[a-zé]+$".to_owned();
        config.channel.namespaces[1].options.channel_regex = String::new();
        let index = Namespaces::new(&config).expect("valid expressions");
        let accepts = |channel: &str| {
            index
                .resolve(channel)
                .map(|namespace| index.accepts_name(namespace, channel))
        };
        assert_eq!(accepts("chat:né"), Some(true));
        assert_eq!(accepts("chat:1"), Some(false));
        assert_eq!(accepts("free:né"), Some(false));
        assert_eq!(accepts("free:1"), Some(true));
    }

    #[test]
    fn a_broken_expression_is_an_error() {
        let mut config = Config::default();
        config.channel.without_namespace.channel_regex = "(".to_owned();
        assert!(Namespaces::new(&config).is_err());
    }
}
