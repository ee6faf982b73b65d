//! Addresses of sets: what a template may be, and what comes of it.

use super::super::endpoint::Endpoint;
use super::super::rules::Variables;
use super::*;

fn templated(endpoint: &str, issuer_regex: &str) -> TokenSettings {
    TokenSettings {
        jwks_public_endpoint: endpoint.to_owned(),
        issuer_regex: issuer_regex.to_owned(),
        ..TokenSettings::default()
    }
}

const REALM: &str = "https://keys/{{realm}}/certs";

#[test]
fn placeholders_need_a_list_of_texts() {
    let table = [
        (r"^https://example\.com/(?P<realm>one|two)$", None),
        (r"^https://example\.com/(?<realm>one|two)$", None),
        (r"/(?P<realm>one)$", None),
        (r"/(?P<realm>a\.b|c-d)/.*(x|y)+$", None),
        (r"(?P<other>.*)/(?P<realm>one|two)", None),
        (r"/(?P<realm>.*)", Some("list of texts")),
        (r"/(?P<realm>.+|one)", Some("list of texts")),
        (r"/(?P<realm>one|tw.)", Some("list of texts")),
        (r"/(?P<realm>one|)", Some("list of texts")),
        (r"/(?P<realm>)", Some("list of texts")),
        (r"/(?P<realm>one|two+)", Some("list of texts")),
        (r"/(?P<realm>(?:one|.+))", Some("list of texts")),
        (r"/(?P<realm>one|(two|.*))", Some("list of texts")),
        (r"/(?P<realm>^|one)", Some("list of texts")),
        (r"/(?P<realm>[a-z]+)", Some("character classes")),
        (r"/(?P<realm>\w+)", Some("character classes")),
        (r"/(?P<realm>one|two)/\d+", Some("character classes")),
        (r"/(?P<realm>one|two)\s", Some("character classes")),
        (r"/(?P<realm>one|two)/(a|(b\pL))", Some("character classes")),
        (r"/(?P<realm>one|two)/[^/]*$", Some("character classes")),
        (r"(?i)/(?P<realm>one|two)", Some("character classes")),
        (r"/(?i:(?P<realm>one|two))", Some("character classes")),
        (
            r"/(?P<other>one|two)",
            Some("which no group is named after"),
        ),
        ("", Some("which no group is named after")),
    ];
    for (regex, refused) in table {
        let settings = templated(REALM, regex);
        let error = Verifier::new(&settings, &KeySets::default()).err();
        match (error, refused) {
            (None, None) => {}
            (Some(error), Some(part)) => {
                let text = error.to_string();
                assert!(text.contains(part), "{regex}: {text}");
                assert!(text.contains("jwks_public_endpoint"), "{regex}: {text}");
            }
            (error, refused) => panic!("{regex}: {error:?} instead of {refused:?}"),
        }
    }
}

#[test]
fn unsafe_templates_can_be_allowed() {
    let regex = r"/(?P<realm>[^/]+)$";
    let mut settings = templated(REALM, regex);
    assert!(refusal(&settings).contains("insecure_skip_jwks_endpoint_safety_check"));
    settings.insecure_skip_jwks_endpoint_safety_check = true;
    assert!(Verifier::new(&settings, &KeySets::default()).is_ok());
    settings.jwks_public_endpoint = "https://keys/{{tenant}}".to_owned();
    let text = refusal(&settings);
    assert!(text.contains("{{tenant}}"), "nothing can fill it: {text}");
}

#[test]
fn expressions_that_fill_nothing_are_free() {
    let mut settings = templated(REALM, "/(?P<realm>one|two)$");
    settings.audience_regex = r"^(?P<app>\w+)$".to_owned();
    assert!(Verifier::new(&settings, &KeySets::default()).is_ok());
    let settings = templated("https://keys/certs", r"^https://[a-z]+\.example\.com$");
    assert!(Verifier::new(&settings, &KeySets::default()).is_ok());
}

#[test]
fn placeholders_may_be_filled_from_the_audience() {
    let mut settings = templated("https://keys/{{realm}}/{{app}}", "(?P<realm>one|two)");
    settings.audience_regex = "^(?P<app>a|b)$".to_owned();
    assert!(Verifier::new(&settings, &KeySets::default()).is_ok());
    settings.audience_regex = "^(?P<app>.)$".to_owned();
    assert!(refusal(&settings).contains("client.token.audience_regex"));
}

#[test]
fn endpoint_is_an_address_of_the_web() {
    let table = [
        ("https://keys.example/certs?x=1", true),
        ("http://127.0.0.1:80", true),
        ("https://[::1]:8443/certs", true),
        ("HTTPS://keys/certs", true),
        ("https://{{realm}}.example/certs", true),
        ("{{realm}}://keys/certs", false),
        ("keys.example/certs", false),
        ("/certs", false),
        ("ftp://keys/certs", false),
        ("https://", false),
        ("https:///certs", false),
        ("https://user:password@keys/certs", false),
        ("https://keys/a b", false),
        ("https://keys/{{realm", false),
    ];
    for (endpoint, accepted) in table {
        let settings = templated(endpoint, "(?P<realm>one|two)");
        let error = Endpoint::new(&settings).err();
        assert_eq!(error.is_none(), accepted, "{endpoint}: {error:?}");
    }
}

#[test]
fn static_keys_are_not_looked_at_beside_an_endpoint() {
    let mut settings = settings();
    settings.jwks_public_endpoint = "https://keys/certs".to_owned();
    settings.rsa_public_key = "not a key".to_owned();
    let verifier = verifier_with(&settings);
    let answer = verifier.connect(&token(&json!({"sub": "42"})), NOW);
    assert_eq!(answer, invalid(InvalidToken::Algorithm));
}

#[test]
fn paths_that_walk_the_tree_are_no_address() {
    let settings = TokenSettings {
        insecure_skip_jwks_endpoint_safety_check: true,
        ..templated("https://keys/realms/{{realm}}/certs", "(?P<realm>.*)")
    };
    let endpoint = Endpoint::new(&settings).unwrap();
    let table = [
        ("one", Some("https://keys/realms/one/certs")),
        ("a/b", Some("https://keys/realms/a/b/certs")),
        ("one?x=/../", Some("https://keys/realms/one?x=/..//certs")),
        ("..", None),
        (".", None),
        ("", None),
        ("a/../../b", None),
        ("%2e%2E", None),
        ("a%2f..%2Fb", None),
        ("..\\..", None),
        ("a//b", None),
        ("a b", None),
        ("\u{e9}\n", None),
    ];
    for (realm, expected) in table {
        let variables = Variables::from([("realm".to_owned(), realm.to_owned())]);
        let address = endpoint.address(&variables);
        let expected = expected.map(str::to_owned).ok_or(InvalidToken::Endpoint);
        assert_eq!(address, expected, "{realm}");
    }
    let unmatched = endpoint.address(&Variables::new());
    assert_eq!(unmatched, Err(InvalidToken::Endpoint));
}

#[test]
fn group_that_took_no_part_gives_no_address() {
    let settings = templated(REALM, "^(?:(?P<realm>one|two)|public)$");
    let verifier = verifier_with(&settings);
    let header = r#"{"alg":"RS256","kid":"k"}"#;
    let token = signed(header, r#"{"iss":"public"}"#, "any", Algorithm::HS256);
    let answer = verifier.connect(&token, NOW);
    assert_eq!(answer, invalid(InvalidToken::Endpoint));
}
