mod endpoints;
mod fetching;
mod public_keys;
mod support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::token::decode;
use super::{
    ConnectClaims, InvalidToken, KeySets, Overrides, Section, SettingsError, SubscribeClaims,
    SubscriptionOptions, TokenError, TokenSettings, Unverified, Verifier, connection_token,
    subscription_token, unverified,
};

const NOW: f64 = 1_800_000_000.25;
const NOW_SECONDS: i64 = 1_800_000_000;
const SECRET: &str = "secret";

fn settings() -> TokenSettings {
    TokenSettings {
        hmac_secret_key: SECRET.to_owned(),
        ..TokenSettings::default()
    }
}

fn verifier_with(settings: &TokenSettings) -> Verifier {
    Verifier::new(settings, &KeySets::default()).unwrap()
}

fn verifier() -> Verifier {
    verifier_with(&settings())
}

/// Verification with keys that are here.
trait Now {
    fn connect(&self, token: &str, now: f64) -> Result<ConnectClaims, TokenError>;
    fn subscribe(&self, token: &str, now: f64) -> Result<SubscribeClaims, TokenError>;
}

impl Now for Verifier {
    fn connect(&self, token: &str, now: f64) -> Result<ConnectClaims, TokenError> {
        self.verify_connect_now(token, now).unwrap()
    }

    fn subscribe(&self, token: &str, now: f64) -> Result<SubscribeClaims, TokenError> {
        self.verify_subscribe_now(token, now).unwrap()
    }
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
    verifier().connect(&token(claims), NOW)
}

fn subscribe(claims: &Value) -> Result<SubscribeClaims, TokenError> {
    verifier().subscribe(&token(claims), NOW)
}

fn invalid<T>(reason: InvalidToken) -> Result<T, TokenError> {
    Err(TokenError::Invalid(reason))
}

#[test]
fn published_example_token_is_accepted() {
    let verifier = verifier_with(&TokenSettings {
        hmac_secret_key: "your-256-bit-secret".to_owned(),
        ..TokenSettings::default()
    });
    let token = concat!(
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.",
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    );
    let claims = verifier.connect(token, NOW).unwrap();
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
            let claims = verifier().connect(&token, NOW);
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
        let answer = verifier().connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Algorithm), "{alg}");
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        let answer = verifier().connect(&format!("{unsigned}."), NOW);
        assert_eq!(answer, invalid(InvalidToken::Algorithm), "{alg} unsigned");
    }
}

#[test]
fn verifier_without_keys_refuses_every_token() {
    let keyless = verifier_with(&TokenSettings::default());
    let with_empty_key = signed(r#"{"alg":"HS256"}"#, "{}", "", Algorithm::HS256);
    for token in [token(&json!({"sub": "42"})), with_empty_key] {
        let answer = keyless.connect(&token, NOW);
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
        format!("{head}.{body}.!{sig}"),
        format!("{head}.{body}.{}", &sig[..sig.len() - 2]),
        signed(r#"{"alg":"HS256","kid":1}"#, "{}", SECRET, Algorithm::HS256),
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
        let answer = verifier().connect(&token, NOW);
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
        format!("{message}.{}", &sig[..sig.len() - 3]),
        foreign,
    ];
    for token in table {
        let answer = verifier().connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Signature), "{token}");
    }
}

#[test]
fn previous_key_is_good_until_its_time() {
    let token = token(&json!({"sub": "42"}));
    let rotated = |previous_valid_until| {
        verifier_with(&TokenSettings {
            hmac_secret_key: "new".to_owned(),
            hmac_previous_secret_key: SECRET.to_owned(),
            previous_valid_until,
            ..TokenSettings::default()
        })
    };
    for until in [0, NOW_SECONDS + 1] {
        assert!(rotated(until).connect(&token, NOW).is_ok(), "{until}");
    }
    for until in [-1, 1, NOW_SECONDS] {
        let answer = rotated(until).connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Signature), "{until}");
    }
    let new = signed(r#"{"alg":"HS256"}"#, "{}", "new", Algorithm::HS256);
    assert!(rotated(1).connect(&new, NOW).is_ok());
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
    let answer = verifier_with(&strict).connect(&expired, NOW);
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
        let answer = verifier().connect(&raw_token(payload), NOW);
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
    let verifier = verifier_with(&settings);
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
        let claims = verifier.connect(&raw_token(payload), NOW).unwrap();
        assert_eq!(claims.user, user, "{payload}");
    }
    let answer = verifier.connect(&raw_token(r#"{"sub":1,"user_id":"b"}"#), NOW);
    assert_eq!(answer, invalid(InvalidToken::Claims));
}

#[test]
fn audience_is_a_string_or_a_list() {
    let mut settings = settings();
    settings.audience = "app".to_owned();
    let verifier = verifier_with(&settings);
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
        let answer = verifier.connect(&token(&claims), NOW);
        assert_eq!(answer.err(), expected, "{claims}");
    }
}

