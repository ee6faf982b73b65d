//! Public keys from the settings, and known answers for JWKs.

use aws_lc_rs::rsa::KeySize;
use serde_json::json;

use super::super::jwk;
use super::super::token::Parsed;
use super::support::{Pair, rsa};
use super::*;

const PUBLIC: [&str; 7] = [
    "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA",
];

#[test]
fn rsa_key_serves_its_three_algorithms_and_no_other() {
    for pem in [rsa().pem(), rsa().rsa_pem()] {
        let verifier = verifier_with(&TokenSettings {
            rsa_public_key: pem,
            ..TokenSettings::default()
        });
        for alg in PUBLIC {
            let token = rsa().token(&json!({"alg": alg}), &json!({"sub": "42"}));
            let answer = verifier.connect(&token, NOW).map(|claims| claims.user);
            if alg.starts_with("RS") {
                assert_eq!(answer, Ok("42".to_owned()), "{alg}");
            } else {
                assert_eq!(answer, invalid(InvalidToken::Algorithm), "{alg}");
            }
        }
    }
}

#[test]
fn ecdsa_key_serves_the_algorithm_of_its_curve() {
    let curves = [
        (Pair::p256(), "ES256"),
        (Pair::p384(), "ES384"),
        (Pair::p521(), "ES512"),
    ];
    for (pair, own) in curves {
        let verifier = verifier_with(&TokenSettings {
            ecdsa_public_key: pair.pem(),
            ..TokenSettings::default()
        });
        for alg in PUBLIC {
            let token = pair.token(&json!({"alg": alg}), &json!({"sub": "42"}));
            let answer = verifier.connect(&token, NOW).map(|claims| claims.user);
            if alg == own {
                assert_eq!(answer, Ok("42".to_owned()), "{own} {alg}");
            } else {
                assert_eq!(answer, invalid(InvalidToken::Algorithm), "{own} {alg}");
            }
        }
    }
}

#[test]
fn families_of_keys_work_side_by_side() {
    let ec = Pair::p256();
    let mut settings = settings();
    settings.rsa_public_key = rsa().pem();
    settings.ecdsa_public_key = ec.pem();
    let verifier = verifier_with(&settings);
    let claims = json!({"sub": "42"});
    for token in [
        token(&claims),
        rsa().token(&json!({"alg": "RS256"}), &claims),
        ec.token(&json!({"alg": "ES256"}), &claims),
    ] {
        assert!(verifier.connect(&token, NOW).is_ok(), "{token}");
    }
}

#[test]
fn signatures_of_other_keys_and_messages_are_invalid() {
    let (pair, other) = (Pair::p521(), Pair::p521());
    let verifier = verifier_with(&TokenSettings {
        ecdsa_public_key: pair.pem(),
        rsa_public_key: rsa().pem(),
        ..TokenSettings::default()
    });
    let (es, rs) = (json!({"alg": "ES512"}), json!({"alg": "RS256"}));
    let claims = json!({"sub": "42"});
    let replaced = |token: &str| {
        let (message, signature) = token.rsplit_once('.').unwrap();
        let (head, _) = message.split_once('.').unwrap();
        let body = URL_SAFE_NO_PAD.encode(r#"{"sub":"43"}"#);
        format!("{head}.{body}.{signature}")
    };
    let table = [
        other.token(&es, &claims),
        replaced(&pair.token(&es, &claims)),
        replaced(&rsa().token(&rs, &claims)),
        // An RS512 signature under the name of RS256, and the reverse.
        rsa()
            .token(&json!({"alg": "RS256", "x": 1}), &claims)
            .replacen(
                &URL_SAFE_NO_PAD.encode(json!({"alg": "RS256", "x": 1}).to_string()),
                &URL_SAFE_NO_PAD.encode(json!({"alg": "RS512", "x": 1}).to_string()),
                1,
            ),
    ];
    for token in table {
        let answer = verifier.connect(&token, NOW);
        assert_eq!(answer, invalid(InvalidToken::Signature), "{token}");
    }
}

#[test]
fn public_key_is_no_hmac_secret() {
    let pem = rsa().pem();
    let verifier = verifier_with(&TokenSettings {
        rsa_public_key: pem.clone(),
        ..TokenSettings::default()
    });
    let forged = signed(
        r#"{"alg":"HS256"}"#,
        r#"{"sub":"42"}"#,
        &pem,
        Algorithm::HS256,
    );
    let answer = verifier.connect(&forged, NOW);
    assert_eq!(answer, invalid(InvalidToken::Algorithm));
}

#[test]
fn keys_of_another_kind_or_size_are_refused() {
    let small = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDdlatRjRjogo3WojgGHFHYLugd",
        "UWAY9iR3fy4arWNA1KoS8kVw33cJibXr8bvwUAUparCwlvdbH6dvEOfou0/gCFQs",
        "HUfQrSDv+MuSUMAe8jzKE4qW+jK+xQU9a03GUnKHkkle+Q0pX/g6jXZ7r1/xAK5D",
        "o2kQ+X5xK9cipRgEKwIDAQAB\n",
        "-----END PUBLIC KEY-----\n"
    );
    for key in [small, &Pair::p256().pem(), &Pair::ed25519().pem()] {
        let text = refusal(&TokenSettings {
            rsa_public_key: key.to_owned(),
            ..TokenSettings::default()
        });
        assert!(text.contains("client.token.rsa_public_key"), "{text}");
    }
    for key in [rsa().pem(), Pair::ed25519().pem()] {
        let text = refusal(&TokenSettings {
            ecdsa_public_key: key,
            ..TokenSettings::default()
        });
        assert!(text.contains("client.token.ecdsa_public_key"), "{text}");
    }
}

