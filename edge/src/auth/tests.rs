use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: f64 = 1_800_000_000.25;
const NOW_SECONDS: i64 = 1_800_000_000;
const SECRET: &str = "secret";

fn settings() -> TokenSettings {
    TokenSettings {
        hmac_secret_key: SECRET.to_owned(),
        ..TokenSettings::default()
    }
}

fn verifier() -> Verifier {
    Verifier::new(&settings())
}

/// Signs any header and payload, however wrong.
fn signed(header: &str, payload: &str, secret: &str, algorithm: Algorithm) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(header), part(payload));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn token(claims: &Value) -> String {
    raw_token(&claims.to_string())
}

fn raw_token(payload: &str) -> String {
    signed(r#"{"alg":"HS256"}"#, payload, SECRET, Algorithm::HS256)
}

fn connect(claims: &Value) -> Result<ConnectClaims, TokenError> {
    verifier().verify_connect(&token(claims), NOW)
}

fn subscribe(claims: &Value) -> Result<SubscribeClaims, TokenError> {
    verifier().verify_subscribe(&token(claims), NOW)
}

fn invalid<T>(reason: InvalidToken) -> Result<T, TokenError> {
    Err(TokenError::Invalid(reason))
}

#[test]
fn published_example_token_is_accepted() {
    let verifier = Verifier::new(&TokenSettings {
        hmac_secret_key: "your-256-bit-secret".to_owned(),
        ..TokenSettings::default()
    });
    let token = concat!(
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.",
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    );
    let claims = verifier.verify_connect(token, NOW).unwrap();
    assert_eq!(
        (claims.user.as_str(), claims.expire_at),
        ("1234567890", None)
    );
}

#[test]
fn all_hmac_algorithms_are_accepted_when_header_and_signature_agree() {
    let algorithms = [
        ("HS256", Algorithm::HS256),
        ("HS384", Algorithm::HS384),
        ("HS512", Algorithm::HS512),
    ];
    for (name, _) in algorithms {
        for (made_with, algorithm) in algorithms {
            let header = json!({"alg": name, "typ": "anything"}).to_string();
            let token = signed(&header, r#"{"sub":"42"}"#, SECRET, algorithm);
            let claims = verifier().verify_connect(&token, NOW);
            assert_eq!(claims.is_ok(), name == made_with, "{name} {made_with}");
        }
    }
}

#[test]
fn algorithms_without_a_key_are_invalid() {
    for alg in [
        "none", "None", "", "RS256", "ES256", "PS256", "EdDSA", "hs256",
    ] {
        let header = json!({"alg": alg}).to_string();
        let token = signed(&header, r#"{"sub":"42"}"#, SECRET, Algorithm::HS256);
        let answer = verifier().verify_connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Algorithm), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        let answer = verifier().verify_connect(&format!("{unsigned}."), NOW);
        assert_eq!(answer, invalid(InvalidToken::Algorithm), "{alg} unsigned");
    }
}

#[test]
fn verifier_without_keys_refuses_every_token() {
    let keyless = Verifier::new(&TokenSettings::default());
    let with_empty_key = signed(r#"{"alg":"HS256"}"#, "{}", "", Algorithm::HS256);
    for token in [token(&json!({"sub": "42"})), with_empty_key] {
        let answer = keyless.verify_connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Algorithm));
    }
}

#[test]
fn malformed_tokens_are_invalid() {
    let good = token(&json!({"sub": "42"}));
    let parts: Vec<&str> = good.split('.').collect();
    let (head, body, sig) = (parts[0], parts[1], parts[2]);
    let table = [
        String::new(),
        "eyJ".to_owned(),
        format!("{head}.{body}"),
        format!("{head}.{body}.{sig}.{sig}"),
        format!("{head}=.{body}.{sig}"),
        format!("{head}.{body}=.{sig}"),
        format!(" {good}"),
        format!("{good} "),
        signed(
            r#"{"alg":"HS256","crit":["b64"]}"#,
            "{}",
            SECRET,
            Algorithm::HS256,
        ),
        signed(r#"{"typ":"JWT"}"#, "{}", SECRET, Algorithm::HS256),
        signed(r#" {"alg":"HS256"}"#, "{}", SECRET, Algorithm::HS256),
        signed(r#"{"alg":256}"#, "{}", SECRET, Algorithm::HS256),
    ];
    for token in table {
        let answer = verifier().verify_connect(&token, NOW);
        assert!(matches!(answer, Err(TokenError::Invalid(_))), "{token}");
    }
}

#[test]
fn tampered_tokens_are_invalid() {
    let good = token(&json!({"sub": "42", "exp": 1}));
    let (message, sig) = good.rsplit_once('.').unwrap();
    let other = token(&json!({"sub": "43"}));
    let (other_message, _) = other.rsplit_once('.').unwrap();
    let foreign = signed(r#"{"alg":"HS256"}"#, "{}", "other", Algorithm::HS256);
    let table = [
        format!("{other_message}.{sig}"),
        format!("{message}."),
        format!("{message}.{}", &sig[..sig.len() - 2]),
        format!("{message}.!{sig}"),
        foreign,
    ];
    for token in table {
        let answer = verifier().verify_connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Signature), "{token}");
    }
}

#[test]
fn previous_key_is_good_until_its_time() {
    let token = token(&json!({"sub": "42"}));
    let rotated = |previous_valid_until| {
        Verifier::new(&TokenSettings {
            hmac_secret_key: "new".to_owned(),
            hmac_previous_secret_key: SECRET.to_owned(),
            previous_valid_until,
            ..TokenSettings::default()
        })
    };
    for until in [0, NOW_SECONDS + 1] {
        assert!(
            rotated(until).verify_connect(&token, NOW).is_ok(),
            "{until}"
        );
    }
    for until in [-1, 1, NOW_SECONDS] {
        let answer = rotated(until).verify_connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Signature), "{until}");
    }
    let new = signed(r#"{"alg":"HS256"}"#, "{}", "new", Algorithm::HS256);
    assert!(rotated(1).verify_connect(&new, NOW).is_ok());
}

#[test]
fn exp_must_be_later_and_nbf_earlier_than_now() {
    let table = [
        (json!({"exp": NOW_SECONDS + 1}), true),
        (json!({"exp": NOW}), false),
        (json!({"exp": NOW + 0.5}), true),
        (json!({"exp": NOW_SECONDS}), false),
        (json!({"exp": 0}), false),
        (json!({"exp": null}), true),
        (json!({"nbf": NOW_SECONDS}), true),
        (json!({"nbf": NOW}), false),
        (json!({"nbf": NOW_SECONDS + 1}), false),
        (
            json!({"nbf": NOW_SECONDS + 1, "exp": NOW_SECONDS + 60}),
            false,
        ),
        (json!({"exp": 1, "expire_at": NOW_SECONDS + 60}), false),
        (json!({}), true),
    ];
    for (claims, valid) in table {
        let expected = if valid {
            None
        } else {
            Some(TokenError::Expired)
        };
        assert_eq!(connect(&claims).err(), expected, "{claims}");
        let mut claims = claims;
        claims["channel"] = "news".into();
        assert_eq!(subscribe(&claims).err(), expected, "{claims}");
    }
}

#[test]
fn invalid_wins_over_expired() {
    let mut strict = settings();
    strict.audience = "app".to_owned();
    let expired = token(&json!({"exp": 1}));
    let answer = Verifier::new(&strict).verify_connect(&expired, NOW);
    assert_eq!(answer, invalid(InvalidToken::Audience));
    let answer = connect(&json!({"exp": 1, "channel": "news"}));
    assert_eq!(answer, invalid(InvalidToken::Kind));
    let answer = connect(&json!({"exp": 1, "b64info": "?"}));
    assert_eq!(answer, invalid(InvalidToken::Claims));
}

#[test]
fn expire_at_replaces_exp_as_expiry() {
    let later = NOW_SECONDS + 60;
    let table = [
        (json!({}), None),
        (json!({"exp": later}), Some(later)),
        (json!({"exp": NOW_SECONDS as f64 + 60.9}), Some(later)),
        (json!({"exp": later, "expire_at": 5}), Some(5)),
        (json!({"exp": later, "expire_at": 0}), None),
        (json!({"exp": later, "expire_at": -1}), None),
        (json!({"exp": later, "expire_at": null}), Some(later)),
        (json!({"expire_at": later}), Some(later)),
        (json!({"exp": 1e300}), Some(i64::MAX)),
    ];
    for (claims, expected) in table {
        assert_eq!(connect(&claims).unwrap().expire_at, expected, "{claims}");
        let mut claims = claims;
        claims["channel"] = "news".into();
        assert_eq!(subscribe(&claims).unwrap().expire_at, expected, "{claims}");
    }
}

#[test]
fn claims_of_the_wrong_type_are_invalid() {
    let shared = [
        json!({"sub": 42}),
        json!({"sub": ["42"]}),
        json!({"exp": "1900000000"}),
        json!({"exp": true}),
        json!({"nbf": "0"}),
        json!({"iat": "0"}),
        json!({"jti": 1}),
        json!({"iss": 1}),
        json!({"aud": 1}),
        json!({"aud": ["a", 1]}),
        json!({"expire_at": 1.5}),
        json!({"expire_at": "1"}),
        json!({"b64info": 1}),
        json!({"b64info": "a"}),
    ];
    for mut claims in shared {
        assert_eq!(connect(&claims), invalid(InvalidToken::Claims), "{claims}");
        claims["channel"] = "news".into();
        assert_eq!(
            subscribe(&claims),
            invalid(InvalidToken::Claims),
            "{claims}"
        );
    }
    let connecting = [
        json!({"channels": "news"}),
        json!({"channels": [1]}),
        json!({"subs": ["news"]}),
        json!({"subs": {"news": 1}}),
        json!({"subs": {"news": {"b64data": "?"}}}),
        json!({"subs": {"news": {"override": {"presence": true}}}}),
        json!({"subs": {"news": {"override": {"presence": {"value": 1}}}}}),
        json!({"channel": 1}),
    ];
    for claims in connecting {
        assert_eq!(connect(&claims), invalid(InvalidToken::Claims), "{claims}");
    }
    let subscribing = [
        json!({"channel": 1}),
        json!({"channel": "news", "client": 1}),
        json!({"channel": "news", "b64data": "?"}),
        json!({"channel": "news", "override": []}),
    ];
    for claims in subscribing {
        assert_eq!(
            subscribe(&claims),
            invalid(InvalidToken::Claims),
            "{claims}"
        );
    }
    for payload in [
        "",
        "[]",
        "null",
        "42",
        "\"eyJ\"",
        "{",
        "{} x",
        "{\"sub\":\"\u{1}\"}",
    ] {
        let answer = verifier().verify_connect(&raw_token(payload), NOW);
        assert_eq!(answer, invalid(InvalidToken::Claims), "{payload}");
    }
}

#[test]
fn missing_or_empty_subject_is_anonymous() {
    for claims in [json!({}), json!({"sub": ""}), json!({"sub": null})] {
        assert_eq!(connect(&claims), Ok(ConnectClaims::default()), "{claims}");
    }
}

#[test]
fn user_id_is_taken_from_the_configured_claim() {
    let mut settings = settings();
    settings.user_id_claim = "user_id".to_owned();
    let verifier = Verifier::new(&settings);
    let table = [
        (r#"{"sub":"a","user_id":"b"}"#, "b"),
        (r#"{"sub":"a"}"#, ""),
        (r#"{"sub":"a","user_id":null}"#, ""),
        (
            r#"{"user_id":12345678901234567890}"#,
            "12345678901234567890",
        ),
        (r#"{"user_id":1.50}"#, "1.50"),
        (r#"{"user_id":true}"#, "true"),
        (r#"{"user_id":"\u0041\"x"}"#, "A\"x"),
    ];
    for (payload, user) in table {
        let claims = verifier.verify_connect(&raw_token(payload), NOW).unwrap();
        assert_eq!(claims.user, user, "{payload}");
    }
    let answer = verifier.verify_connect(&raw_token(r#"{"sub":1,"user_id":"b"}"#), NOW);
    assert_eq!(answer, invalid(InvalidToken::Claims));
}

#[test]
fn audience_is_a_string_or_a_list() {
    let mut settings = settings();
    settings.audience = "app".to_owned();
    let verifier = Verifier::new(&settings);
    let table = [
        (json!({"aud": "app"}), true),
        (json!({"aud": ["other", "app"]}), true),
        (json!({"aud": "App"}), false),
        (json!({"aud": ["other"]}), false),
        (json!({"aud": []}), false),
        (json!({}), false),
    ];
    for (claims, valid) in table {
        let expected = (!valid).then_some(TokenError::Invalid(InvalidToken::Audience));
        let answer = verifier.verify_connect(&token(&claims), NOW);
        assert_eq!(answer.err(), expected, "{claims}");
    }
}

#[test]
fn issuer_must_be_equal() {
    let mut settings = settings();
    settings.issuer = "https://issuer".to_owned();
    let verifier = Verifier::new(&settings);
    let good = token(&json!({"iss": "https://issuer"}));
    assert!(verifier.verify_connect(&good, NOW).is_ok());
    for claims in [json!({}), json!({"iss": "https://issuer/"})] {
        let answer = verifier.verify_connect(&token(&claims), NOW);
        assert_eq!(answer, invalid(InvalidToken::Issuer), "{claims}");
    }
}

#[test]
fn info_and_meta_keep_their_text_and_base64_wins() {
    let payload = r#"{"info": {"a" : 1.0}, "meta":null}"#;
    let claims = verifier().verify_connect(&raw_token(payload), NOW).unwrap();
    assert_eq!(claims.info.as_deref(), Some(&br#"{"a" : 1.0}"#[..]));
    assert_eq!(claims.meta.as_deref(), Some(&b"null"[..]));
    let claims = connect(&json!({"info": 1, "b64info": "AP8="})).unwrap();
    assert_eq!(claims.info.as_deref(), Some(&[0, 255][..]));
    let claims = connect(&json!({"info": 1, "b64info": ""})).unwrap();
    assert_eq!(claims.info.as_deref(), Some(&b"1"[..]));
}

#[test]
fn subs_hide_channels_unless_empty() {
    let claims = json!({"channels": ["a", "b"], "subs": {}});
    let subscriptions = connect(&claims).unwrap().subscriptions;
    let names: Vec<&String> = subscriptions.keys().collect();
    assert_eq!(names, ["a", "b"]);
    assert!(
        subscriptions
            .values()
            .all(|options| *options == SubscriptionOptions::default())
    );

    let claims = json!({"channels": ["a"], "subs": {
        "c": {"info": {"x": 1}, "b64data": "AQ==", "override": {
            "presence": {"value": true}, "join_leave": {"value": false},
            "force_recovery": {}, "force_positioning": null}},
        "d": null,
    }});
    let expected = SubscriptionOptions {
        info: Some("{\"x\":1}".into()),
        data: Some(vec![1].into()),
        overrides: Overrides {
            presence: Some(true),
            join_leave: Some(false),
            force_recovery: Some(false),
            ..Overrides::default()
        },
    };
    let expected = [
        ("c".to_owned(), expected),
        ("d".to_owned(), SubscriptionOptions::default()),
    ];
    assert_eq!(connect(&claims).unwrap().subscriptions, expected.into());
}

#[test]
fn kinds_of_token_are_not_interchangeable() {
    assert!(connect(&json!({"channel": ""})).is_ok());
    let answer = connect(&json!({"channel": "news"}));
    assert_eq!(answer, invalid(InvalidToken::Kind));
    for claims in [json!({"sub": "42"}), json!({"channel": ""})] {
        assert_eq!(subscribe(&claims), invalid(InvalidToken::Kind), "{claims}");
    }
}

#[test]
fn subscription_claims_are_read() {
    let claims = json!({"sub": "42", "channel": "news", "client": "c1", "data": [1],
        "info": "i", "override": {"force_push_join_leave": {"value": true}}});
    let expected = SubscribeClaims {
        user: "42".to_owned(),
        channel: "news".to_owned(),
        client: "c1".to_owned(),
        expire_at: None,
        options: SubscriptionOptions {
            info: Some("\"i\"".into()),
            data: Some("[1]".into()),
            overrides: Overrides {
                force_push_join_leave: Some(true),
                ..Overrides::default()
            },
        },
    };
    assert_eq!(subscribe(&claims), Ok(expected));
}

#[test]
fn signed_tokens_are_verified_and_expire() {
    let mut settings = settings();
    settings.user_id_claim = "user_id".to_owned();
    let token = connection_token(&settings, "anna", 60, NOW_SECONDS).unwrap();
    for verifier in [verifier(), Verifier::new(&settings)] {
        let claims = verifier.verify_connect(&token, NOW).unwrap();
        assert_eq!(claims.user, "anna");
        assert_eq!(claims.expire_at, Some(NOW_SECONDS + 60));
        let late = verifier.verify_connect(&token, NOW + 60.0);
        assert_eq!(late, Err(TokenError::Expired));
    }
    let token = subscription_token(&settings, "anna", "news", -1, NOW_SECONDS).unwrap();
    let claims = verifier().verify_subscribe(&token, NOW).unwrap();
    assert_eq!((claims.channel.as_str(), claims.expire_at), ("news", None));
    assert_eq!(
        verifier().verify_connect(&token, NOW),
        invalid(InvalidToken::Kind)
    );
}

#[test]
fn token_without_time_to_live_has_no_exp() {
    let token = connection_token(&settings(), "", 0, NOW_SECONDS).unwrap();
    let payload = decode(token.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(payload, format!("{{\"iat\":{NOW_SECONDS}}}").into_bytes());
}

#[test]
fn signing_needs_a_key_and_a_channel() {
    let none = TokenSettings::default();
    let error = connection_token(&none, "anna", 0, 0).unwrap_err();
    assert!(error.to_string().contains("client.token.hmac_secret_key"));
    let error = subscription_token(&settings(), "anna", "", 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "channel is required");
}

#[test]
fn debug_output_holds_no_secret() {
    let mut settings = settings();
    settings.hmac_previous_secret_key = "older".to_owned();
    let shown = format!("{settings:?} {:?}", Verifier::new(&settings));
    assert!(
        !shown.contains(SECRET) && !shown.contains("older"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn arbitrary_tokens_never_panic(tail in "[A-Za-z0-9_.=-]{0,60}", payload in ".{0,40}") {
        let answer = verifier().verify_connect(&format!("eyJ{tail}"), NOW);
        prop_assert!(answer.is_err());
        let signed = raw_token(&payload);
        prop_assert!(verifier().verify_subscribe(&signed, NOW).is_err());
    }
}
