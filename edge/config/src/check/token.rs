//! How tokens are verified.

use regex::Regex;

use super::{Violations, last_line};
use crate::Token;
use crate::pem;

/// Checks the settings of the section at a path.
pub(super) fn check(at: &str, token: &Token, found: &mut Violations) {
    let claim = &token.user_id_claim;
    if !claim.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
        found.add(
            format!("{at}.user_id_claim"),
            format!("{claim:?} may hold only letters and underscores: rename the claim"),
        );
    }
    let fixed_or_pattern = [
        ("audience", &token.audience, &token.audience_regex),
        ("issuer", &token.issuer, &token.issuer_regex),
    ];
    for (claim, fixed, pattern) in fixed_or_pattern {
        if !fixed.is_empty() && !pattern.is_empty() {
            found.add(
                format!("{at}.{claim}_regex"),
                format!("{claim} is set too: keep one of the two"),
            );
        }
        if let Err(error) = Regex::new(pattern) {
            found.add(
                format!("{at}.{claim}_regex"),
                format!(
                    "{pattern:?} is not a regular expression: {}",
                    last_line(&error.to_string())
                ),
            );
        }
    }
    check_key(
        &format!("{at}.rsa_public_key"),
        &token.rsa_public_key,
        found,
    );
    check_key(
        &format!("{at}.ecdsa_public_key"),
        &token.ecdsa_public_key,
        found,
    );
    check_key_set(&format!("{at}.jwks_public_endpoint"), token, found);
}

/// The message does not repeat the key, which may be the wrong one of the two.
fn check_key(path: &str, key: &str, found: &mut Violations) {
    if key.is_empty() {
        return;
    }
    match pem::label(key) {
        None => found.add(
            path,
            "this is not PEM: write the key itself, from -----BEGIN PUBLIC KEY----- to its end",
        ),
        Some(label) if label.contains("PRIVATE KEY") => found.add(
            path,
            "this is a private key, which only the issuer of tokens may have: write the public \
             one, and replace the pair",
        ),
        Some(_) => {}
    }
}

/// The address is not repeated, because it may hold a password.
fn check_key_set(path: &str, token: &Token, found: &mut Violations) {
    let address = token.jwks_public_endpoint.as_str();
    if address.is_empty() {
        return;
    }
    if !address.starts_with("http://") && !address.starts_with("https://") {
        found.add(path, "begin the address with https:// or http://");
    }
    let Some(names) = placeholders(address) else {
        found.add(path, "a placeholder has no end or no name: write {{name}}");
        return;
    };
    for name in names {
        let patterns = [&token.issuer_regex, &token.audience_regex];
        let group = patterns
            .into_iter()
            .find_map(|pattern| Some((pattern, group(pattern, name)?)));
        match group {
            None => found.add(
                path,
                format!(
                    "{{{{{name}}}}} stands for nothing: add a group (?P<{name}>…) to issuer_regex \
                     or audience_regex"
                ),
            ),
            Some((pattern, group))
                if !token.insecure_skip_jwks_endpoint_safety_check
                    && (has_class(pattern) || !is_choice_of_texts(group)) =>
            {
                found.add(
                    path,
                    format!(
                        "a token could choose the address of its keys by {{{{{name}}}}}: let the \
                         group list its texts, as in (?P<{name}>one|two), and use no character \
                         classes"
                    ),
                );
            }
            Some(_) => {}
        }
    }
}

/// The names between `{{` and `}}`, or nothing if one is empty or has no end.
fn placeholders(address: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = address;
    while let Some((_, behind)) = rest.split_once("{{") {
        let (name, behind) = behind.split_once("}}")?;
        if name.is_empty() {
            return None;
        }
        names.push(name);
        rest = behind;
    }
    Some(names)
}

