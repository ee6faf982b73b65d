//! Tokens, their claims, and sets of keys.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::{self, KeySets, TokenError, TokenSettings, Verifier};

const NOW: f64 = 1_800_000_000.5;

/// Verifiers with a key that no input knows, and with none.
static VERIFIERS: LazyLock<[Verifier; 2]> = LazyLock::new(|| {
    let settings = TokenSettings {
        hmac_secret_key: "a secret of the fuzz target".to_owned(),
        audience_regex: "^(?P<who>[a-z]*)$".to_owned(),
        ..TokenSettings::default()
    };
    let open = TokenSettings {
        audience_regex: String::new(),
        ..settings.clone()
    };
    let verifier = |settings| Verifier::new(settings, &KeySets::default()).expect("good settings");
    [verifier(&settings), verifier(&open).without_signatures()]
});

/// Any bytes as a token, as the claims of one, and as a set of keys.
pub fn tokens(bytes: &[u8]) {
    if let Ok(token) = std::str::from_utf8(bytes) {
        let _any = auth::unverified(token);
        refused(token);
    }
    let claims = URL_SAFE_NO_PAD.encode(bytes);
    // {"alg":"HS256"}
    refused(&format!("eyJhbGciOiJIUzI1NiJ9.{claims}.AAAA"));
    if let Some(usable) = auth::usable_keys(bytes) {
        assert!(usable * 2 <= bytes.len(), "a key takes at least two bytes");
    }
}

/// Nobody signed it, so whoever looks at signatures refuses it, and says nothing of its expiry. Who does not gives
/// the same claims each time.
fn refused(token: &str) {
    let [strict, open] = &*VERIFIERS;
    let invalid = |error| matches!(error, TokenError::Invalid(_));
    let connect = strict
        .verify_connect_now(token, NOW)
        .expect("no key is fetched");
    assert!(invalid(connect.unwrap_err()));
    let subscribe = strict
        .verify_subscribe_now(token, NOW)
        .expect("no key is fetched");
    assert!(invalid(subscribe.unwrap_err()));
    let connect = || {
        open.verify_connect_now(token, NOW)
            .expect("no key is fetched")
    };
    assert_eq!(connect().ok(), connect().ok());
    let subscribe = || {
        open.verify_subscribe_now(token, NOW)
            .expect("no key is fetched")
    };
    assert_eq!(subscribe().ok(), subscribe().ok());
}
