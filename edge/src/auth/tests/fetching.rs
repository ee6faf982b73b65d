//! Keys from a JWKS endpoint, over real connections.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, pause, resume};

use super::super::NeedsKeys;
use super::support::{Pair, Reply, Server, rsa};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn fetching(server: &Server) -> TokenSettings {
    TokenSettings {
        jwks_public_endpoint: server.url("/certs"),
        ..TokenSettings::default()
    }
}

/// An Ed25519 token with this key id.
fn ed(pair: &Pair, kid: &str) -> String {
    pair.token(&json!({"alg": "EdDSA", "kid": kid}), &json!({"sub": "42"}))
}

async fn user(verifier: &Verifier, token: &str) -> Result<String, TokenError> {
    let claims = verifier.verify_connect(token, NOW).await;
    claims.map(|claims| claims.user)
}

fn accepted() -> Result<String, TokenError> {
    Ok("42".to_owned())
}

#[tokio::test]
async fn fetched_key_verifies_later_tokens_without_waiting() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    let token = ed(&pair, "a");
    assert_eq!(verifier.verify_connect_now(&token, NOW), Err(NeedsKeys));
    assert_eq!(server.requests(), 0);
    assert_eq!(user(&verifier, &token).await, accepted());
    let claims = verifier.verify_connect_now(&token, NOW).unwrap().unwrap();
    assert_eq!(claims.user, "42");
    assert_eq!(user(&verifier, &token).await, accepted());
    assert_eq!(server.paths(), ["/certs"]);
}

