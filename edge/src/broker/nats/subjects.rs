//! Which subject a channel has, and which names cannot be one.

use std::time::SystemTime;

/// A server drops a connection whose command line is longer than 4 KB; this leaves room for the rest of it.
const SUBJECT_BYTES_MAX: usize = 2048;

/// The subjects of one cluster of nodes.
#[derive(Debug)]
pub(crate) struct Subjects {
    client: String,
    own: String,
}

impl Subjects {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            client: format!("{prefix}.client."),
            own: format!("{prefix}.tw."),
        }
    }

    /// The channel's subject; none if the name would be a wildcard or no subject at all.
    pub(crate) fn channel(&self, channel: &str) -> Option<String> {
        let subject = || format!("{}{channel}", self.client);
        let fits = self.client.len() + channel.len() <= SUBJECT_BYTES_MAX;
        (fits && is_literal(channel)).then(subject)
    }

    /// The channel of a subject.
    pub(crate) fn channel_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.client)
    }

    /// A subject of our own, which Centrifugo does not know.
    pub(crate) fn own(&self, name: &str) -> String {
        format!("{}{name}", self.own)
    }
}

/// Whether the text can stand in a subject and means itself there.
pub(crate) fn is_literal(text: &str) -> bool {
    let unusable =
        |c: char| matches!(c, '*' | '>') || c.is_ascii_whitespace() || c.is_ascii_control();
    !text.contains(unusable) && text.split('.').all(|token| !token.is_empty())
}

/// Now, as the wire has it.
pub(crate) fn unix_millis() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_text_is_unchanged_in_the_subject() {
        let subjects = Subjects::new("centrifugo");
        assert_eq!(
            subjects.channel("chat:a#1,2.b").as_deref(),
            Some("centrifugo.client.chat:a#1,2.b")
        );
        assert_eq!(
            subjects.channel_of("centrifugo.client.chat:a.b"),
            Some("chat:a.b")
        );
        assert_eq!(subjects.channel_of("other.client.chat"), None);
    }

    #[test]
    fn names_that_are_no_literal_subject_are_refused() {
        let subjects = Subjects::new("p");
        for name in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a*",
            "*",
            "a.>",
            "x>y",
            "a b",
            "a\tb",
            "a\r\nPUB x",
            "a\0",
        ] {
            assert_eq!(subjects.channel(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_name_that_would_break_the_connection_is_refused() {
        let subjects = Subjects::new("p");
        assert!(subjects.channel(&"x".repeat(2000)).is_some());
        assert_eq!(subjects.channel(&"x".repeat(3000)), None);
    }
}