#[test]
fn pem_may_have_text_around_it_and_other_line_ends() {
    let pem = format!("A key:\n{}\nThat was it.", rsa().pem()).replace('\n', "\r\n");
    let verifier = verifier_with(&TokenSettings {
        rsa_public_key: pem,
        ..TokenSettings::default()
    });
    let token = rsa().token(&json!({"alg": "RS256"}), &json!({}));
    assert!(verifier.connect(&token, NOW).is_ok());
}

#[test]
fn large_rsa_keys_are_accepted() {
    let pair = Pair::rsa(KeySize::Rsa4096);
    let verifier = verifier_with(&TokenSettings {
        rsa_public_key: pair.pem(),
        ..TokenSettings::default()
    });
    let token = pair.token(&json!({"alg": "RS384"}), &json!({}));
    assert!(verifier.connect(&token, NOW).is_ok());
}

/// Examples of RFC 7515 (A.3, A.4) and RFC 8037 (A.4): the key and the signed
/// token.
#[test]
fn examples_of_the_standards_verify() {
    let table = [
        (
            json!({"kty": "EC", "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
            concat!(
                "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0",
                "dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-X",
                "x-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
        ),
        (
            json!({"kty": "EC", "crv": "P-521",
                "x": concat!("AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvL",
                    "FV1jSfS9tsz4qUxcWceqwQGk"),
                "y": concat!("ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4K",
                    "kd0AZMaZmh9ubmf63e3kyMj2")}),
            concat!(
                "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi7",
                "0cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPE",
                "X3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
            ),
        ),
        (
            json!({"kty": "OKP", "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            concat!(
                "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0Jz",
                "lnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
            ),
        ),
    ];
    for (mut key, token) in table {
        key["use"] = "sig".into();
        key["kid"] = "example".into();
        let set = json!({"keys": [key]}).to_string();
        let (_, key) = jwk::parse(set.as_bytes()).unwrap().pop().unwrap();
        assert_eq!(key.verify(&Parsed::new(token).unwrap()), Ok(()), "{token}");
        let mut forged = Parsed::new(token).unwrap();
        forged.signature[0] ^= 1;
        assert_eq!(key.verify(&forged), Err(InvalidToken::Signature), "{token}");
    }
}

#[test]
fn coordinates_and_numbers_may_be_written_loosely() {
    let pair = Pair::p521();
    let token = pair.token(&json!({"alg": "ES512"}), &json!({}));
    let strict = pair.jwk("k");
    let x = decode(strict["x"].as_str().unwrap()).unwrap();
    let zeros = x.iter().take_while(|byte| **byte == 0).count();
    let mut short = strict.clone();
    short["x"] = URL_SAFE_NO_PAD.encode(&x[zeros..]).into();
    let mut long = strict.clone();
    long["x"] = URL_SAFE_NO_PAD.encode([&[0], x.as_slice()].concat()).into();
    let keys = |jwk: &Value| jwk::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    for jwk in [&strict, &short] {
        let found = keys(jwk);
        assert_eq!(found[0].1.verify(&Parsed::new(&token).unwrap()), Ok(()));
    }
    assert!(keys(&long).is_empty(), "longer than the curve");

    let mut padded = rsa().jwk("k");
    let n = decode(padded["n"].as_str().unwrap()).unwrap();
    let n = [&[0], n.as_slice()].concat();
    padded["n"] = base64::engine::general_purpose::URL_SAFE.encode(n).into();
    let token = rsa().token(&json!({"alg": "RS256"}), &json!({}));
    let found = keys(&padded);
    assert_eq!(found[0].1.verify(&Parsed::new(&token).unwrap()), Ok(()));
}

#[test]
fn only_text_that_is_no_set_fails_as_a_whole() {
    let good = Pair::ed25519().jwk("good");
    let table = [
        (json!({"keys": []}), Some(0)),
        (json!({"keys": [1, null, {}, {"kid": 1}, good]}), Some(1)),
        (json!({"keys": [good], "more": {}}), Some(1)),
        (json!({"keys": {}}), None),
        (json!({}), None),
        (json!("keys"), None),
    ];
    for (set, expected) in table {
        let found = jwk::parse(set.to_string().as_bytes());
        assert_eq!(found.ok().map(|keys| keys.len()), expected, "{set}");
    }
    assert!(jwk::parse(b"<html>").is_err());
}

proptest! {
    #[test]
    fn arbitrary_keys_never_panic(
        kty in "RSA|EC|OKP",
        crv in "P-256|P-384|P-521|Ed25519",
        numbers in prop::collection::vec("[A-Za-z0-9_-]{0,100}", 4),
    ) {
        let jwk = json!({"kid": "k", "use": "sig", "kty": kty, "crv": crv,
            "n": numbers[0], "e": numbers[1], "x": numbers[2], "y": numbers[3]});
        let set = json!({"keys": [jwk]}).to_string();
        let keys = jwk::parse(set.as_bytes()).unwrap();
        // A random point is on no curve, and 100 characters are no RSA modulus.
        prop_assert!(keys.is_empty() || kty == "OKP");
    }
}
