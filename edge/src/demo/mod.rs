//! The demo page: a chat in the browser over this server.
//!
//! Its files are part of the binary and nothing is fetched from elsewhere. The
//! page is served only when `tidewire.demo.enabled`; it gets a token for any
//! name from `GET /demo/token?user=NAME`, which answers [`Token`], and talks in
//! [`CHANNEL`], where subscribers must be allowed to publish.

use serde::Serialize;

/// The channel of the page's chat.
pub const CHANNEL: &str = "chat:lobby";

/// Path of the route that answers [`Token`].
pub const TOKEN_PATH: &str = "/demo/token";

/// How many characters a name may have.
pub const NAME_CHARS_MAX: usize = 32;

/// Value of the header `Content-Security-Policy` that every asset is to be
/// served with: the page loads, and connects to, nothing but its own server.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Asset {
    /// Value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The content.
    pub bytes: &'static [u8],
}

/// Answer of [`TOKEN_PATH`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Token {
    /// A connection token for the name.
    pub token: String,
}

/// The asset at this path of the URI: the page itself is at `/`.
#[must_use]
pub fn asset(path: &str) -> Option<Asset> {
    let (content_type, bytes): (_, &[u8]) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_bytes!("assets/index.html"),
        ),
        "/demo/style.css" => (
            "text/css; charset=utf-8",
            include_bytes!("assets/style.css"),
        ),
        "/demo/demo.js" => (JAVASCRIPT, include_bytes!("assets/demo.js")),
        "/demo/centrifuge.js" => (JAVASCRIPT, include_bytes!("assets/centrifuge.js")),
        "/demo/centrifuge.LICENSE.txt" => (
            "text/plain; charset=utf-8",
            include_bytes!("assets/centrifuge.LICENSE.txt"),
        ),
        "/demo/logo.svg" => ("image/svg+xml", include_bytes!("assets/logo.svg")),
        _ => return None,
    };
    Some(Asset {
        content_type,
        bytes,
    })
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The user id for a name somebody typed: without surrounding space, 1 to
/// [`NAME_CHARS_MAX`] characters, none of them a control character.
#[must_use]
pub fn user(name: &str) -> Option<&str> {
    let name = name.trim();
    let is_fit =
        (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_fit.then_some(name)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};

    use super::*;

    /// Of `dist/centrifuge.js` in the npm package centrifuge 5.7.1.
    const SDK_SHA256: &str = "7302104802e734cf7438965a5b3fe3434771b8925006edc5548595017702ebbc";

    fn text(path: &str) -> &'static str {
        str::from_utf8(asset(path).unwrap().bytes).unwrap()
    }

    /// The values of an attribute wherever it occurs in the page.
    fn attribute(name: &str) -> impl Iterator<Item = &'static str> {
        let pattern = format!(" {name}=\"");
        let mut rest = text("/");
        std::iter::from_fn(move || {
            let (_, after) = rest.split_once(&pattern)?;
            let (value, after) = after.split_once('"')?;
            rest = after;
            Some(value)
        })
    }

    #[test]
    fn sdk_is_the_pinned_file() {
        let bundle = asset("/demo/centrifuge.js").unwrap().bytes;
        let hex: String = digest(&SHA256, bundle)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, SDK_SHA256);
    }

    #[test]
    fn sdk_comes_with_its_licences() {
        let licence = text("/demo/centrifuge.LICENSE.txt");
        assert!(licence.contains("Centrifugal Labs LTD"));
        assert!(licence.contains("Joyent, Inc."));
    }

    #[test]
    fn everything_the_page_refers_to_is_an_asset() {
        let references: Vec<&str> = attribute("src")
            .chain(attribute("href"))
            .filter(|reference| *reference != "./")
            .collect();
        assert!(references.len() >= 5, "{references:?}");
        for reference in references {
            assert!(asset(&format!("/{reference}")).is_some(), "{reference}");
        }
    }

    #[test]
    fn page_obeys_its_content_security_policy() {
        let page = text("/");
        assert_eq!(page.matches("<script ").count(), 2);
        assert_eq!(page.matches("defer></script>").count(), 2);
        for inline in [
            "<script>",
            "<style",
            " style=",
            " onclick=",
            " onload=",
            "javascript:",
        ] {
            assert!(!page.contains(inline), "{inline}");
        }
        for file in ["/", "/demo/style.css", "/demo/demo.js"] {
            assert!(!text(file).contains("://"), "{file}");
        }
    }

    #[test]
    fn ids_that_tests_and_script_use_are_on_the_page() {
        let ids: Vec<&str> = attribute("id").collect();
        for id in ["name", "join", "state", "messages", "message", "send"] {
            assert_eq!(ids.iter().filter(|other| **other == id).count(), 1, "{id}");
        }
        let script = text("/demo/demo.js");
        let used = script.split("byId(\"").skip(1);
        let used: Vec<&str> = used.filter_map(|rest| rest.split('"').next()).collect();
        assert!(used.len() > 10);
        for id in used {
            assert!(ids.contains(&id), "{id}");
        }
    }

    #[test]
    fn script_uses_the_channel_and_token_path_of_the_server() {
        let script = text("/demo/demo.js");
        assert!(script.contains(&format!("\"{CHANNEL}\"")));
        assert!(script.contains(TOKEN_PATH.trim_start_matches('/')));
    }

    #[test]
    fn other_paths_are_no_assets() {
        for path in [
            "",
            "/index.html",
            "/demo",
            "/demo/",
            "/demo/../mod.rs",
            TOKEN_PATH,
        ] {
            assert_eq!(asset(path), None, "{path}");
        }
    }

    #[test]
    fn every_asset_has_its_content_type() {
        let table = [
            ("/", "text/html; charset=utf-8"),
            ("/demo/style.css", "text/css; charset=utf-8"),
            ("/demo/demo.js", "text/javascript; charset=utf-8"),
            ("/demo/centrifuge.js", "text/javascript; charset=utf-8"),
            ("/demo/logo.svg", "image/svg+xml"),
        ];
        for (path, content_type) in table {
            assert_eq!(asset(path).unwrap().content_type, content_type, "{path}");
        }
    }

    #[test]
    fn names_are_trimmed_and_bounded() {
        let longest = "ü".repeat(NAME_CHARS_MAX);
        for (name, expected) in [
            (" Ada ", Some("Ada")),
            ("Zoë 🐙", Some("Zoë 🐙")),
            (longest.as_str(), Some(longest.as_str())),
            (&"x".repeat(NAME_CHARS_MAX + 1), None),
            ("", None),
            ("  ", None),
            ("a\nb", None),
        ] {
            assert_eq!(user(name), expected, "{name:?}");
        }
    }
}
