//! How tokens are verified: each option, for connection tokens and for subscription tokens with rules of their own.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidewire_config::merge;

use crate::support::client::{Client, Incoming};
use crate::support::server::{SECRET, Server};
use crate::support::token;

/// The section of the options, and what its tokens are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connection,
    Subscription,
}

pub(crate) const KINDS: [Kind; 2] = [Kind::Connection, Kind::Subscription];

impl Kind {
    /// A server that verifies tokens of this kind so.
    pub(crate) fn server(self, settings: &Value) -> Server {
        let mut settings = settings.clone();
        let mut client = json!({"disallow_anonymous_connection_tokens": true});
        match self {
            Self::Connection => client["token"] = settings,
            Self::Subscription => {
                settings["enabled"] = true.into();
                client["subscription_token"] = settings;
            }
        }
        Server::start(&json!({"client": client}))
    }

    /// Claims of user 42 over these.
    pub(crate) fn claims(self, more: Value) -> Value {
        let mut claims = json!({"sub": "42"});
        if self == Self::Subscription {
            claims["channel"] = "a".into();
        }
        merge(&mut claims, more);
        claims
    }

    /// Whether the server lets user 42 in with this token.
    pub(crate) async fn accepts(self, server: &Server, token: &str) -> bool {
        let mut client = match self {
            Self::Connection => Client::open(server).await,
            Self::Subscription => Client::connected(server, "42").await,
        };
        let command = match self {
            Self::Connection => json!({"connect": {"token": token}}),
            Self::Subscription => json!({"subscribe": {"channel": "a", "token": token}}),
        };
        client.command(command).await;
        match client.next().await {
            Incoming::Message(reply) => reply["error"].is_null(),
            Incoming::Closed(code, _) => {
                assert!(matches!(code, 3500 | 3507), "{code}");
                false
            }
            Incoming::Cut => panic!("a reply or a close frame expected"),
        }
    }
}

/// A token with any signature.
fn signed(alg: &str, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!("{}.{}", part(&json!({"alg": alg})), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn pem(der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

/// A key, which takes long to make.
fn rsa() -> &'static RsaKeyPair {
    static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

fn ecdsa() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

#[tokio::test]
async fn a_secret_and_the_one_before_it_sign_tokens() {
    let settings = json!({"hmac_secret_key": "new", "hmac_previous_secret_key": "old"});
    let mut expired = settings.clone();
    expired["hmac_previous_secret_key_valid_until"] = 1.into();
    for kind in KINDS {
        for (settings, old_is_good) in [(&settings, true), (&expired, false)] {
            let server = kind.server(settings);
            for (key, good) in [
                ("new", true),
                ("old", old_is_good),
                ("other", false),
                // Of connections by default, which is not looked at for another kind.
                (SECRET, false),
            ] {
                let token = token::signed(&kind.claims(json!({})), key);
                let accepted = kind.accepts(&server, &token).await;
                assert_eq!(accepted, good, "{kind:?} {key} {settings}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_are_signed_with_the_keys_whose_public_part_is_configured() {
    let (own, other) = (ecdsa(), ecdsa());
    let settings = json!({
        "rsa_public_key": pem(rsa().public_key().as_der().unwrap().as_ref()),
        "ecdsa_public_key": pem(own.public_key().as_der().unwrap().as_ref()),
    });
    let by_ecdsa = |pair: &EcdsaKeyPair, message: &[u8]| {
        let signature = pair.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    };
    for kind in KINDS {
        let server = kind.server(&settings);
        let claims = kind.claims(json!({}));
        let rsa_token = signed("RS256", &claims, |message| {
            let mut signature = vec![0; rsa().public_modulus_len()];
            rsa()
                .sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .unwrap();
            signature
        });
        let ecdsa_token = |pair: &EcdsaKeyPair| signed("ES256", &claims, |it| by_ecdsa(pair, it));
        for (name, token, good) in [
            ("RSA", rsa_token, true),
            ("ECDSA", ecdsa_token(&own), true),
            ("another key", ecdsa_token(&other), false),
        ] {
            let accepted = kind.accepts(&server, &token).await;
            assert_eq!(accepted, good, "{kind:?} {name}");
        }
    }
}

#[tokio::test]
async fn claims_must_be_as_configured() {
    let rows = [
        (
            json!({"issuer": "it"}),
            json!({"iss": "it"}),
            json!({"iss": "you"}),
        ),
        (
            json!({"issuer_regex": "^it"}),
            json!({"iss": "it too"}),
            json!({"iss": "not it"}),
        ),
        (
            json!({"audience": "me"}),
            json!({"aud": ["you", "me"]}),
            json!({"aud": "you"}),
        ),
        (
            json!({"audience_regex": "^me"}),
            json!({"aud": "me too"}),
            json!({"aud": "not me"}),
        ),
        (
            json!({"user_id_claim": "uid"}),
            json!({"sub": null, "uid": "42"}),
            json!({"sub": "42"}),
        ),
    ];
    for kind in KINDS {
        for (settings, good, bad) in &rows {
            let mut settings = settings.clone();
            settings["hmac_secret_key"] = SECRET.into();
            let server = kind.server(&settings);
            for (claims, expected) in [(good, true), (bad, false)] {
                let token = token::signed(&kind.claims(claims.clone()), SECRET);
                let accepted = kind.accepts(&server, &token).await;
                assert_eq!(accepted, expected, "{kind:?} {settings} {claims}");
            }
        }
    }
}

#[tokio::test]
async fn signatures_are_not_checked_where_that_is_configured() {
    for skip in [false, true] {
        let server = Server::start(&json!({
            "client": {"insecure_skip_token_signature_verify": skip},
        }));
        for kind in KINDS {
            let token = token::signed(&kind.claims(json!({})), "any");
            assert_eq!(kind.accepts(&server, &token).await, skip, "{kind:?}");
        }
    }
}