#[tokio::test]
async fn one_fetch_brings_every_usable_key_of_the_set() {
    let pairs = [
        ("EdDSA", Pair::ed25519()),
        ("ES256", Pair::p256()),
        ("ES384", Pair::p384()),
        ("ES512", Pair::p521()),
    ];
    let mut set: Vec<Value> = pairs.iter().map(|(alg, pair)| pair.jwk(alg)).collect();
    set.insert(0, json!({"kty": "RSA", "kid": "broken", "use": "sig"}));
    set.push(rsa().jwk("rsa"));
    let server = Server::start(Reply::set(&set)).await;
    let verifier = verifier_with(&fetching(&server));
    let claims = json!({"sub": "42"});
    for (alg, pair) in &pairs {
        let token = pair.token(&json!({"alg": alg, "kid": alg}), &claims);
        assert_eq!(user(&verifier, &token).await, accepted(), "{alg}");
    }
    for alg in ["RS256", "RS384", "RS512"] {
        let token = rsa().token(&json!({"alg": alg, "kid": "rsa"}), &claims);
        assert_eq!(user(&verifier, &token).await, accepted(), "{alg}");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn subscription_tokens_are_verified_with_fetched_keys_too() {
    let pair = Pair::p521();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    let header = json!({"alg": "ES512", "kid": "a"});
    let token = pair.token(&header, &json!({"sub": "42", "channel": "news"}));
    assert_eq!(verifier.verify_subscribe_now(&token, NOW), Err(NeedsKeys));
    let claims = verifier.verify_subscribe(&token, NOW).await.unwrap();
    assert_eq!((&*claims.user, &*claims.channel), ("42", "news"));
    let answer = verifier.verify_connect(&token, NOW).await;
    assert_eq!(answer, invalid(InvalidToken::Kind));
    let expired = pair.token(&header, &json!({"channel": "news", "exp": 1}));
    let answer = verifier.verify_subscribe(&expired, NOW).await;
    assert_eq!(answer, Err(TokenError::Expired));
}

#[tokio::test]
async fn keys_that_are_not_for_this_are_not_used() {
    let pair = Pair::p256();
    let with = |name: &str, value: Value| {
        let mut jwk = pair.jwk("a");
        jwk[name] = value;
        jwk
    };
    let table = [
        with("use", json!("enc")),
        with("use", json!(null)),
        with("use", json!("SIG")),
        with("kid", json!("b")),
        with("kid", json!(null)),
        with("kty", json!("oct")),
        with("kty", json!("RSA")),
        with("crv", json!("P-384")),
        with("crv", json!("secp256k1")),
        with("alg", json!("ES384")),
        with("alg", json!("ECDH-ES")),
        with("alg", json!("RS256")),
        with("x", json!("AAAA")),
        json!({"kty": "oct", "use": "sig", "kid": "a", "alg": "HS256", "k": "c2VjcmV0"}),
    ];
    let token = pair.token(&json!({"alg": "ES256", "kid": "a"}), &json!({"sub": "42"}));
    let server = Server::start(Reply::Silence).await;
    for jwk in table {
        server.answer(Reply::set(std::slice::from_ref(&jwk)));
        let verifier = verifier_with(&fetching(&server));
        let answer = user(&verifier, &token).await;
        assert_eq!(answer, invalid(InvalidToken::KeyId), "{jwk}");
    }
    for alg in [json!("ES256"), json!(""), json!(null)] {
        server.answer(Reply::set(&[with("alg", alg)]));
        let verifier = verifier_with(&fetching(&server));
        assert_eq!(user(&verifier, &token).await, accepted());
    }
}

#[tokio::test]
async fn algorithm_is_that_of_the_key_or_within_its_family() {
    let ec = Pair::p384();
    let mut strict = rsa().jwk("strict");
    strict["alg"] = "RS384".into();
    let set = [strict, rsa().jwk("open"), ec.jwk("ec")];
    let server = Server::start(Reply::set(&set)).await;
    let verifier = verifier_with(&fetching(&server));
    let table = [
        (rsa(), "strict", "RS384", true),
        (rsa(), "strict", "RS256", false),
        (rsa(), "strict", "RS512", false),
        (rsa(), "open", "RS512", true),
        (rsa(), "open", "PS256", false),
        (rsa(), "open", "ES384", false),
        (&ec, "ec", "ES384", true),
        (&ec, "ec", "ES256", false),
        (&ec, "ec", "RS384", false),
        (&ec, "ec", "EdDSA", false),
    ];
    for (pair, kid, alg, fits) in table {
        let token = pair.token(&json!({"alg": alg, "kid": kid}), &json!({"sub": "42"}));
        let expected = if fits {
            accepted()
        } else {
            invalid(InvalidToken::Algorithm)
        };
        assert_eq!(user(&verifier, &token).await, expected, "{kid} {alg}");
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn tokens_that_no_key_could_fit_fetch_nothing() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let mut settings = fetching(&server);
    settings.issuer_regex = "^https://issuer$".to_owned();
    let verifier = verifier_with(&settings);
    let good = json!({"sub": "42", "iss": "https://issuer"});
    let table = [
        (json!({"alg": "EdDSA"}), good.clone(), InvalidToken::KeyId),
        (
            json!({"alg": "EdDSA", "kid": ""}),
            good.clone(),
            InvalidToken::KeyId,
        ),
        (
            json!({"alg": "HS256", "kid": "a"}),
            good.clone(),
            InvalidToken::Algorithm,
        ),
        (
            json!({"alg": "none", "kid": "a"}),
            good.clone(),
            InvalidToken::Algorithm,
        ),
        (
            json!({"alg": "EdDSA", "kid": "a"}),
            json!({}),
            InvalidToken::Issuer,
        ),
        (
            json!({"alg": "EdDSA", "kid": "a"}),
            json!({"sub": 1}),
            InvalidToken::Claims,
        ),
    ];
    for (header, claims, reason) in table {
        let token = pair.token(&header, &claims);
        assert_eq!(
            user(&verifier, &token).await,
            invalid(reason),
            "{header} {claims}"
        );
    }
    let skipping = verifier_with(&settings).without_signatures();
    let token = pair.token(&json!({"alg": "EdDSA"}), &good);
    assert_eq!(user(&skipping, &token).await, accepted());
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn signature_of_another_key_is_invalid() {
    let (pair, other) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    for _ in ["fetched", "kept"] {
        let answer = user(&verifier, &ed(&other, "a")).await;
        assert_eq!(answer, invalid(InvalidToken::Signature));
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn rotated_key_is_fetched_and_the_old_one_stays() {
    let (old, new) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::start(Reply::set(&[old.jwk("old")])).await;
    let verifier = verifier_with(&fetching(&server));
    assert_eq!(user(&verifier, &ed(&old, "old")).await, accepted());
    server.answer(Reply::set(&[new.jwk("new")]));
    assert_eq!(user(&verifier, &ed(&new, "new")).await, accepted());
    assert_eq!(user(&verifier, &ed(&old, "old")).await, accepted());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn unknown_key_id_is_asked_for_every_time() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    for requests in 1..=3 {
        let answer = user(&verifier, &ed(&pair, "b")).await;
        assert_eq!(answer, invalid(InvalidToken::KeyId));
        assert_eq!(server.requests(), requests);
    }
    server.answer(Reply::set(&[pair.jwk("b")]));
    assert_eq!(user(&verifier, &ed(&pair, "b")).await, accepted());
}

#[tokio::test]
async fn first_of_two_keys_with_one_id_counts() {
    let (first, second) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::start(Reply::set(&[first.jwk("a"), second.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    assert_eq!(user(&verifier, &ed(&first, "a")).await, accepted());
    let answer = user(&verifier, &ed(&second, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::Signature));
}

#[tokio::test]
async fn key_stays_for_an_hour_after_its_last_use() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let verifier = verifier_with(&fetching(&server));
    let token = ed(&pair, "a");
    assert_eq!(user(&verifier, &token).await, accepted());
    pause();
    for _ in 0..3 {
        advance(HOUR - Duration::from_secs(60)).await;
        assert!(verifier.verify_connect_now(&token, NOW).unwrap().is_ok());
    }
    advance(HOUR + Duration::from_millis(1)).await;
    assert_eq!(verifier.verify_connect_now(&token, NOW), Err(NeedsKeys));
    resume();
    assert_eq!(server.requests(), 1);
    assert_eq!(user(&verifier, &token).await, accepted());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn verifiers_share_fetched_keys() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let key_sets = KeySets::default();
    let settings = fetching(&server);
    let before = Verifier::new(&settings, &key_sets).unwrap();
    assert_eq!(user(&before, &ed(&pair, "a")).await, accepted());
    drop(before);
    let reloaded = Verifier::new(&settings, &key_sets).unwrap();
    let answer = reloaded.verify_connect_now(&ed(&pair, "a"), NOW);
    assert!(answer.unwrap().is_ok());
}

#[tokio::test]
async fn concurrent_fetches_are_one() {
    let pair = Pair::ed25519();
    let gate = Arc::new(Semaphore::new(0));
    let reply = Reply::set(&[pair.jwk("a"), pair.jwk("b")]);
    let server = Server::start(Reply::Gated(Arc::clone(&gate), Box::new(reply))).await;
    let verifier = verifier_with(&fetching(&server));
    let tokens = [ed(&pair, "a"), ed(&pair, "b")];
    let waiting = join_all((0..20).map(|n| user(&verifier, &tokens[n % 2])));
    let opening = async {
        server.asked(1).await;
        gate.add_permits(100);
    };
    let (answers, ()) = tokio::join!(waiting, opening);
    assert_eq!(answers, vec![accepted(); 20]);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn key_younger_than_a_joined_fetch_is_still_found() {
    let pair = Pair::ed25519();
    let gate = Arc::new(Semaphore::new(0));
    let old = Box::new(Reply::set(&[pair.jwk("a")]));
    let server = Server::start(Reply::Gated(Arc::clone(&gate), old)).await;
    server.answer_later(Reply::set(&[pair.jwk("b")]));
    let verifier = verifier_with(&fetching(&server));
    let (a, b) = (ed(&pair, "a"), ed(&pair, "b"));
    let joining = async {
        server.asked(1).await;
        gate.add_permits(1);
        let both = [user(&verifier, &b), user(&verifier, &b)];
        join_all(both).await
    };
    let (first, joined) = tokio::join!(user(&verifier, &a), joining);
    assert_eq!(first, accepted());
    assert_eq!(joined, vec![accepted(); 2]);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn waiter_that_leaves_does_not_stop_the_others() {
    let pair = Pair::ed25519();
    let gate = Arc::new(Semaphore::new(0));
    let reply = Box::new(Reply::set(&[pair.jwk("a")]));
    let server = Server::start(Reply::Gated(Arc::clone(&gate), reply)).await;
    let verifier = Arc::new(verifier_with(&fetching(&server)));
    let token = ed(&pair, "a");
    let waiter = || {
        let (verifier, token) = (Arc::clone(&verifier), token.clone());
        tokio::spawn(async move { user(&verifier, &token).await })
    };
    let (first, second) = (waiter(), waiter());
    server.asked(1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    assert_eq!(second.await.unwrap(), accepted());
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn fetch_that_everybody_left_is_started_anew() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::Silence).await;
    let verifier = verifier_with(&fetching(&server));
    let token = ed(&pair, "a");
    tokio::select! {
        answer = user(&verifier, &token) => panic!("{answer:?}"),
        () = server.asked(1) => {}
    }
    server.answer(Reply::set(&[pair.jwk("a")]));
    assert_eq!(user(&verifier, &token).await, accepted());
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn waiters_of_one_fetch_may_be_on_different_runtimes() {
    let pair = Pair::ed25519();
    let gate = Arc::new(Semaphore::new(0));
    let reply = Box::new(Reply::set(&[pair.jwk("a")]));
    let server = Server::start(Reply::Gated(Arc::clone(&gate), reply)).await;
    let verifier = Arc::new(verifier_with(&fetching(&server)));
    let token = ed(&pair, "a");
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(user(&verifier, &token))
            })
        })
        .collect();
    server.asked(1).await;
    gate.add_permits(100);
    let join = move || threads.into_iter().map(|thread| thread.join().unwrap());
    let answers = tokio::task::spawn_blocking(move || join().collect::<Vec<_>>());
    assert_eq!(answers.await.unwrap(), vec![accepted(); 4]);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn silent_endpoint_is_asked_again_after_a_second() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::Silence).await;
    server.answer_later(Reply::set(&[pair.jwk("a")]));
    let verifier = verifier_with(&fetching(&server));
    let start = Instant::now();
    assert_eq!(user(&verifier, &ed(&pair, "a")).await, accepted());
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn endpoint_is_given_up_after_two_attempts() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::Silence).await;
    let verifier = verifier_with(&fetching(&server));
    let start = Instant::now();
    let answer = user(&verifier, &ed(&pair, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
    assert!(start.elapsed() >= Duration::from_secs(2));
    assert_eq!(server.requests(), 2);
    server.answer(Reply::set(&[pair.jwk("a")]));
    assert_eq!(user(&verifier, &ed(&pair, "a")).await, accepted());
}

#[tokio::test]
async fn failed_attempts_are_repeated_once() {
    let pair = Pair::ed25519();
    let failures = [
        Reply::Head("500 Internal Server Error".to_owned()),
        Reply::Head("404 Not Found".to_owned()),
        Reply::Head("204 No Content".to_owned()),
        Reply::Head("304 Not Modified".to_owned()),
        Reply::Ok("<html>".to_owned()),
        Reply::Ok("{}".to_owned()),
    ];
    for failure in failures {
        let server = Server::start(failure.clone()).await;
        let verifier = verifier_with(&fetching(&server));
        let answer = user(&verifier, &ed(&pair, "a")).await;
        assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
        assert_eq!(server.requests(), 2);
        server.answer(failure);
        server.answer_later(Reply::set(&[pair.jwk("a")]));
        assert_eq!(user(&verifier, &ed(&pair, "a")).await, accepted());
        assert_eq!(server.requests(), 4);
    }
}

#[tokio::test]
async fn closed_port_makes_tokens_invalid() {
    let pair = Pair::ed25519();
    let settings = TokenSettings {
        // Nothing listens on port 1, and binding it takes privileges.
        jwks_public_endpoint: "http://127.0.0.1:1/certs".to_owned(),
        ..TokenSettings::default()
    };
    let answer = user(&verifier_with(&settings), &ed(&pair, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
}

#[tokio::test]
async fn https_never_falls_back_to_plain_text() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::set(&[pair.jwk("a")])).await;
    let settings = TokenSettings {
        jwks_public_endpoint: format!("https://127.0.0.1:{}/certs", server.port()),
        ..TokenSettings::default()
    };
    let answer = user(&verifier_with(&settings), &ed(&pair, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn answer_of_more_than_a_mebibyte_is_refused() {
    let pair = Pair::ed25519();
    let set = json!({"keys": [pair.jwk("a")]}).to_string();
    let padded = |bytes: usize| format!("{set}{}", " ".repeat(bytes - set.len()));
    let server = Server::start(Reply::Ok(padded(1024 * 1024 + 1))).await;
    let verifier = verifier_with(&fetching(&server));
    let answer = user(&verifier, &ed(&pair, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
    server.answer(Reply::Ok(padded(1024 * 1024)));
    assert_eq!(user(&verifier, &ed(&pair, "a")).await, accepted());
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_only() {
    let pair = Pair::ed25519();
    let set = Reply::set(&[pair.jwk("a")]);
    let other = Server::start(set.clone()).await;
    let server = Server::start(set.clone()).await;
    for location in ["/keys?v=2".to_owned(), server.url("/keys?v=2")] {
        server.answer(Reply::redirect(&location));
        server.answer_later(set.clone());
        let verifier = verifier_with(&fetching(&server));
        assert_eq!(user(&verifier, &ed(&pair, "a")).await, accepted());
        assert_eq!(
            server.paths().split_off(server.requests() - 2),
            ["/certs", "/keys?v=2"]
        );
    }
    let elsewhere = [
        other.url("/certs"),
        format!("//127.0.0.1:{}/certs", other.port()),
        format!("http://localhost:{}/certs", server.port()),
        format!("https://127.0.0.1:{}/certs", server.port()),
        "relative".to_owned(),
        String::new(),
    ];
    for location in elsewhere {
        server.answer(Reply::redirect(&location));
        let before = server.requests();
        let verifier = verifier_with(&fetching(&server));
        let answer = user(&verifier, &ed(&pair, "a")).await;
        assert_eq!(answer, invalid(InvalidToken::KeysUnavailable), "{location}");
        assert_eq!(server.requests() - before, 2, "{location}");
    }
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let pair = Pair::ed25519();
    let server = Server::start(Reply::redirect("/certs")).await;
    let verifier = verifier_with(&fetching(&server));
    let answer = user(&verifier, &ed(&pair, "a")).await;
    assert_eq!(answer, invalid(InvalidToken::KeysUnavailable));
    assert_eq!(server.requests(), 8);
}

#[tokio::test]
async fn issuer_decides_where_the_key_comes_from() {
    let (one, two) = (Pair::ed25519(), Pair::ed25519());
    let server = Server::start(Reply::set(&[one.jwk("a")])).await;
    let settings = TokenSettings {
        jwks_public_endpoint: server.url("/realms/{{realm}}/{{app}}"),
        issuer_regex: r"^https://example\.com/(?P<realm>one|two)$".to_owned(),
        audience_regex: "^(?P<app>chat|game)$".to_owned(),
        ..TokenSettings::default()
    };
    let verifier = verifier_with(&settings);
    let token = |pair: &Pair, realm: &str| {
        let claims = json!({"sub": "42", "iss": format!("https://example.com/{realm}"),
            "aud": ["other", "game", "chat"]});
        pair.token(&json!({"alg": "EdDSA", "kid": "a"}), &claims)
    };
    assert_eq!(user(&verifier, &token(&one, "one")).await, accepted());
    server.answer(Reply::set(&[two.jwk("a")]));
    // The same key id is another key elsewhere.
    let answer = user(&verifier, &token(&one, "two")).await;
    assert_eq!(answer, invalid(InvalidToken::Signature));
    assert_eq!(user(&verifier, &token(&two, "two")).await, accepted());
    let answer = user(&verifier, &token(&two, "one")).await;
    assert_eq!(answer, invalid(InvalidToken::Signature));
    let answer = user(&verifier, &token(&two, "three")).await;
    assert_eq!(answer, invalid(InvalidToken::Issuer));
    assert_eq!(server.paths(), ["/realms/one/game", "/realms/two/game"]);
}
