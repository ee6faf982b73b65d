//! Which web pages may connect: the `client.allowed_origins` check.
//!
//! Browsers send an `Origin` header with every WebSocket handshake and
//! cross-site request; other clients do not, and are let through.

use globset::{GlobBuilder, GlobMatcher};

/// The compiled form of `client.allowed_origins`.
///
/// Compile it once per configuration; a check then allocates at most one
/// lower-cased copy of the header.
#[derive(Clone, Debug)]
pub enum AllowedOrigins {
    /// Every origin: the list is exactly `["*"]`.
    Any,
    /// Origins that match one of the globs. An empty list refuses every request
    /// that carries an `Origin`.
    Matching(Vec<GlobMatcher>),
}

/// A pattern of `client.allowed_origins` is not a valid glob.
#[derive(Debug, thiserror::Error)]
#[error("allowed origin {pattern:?} is not a valid glob")]
pub struct InvalidPattern {
    /// The pattern as configured.
    pub pattern: String,
    /// What is wrong with it.
    pub source: globset::Error,
}

impl AllowedOrigins {
    /// Compiles the patterns: `*` (any characters, `.` and `/` included), `?`,
    /// `[...]` and `{a,b}`. They are matched against the whole lower-cased
    /// header, so a pattern with capital letters matches nothing.
    ///
    /// # Errors
    /// [`InvalidPattern`] for the first pattern that is not a glob: the
    /// configuration is refused.
    pub fn new<P: AsRef<str>>(patterns: &[P]) -> Result<Self, InvalidPattern> {
        if let [only] = patterns
            && only.as_ref() == "*"
        {
            return Ok(Self::Any);
        }
        patterns
            .iter()
            .map(|pattern| compile(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self::Matching)
    }

    /// Whether a request with this `Origin` header (as received) may go on.
    /// No header, or an empty one, always may.
    #[must_use]
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        let Some(origin) = origin.filter(|origin| !origin.is_empty()) else {
            return true;
        };
        match self {
            Self::Any => true,
            Self::Matching(globs) => str::from_utf8(origin).is_ok_and(|origin| {
                let origin = origin.to_lowercase();
                globs.iter().any(|glob| glob.is_match(&origin))
            }),
        }
    }
}

fn compile(pattern: &str) -> Result<GlobMatcher, InvalidPattern> {
    GlobBuilder::new(pattern)
        .literal_separator(false)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|source| InvalidPattern {
            pattern: pattern.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], origin: &str) -> bool {
        AllowedOrigins::new(patterns)
            .unwrap()
            .allows(Some(origin.as_bytes()))
    }

    #[test]
    fn request_without_origin_is_always_allowed() {
        for patterns in [&[][..], &["*"], &["https://example.com"]] {
            let origins = AllowedOrigins::new(patterns).unwrap();
            assert!(origins.allows(None));
            assert!(origins.allows(Some(b"")));
        }
    }

    #[test]
    fn empty_list_refuses_every_origin() {
        assert!(!allows(&[], "https://example.com"));
        assert!(!allows(&[], "null"));
    }

    #[test]
    fn single_star_allows_any_origin_even_malformed() {
        let origins = AllowedOrigins::new(&["*"]).unwrap();
        assert!(origins.allows(Some(b"https://example.com")));
        assert!(origins.allows(Some(b"\xff\xfe")));
    }

    #[test]
    fn origin_is_lower_cased_and_matched_whole() {
        let patterns = ["https://example.com"];
        assert!(allows(&patterns, "https://example.com"));
        assert!(allows(&patterns, "HTTPS://Example.COM"));
        assert!(!allows(&patterns, "https://example.com.evil.net"));
        assert!(!allows(&patterns, "https://example.com:8443"));
        assert!(!allows(&patterns, "http://example.com"));
        assert!(!allows(&["https://Example.com"], "https://Example.com"));
    }

    #[test]
    fn globs_match_as_documented() {
        let table: [(&str, &str, bool); 12] = [
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("*://example.com", "http://example.com", true),
            ("*example*", "https://x/example/y", true),
            ("http://localhost:300?", "http://localhost:3001", true),
            ("http://localhost:300?", "http://localhost:30001", false),
            ("https://[ab].example.com", "https://b.example.com", true),
            ("https://[!ab].example.com", "https://b.example.com", false),
            (
                "https://{www,app}.example.com",
                "https://app.example.com",
                true,
            ),
            ("https://{www.,}example.com", "https://example.com", true),
            ("https://**.example.com", "https://a.b.example.com", true),
            ("https://example.com", "https://examplescom", false),
        ];
        for (pattern, origin, expected) in table {
            assert_eq!(allows(&[pattern], origin), expected, "{pattern} {origin}");
        }
    }

    #[test]
    fn any_pattern_of_the_list_is_enough() {
        let patterns = ["https://one.example", "https://two.example"];
        assert!(allows(&patterns, "https://two.example"));
        assert!(!allows(&patterns, "https://three.example"));
    }

    #[test]
    fn origin_that_is_not_text_is_refused() {
        let origins = AllowedOrigins::new(&["*", "https://*"]).unwrap();
        assert!(!origins.allows(Some(b"https://\xff")));
    }

    #[test]
    fn malformed_pattern_is_named_in_the_error() {
        let error = AllowedOrigins::new(&["https://ok", "https://[a"]).unwrap_err();
        assert_eq!(error.pattern, "https://[a");
        assert!(error.to_string().contains("https://[a"));
    }
}