#[test]
fn issuer_must_be_equal() {
    let mut settings = settings();
    settings.issuer = "https://issuer".to_owned();
    let verifier = verifier_with(&settings);
    let good = token(&json!({"iss": "https://issuer"}));
    assert!(verifier.connect(&good, NOW).is_ok());
    for claims in [json!({}), json!({"iss": "https://issuer/"})] {
        let answer = verifier.connect(&token(&claims), NOW);
        assert_eq!(answer, invalid(InvalidToken::Issuer), "{claims}");
    }
}

#[test]
fn info_and_meta_keep_their_text_and_base64_wins() {
    let payload = r#"{"info": {"a" : 1.0}, "meta":null}"#;
    let claims = verifier().connect(&raw_token(payload), NOW).unwrap();
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
    for verifier in [verifier(), verifier_with(&settings)] {
        let claims = verifier.connect(&token, NOW).unwrap();
        assert_eq!(claims.user, "anna");
        assert_eq!(claims.expire_at, Some(NOW_SECONDS + 60));
        let late = verifier.connect(&token, NOW + 60.0);
        assert_eq!(late, Err(TokenError::Expired));
    }
    let token = subscription_token(&settings, "anna", "news", -1, NOW_SECONDS).unwrap();
    let claims = verifier().subscribe(&token, NOW).unwrap();
    assert_eq!((claims.channel.as_str(), claims.expire_at), ("news", None));
    assert_eq!(verifier().connect(&token, NOW), invalid(InvalidToken::Kind));
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
    let separate = TokenSettings {
        section: Section::SubscriptionToken,
        ..TokenSettings::default()
    };
    let error = subscription_token(&separate, "anna", "news", 0, 0).unwrap_err();
    let option = "client.subscription_token.hmac_secret_key";
    assert!(error.to_string().contains(option), "{error}");
    let error = subscription_token(&settings(), "anna", "", 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "channel is required");
}

#[test]
fn debug_output_holds_no_secret() {
    let mut settings = settings();
    settings.hmac_previous_secret_key = "older".to_owned();
    let shown = format!("{settings:?} {:?}", verifier_with(&settings));
    assert!(
        !shown.contains(SECRET) && !shown.contains("older"),
        "{shown}"
    );
}

#[test]
fn tokens_are_shown_without_being_verified() {
    let token = signed(
        r#"{"alg":"XY1"}"#,
        r#"{"sub": "42" }"#,
        "any",
        Algorithm::HS256,
    );
    let expected = Unverified {
        algorithm: "XY1".to_owned(),
        claims: r#"{"sub": "42" }"#.to_owned(),
    };
    assert_eq!(unverified(&token), Ok(expected));
    assert_eq!(unverified("eyJhIjoxfQ"), Err(InvalidToken::Format));
}

#[test]
fn sections_verify_with_their_own_settings() {
    let separate = verifier_with(&TokenSettings {
        section: Section::SubscriptionToken,
        hmac_secret_key: "separate".to_owned(),
        ..TokenSettings::default()
    });
    let own = signed(
        r#"{"alg":"HS256"}"#,
        r#"{"channel":"news"}"#,
        "separate",
        Algorithm::HS256,
    );
    let shared = token(&json!({"channel": "news"}));
    assert!(separate.subscribe(&own, NOW).is_ok());
    assert!(verifier().subscribe(&shared, NOW).is_ok());
    let wrong = invalid(InvalidToken::Signature);
    assert_eq!(separate.subscribe(&shared, NOW), wrong);
    assert_eq!(verifier().subscribe(&own, NOW), wrong);
}