/// What stands in a named group up to the first bracket that closes.
fn group<'a>(pattern: &'a str, name: &str) -> Option<&'a str> {
    let behind = [format!("(?P<{name}>"), format!("(?<{name}>")]
        .iter()
        .find_map(|start| Some(pattern.split_once(start)?.1))?;
    let mut escaped = false;
    let end = behind.find(|c| {
        let closes = c == ')' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    behind.get(..end)
}

/// Whether an expression has sets of characters, spelled out or by letter.
fn has_class(pattern: &str) -> bool {
    let mut escaped = false;
    pattern.chars().any(|c| {
        let is_class = if escaped {
            "dwspDWSP".contains(c)
        } else {
            c == '['
        };
        escaped = c == '\\' && !escaped;
        is_class
    })
}

/// Whether a group lists fixed texts: `one|two`.
fn is_choice_of_texts(group: &str) -> bool {
    group.split('|').all(|text| {
        let mut escaped = false;
        let fixed = text.chars().all(|c| {
            let fixed = if escaped {
                c.is_ascii_punctuation()
            } else {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '\\')
            };
            escaped = c == '\\' && !escaped;
            fixed
        });
        fixed && !escaped && !text.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::{group, has_class, is_choice_of_texts, placeholders};
    use crate::check::tests::{refused, violations};
    use crate::{Config, Token};

    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END PUBLIC KEY-----\n";
    const PRIVATE: &str = "-----BEGIN EC PRIVATE KEY-----\nAAEC\n-----END EC PRIVATE KEY-----\n";

    fn token(change: impl Fn(&mut Token)) -> impl Fn(&mut Config) {
        move |config| change(&mut config.client.token)
    }

    #[test]
    fn subscription_tokens_keep_the_same_rules_where_they_have_settings_of_their_own() {
        let broken = |config: &mut Config| {
            config.client.subscription_token.token.user_id_claim = "a-b".to_owned();
        };
        assert_eq!(violations(broken), []);
        refused(
            "client.subscription_token.user_id_claim",
            "letters",
            |config| {
                broken(config);
                config.client.subscription_token.enabled = true;
            },
        );
    }

    #[test]
    fn a_claim_is_fixed_or_matches_an_expression() {
        let path = "client.token.issuer_regex";
        refused(
            path,
            "keep one",
            token(|token| {
                token.issuer = "me".to_owned();
                token.issuer_regex = "^me$".to_owned();
            }),
        );
        refused(
            path,
            "regular expression",
            token(|token| token.issuer_regex = "(".to_owned()),
        );
        refused(
            "client.token.audience_regex",
            "keep one",
            token(|token| {
                token.audience = "me".to_owned();
                token.audience_regex = "me".to_owned();
            }),
        );
    }

    #[test]
    fn keys_are_public_and_pem() {
        let valid = token(|token| {
            token.rsa_public_key = PUBLIC.to_owned();
            token.ecdsa_public_key = PUBLIC.to_owned();
        });
        assert_eq!(violations(valid), []);
        refused(
            "client.token.rsa_public_key",
            "not PEM",
            token(|token| token.rsa_public_key = "/etc/key.pem".to_owned()),
        );
        refused(
            "client.token.ecdsa_public_key",
            "private key",
            token(|token| token.ecdsa_public_key = PRIVATE.to_owned()),
        );
    }

    fn key_set(address: &'static str, issuer: &'static str) -> impl Fn(&mut Config) {
        token(move |token| {
            token.jwks_public_endpoint = address.to_owned();
            token.issuer_regex = issuer.to_owned();
        })
    }

    #[test]
    fn a_key_set_has_an_address() {
        let path = "client.token.jwks_public_endpoint";
        assert_eq!(violations(key_set("https://keys.example.com/a", "")), []);
        refused(path, "https://", key_set("keys.example.com", ""));
        refused(path, "no end", key_set("https://example.com/{{realm", ""));
        refused(path, "no end", key_set("https://example.com/{{}}", ""));
        refused(
            path,
            "add a group",
            key_set("https://example.com/{{realm}}", "a"),
        );
    }

    #[test]
    fn a_token_cannot_choose_where_its_keys_come_from() {
        let path = "client.token.jwks_public_endpoint";
        let address = "https://example.com/{{realm}}/certs";
        for listed in [
            "^https://example.com/(?P<realm>one|two-2|three_3)$",
            r"(?<realm>a\.b|c)",
        ] {
            assert_eq!(violations(key_set(address, listed)), [], "{listed}");
        }
        for open in [
            "(?P<realm>.+)",
            "(?P<realm>[a-z]+)",
            r"(?P<realm>\w+)",
            "(?P<realm>one|two*)",
            "(?P<realm>one|)",
            "(?P<realm>(one|two))",
            "[a-z](?P<realm>one)",
        ] {
            refused(path, "(?P<realm>one|two)", key_set(address, open));
            let skipped = |config: &mut Config| {
                key_set(address, open)(config);
                config.client.token.insecure_skip_jwks_endpoint_safety_check = true;
            };
            assert_eq!(violations(skipped), [], "{open}");
        }
    }

    #[test]
    fn a_group_of_the_audience_serves_as_well() {
        let set = token(|token| {
            token.jwks_public_endpoint = "https://example.com/{{tenant}}".to_owned();
            token.audience_regex = "^(?P<tenant>a1|b2)$".to_owned();
            // Only the expression with the group has to be closed.
            token.issuer_regex = "[a-z]+".to_owned();
        });
        assert_eq!(violations(set), []);
    }

    #[test]
    fn placeholders_and_groups_are_taken_apart() {
        assert_eq!(placeholders("a/{{b}}/{{c}}d"), Some(vec!["b", "c"]));
        assert_eq!(placeholders("a/{b}"), Some(Vec::new()));
        assert_eq!(placeholders("a/{{b}"), None);
        assert_eq!(group(r"x(?P<n>a\)b)c", "n"), Some(r"a\)b"));
        assert_eq!(group("(?P<n>a", "n"), None);
        assert_eq!(group("(?P<other>a)", "n"), None);
        assert!(has_class(r"a\d") && has_class("a[b]") && has_class(r"\\[b]"));
        assert!(!has_class(r"a\[b\\d"));
        assert!(is_choice_of_texts(r"a\.b|c"));
        assert!(!is_choice_of_texts(""));
        assert!(!is_choice_of_texts("a|b\\"));
    }
}