#[test]
fn expressions_match_any_part_of_issuer_and_of_one_audience() {
    let table = [
        (
            "issuer_regex",
            "example",
            json!({"iss": "https://example.com"}),
            true,
        ),
        (
            "issuer_regex",
            "^example$",
            json!({"iss": "https://example.com"}),
            false,
        ),
        ("issuer_regex", "a", json!({}), false),
        ("issuer_regex", "^$", json!({}), true),
        ("audience_regex", "^app", json!({"aud": "app-1"}), true),
        (
            "audience_regex",
            "^app",
            json!({"aud": ["other", "app-1"]}),
            true,
        ),
        ("audience_regex", "^app", json!({"aud": ["other"]}), false),
        ("audience_regex", "", json!({"aud": []}), true),
        ("audience_regex", "^.*$", json!({}), false),
    ];
    for (option, expression, claims, valid) in table {
        let mut settings = settings();
        let reason = if option == "issuer_regex" {
            settings.issuer_regex = expression.to_owned();
            InvalidToken::Issuer
        } else {
            settings.audience_regex = expression.to_owned();
            InvalidToken::Audience
        };
        let answer = verifier_with(&settings).connect(&token(&claims), NOW);
        let expected = (!valid).then_some(TokenError::Invalid(reason));
        assert_eq!(answer.err(), expected, "{option} {expression} {claims}");
    }
}

#[test]
fn unverified_signatures_leave_all_other_checks() {
    let mut settings = settings();
    settings.issuer = "https://issuer".to_owned();
    settings.audience_regex = "^app$".to_owned();
    let verifier = verifier_with(&settings).without_signatures();
    let good = json!({"sub": "42", "iss": "https://issuer", "aud": "app"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let table = [
        (good.clone(), None),
        (with("exp", json!(1)), Some(TokenError::Expired)),
        (
            with("iss", json!("other")),
            Some(InvalidToken::Issuer.into()),
        ),
        (
            with("aud", json!("other")),
            Some(InvalidToken::Audience.into()),
        ),
        (with("sub", json!(1)), Some(InvalidToken::Claims.into())),
        (
            with("channel", json!("news")),
            Some(InvalidToken::Kind.into()),
        ),
    ];
    for (claims, expected) in table {
        let foreign = signed(
            r#"{"alg":"HS256"}"#,
            &claims.to_string(),
            "other",
            Algorithm::HS256,
        );
        assert_eq!(verifier.connect(&foreign, NOW).err(), expected, "{claims}");
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let unsigned = format!(
            "{}.{}.",
            part(r#"{"alg":"none"}"#),
            part(&claims.to_string())
        );
        assert_eq!(verifier.connect(&unsigned, NOW).err(), expected, "{claims}");
    }
    assert_eq!(
        verifier.connect("eyJhbGciOiJub25lIn0", NOW),
        invalid(InvalidToken::Format)
    );
}

/// What the error says about settings that cannot be used.
fn refusal(settings: &TokenSettings) -> String {
    let error: SettingsError = Verifier::new(settings, &KeySets::default()).unwrap_err();
    error.to_string()
}

#[test]
fn unusable_settings_are_refused_with_option_and_remedy() {
    let base = || TokenSettings {
        section: Section::SubscriptionToken,
        ..TokenSettings::default()
    };
    let table = [
        (
            TokenSettings {
                rsa_public_key: "/etc/key.pem".to_owned(),
                ..base()
            },
            ["client.subscription_token.rsa_public_key", "PEM"],
        ),
        (
            TokenSettings {
                ecdsa_public_key: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"
                    .to_owned(),
                ..base()
            },
            ["client.subscription_token.ecdsa_public_key", "P-521"],
        ),
        (
            TokenSettings {
                audience: "a".to_owned(),
                audience_regex: "a".to_owned(),
                ..base()
            },
            ["client.subscription_token.audience_regex", "unset one"],
        ),
        (
            TokenSettings {
                issuer: "a".to_owned(),
                issuer_regex: "a".to_owned(),
                ..base()
            },
            ["client.subscription_token.issuer_regex", "unset one"],
        ),
        (
            TokenSettings {
                issuer_regex: "(".to_owned(),
                ..base()
            },
            ["client.subscription_token.issuer_regex", "correct it"],
        ),
        (
            TokenSettings {
                user_id_claim: "user-id".to_owned(),
                ..base()
            },
            ["\"user-id\"", "letters and underscores"],
        ),
        (
            TokenSettings {
                jwks_public_endpoint: "file:///keys".to_owned(),
                ..base()
            },
            ["\"file:///keys\"", "https://"],
        ),
    ];
    for (settings, parts) in table {
        let text = refusal(&settings);
        for part in parts {
            assert!(text.contains(part), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_tokens_never_panic(tail in "[A-Za-z0-9_.=-]{0,60}", payload in ".{0,40}") {
        let answer = verifier().connect(&format!("eyJ{tail}"), NOW);
        prop_assert!(answer.is_err());
        let signed = raw_token(&payload);
        prop_assert!(verifier().subscribe(&signed, NOW).is_err());
    }
}
