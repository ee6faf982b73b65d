//! Key pairs, and a server on the loopback interface that gives out their sets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// A private key and what is public of it.
pub(super) enum Pair {
    Rsa(Box<RsaKeyPair>),
    /// With its curve and the bytes of a coordinate.
    Ec(EcdsaKeyPair, &'static str, usize),
    Ed(Ed25519KeyPair),
}

impl Pair {
    pub(super) fn rsa(size: KeySize) -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(size).unwrap()))
    }

    pub(super) fn p256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::Ec(pair, "P-256", 32)
    }

    pub(super) fn p384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::Ec(pair, "P-384", 48)
    }

    pub(super) fn p521() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        Self::Ec(pair, "P-521", 66)
    }

    pub(super) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// Signs with the algorithm of this name, or with the key's own when the
    /// name is not one of its own.
    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => {
                let padding = match alg {
                    "RS512" => &RSA_PKCS1_SHA512,
                    "RS384" => &RSA_PKCS1_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ec(pair, ..) => {
                let signature = pair.sign(&SystemRandom::new(), message).unwrap();
                signature.as_ref().to_vec()
            }
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    pub(super) fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let alg = header["alg"].as_str().unwrap_or_default();
        let signature = URL_SAFE_NO_PAD.encode(self.sign(alg, message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The public key as PEM, `SubjectPublicKeyInfo`.
    pub(super) fn pem(&self) -> String {
        let der = match self {
            Self::Rsa(pair) => pair.public_key().as_der(),
            Self::Ec(pair, ..) => pair.public_key().as_der(),
            Self::Ed(pair) => pair.public_key().as_der(),
        };
        pem("PUBLIC KEY", der.unwrap().as_ref())
    }

    /// The public key as PEM, `RSAPublicKey`.
    pub(super) fn rsa_pem(&self) -> String {
        let Self::Rsa(pair) = self else {
            panic!("not an RSA key")
        };
        pem("RSA PUBLIC KEY", pair.public_key().as_ref())
    }

    /// The public key as a JWK for signatures, without `alg`.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                // SEQUENCE { INTEGER modulus, INTEGER exponent } of 2048 bits.
                let der = pair.public_key().as_ref();
                assert_eq!(der.len(), 270);
                json!({"kid": kid, "use": "sig", "kty": "RSA",
                    "n": text(&der[9..265]), "e": text(&der[267..])})
            }
            Self::Ec(pair, curve, bytes) => {
                let point = pair.public_key().as_ref();
                json!({"kid": kid, "use": "sig", "kty": "EC", "crv": curve,
                    "x": text(&point[1..=*bytes]), "y": text(&point[bytes + 1..])})
            }
            Self::Ed(pair) => json!({"kid": kid, "use": "sig", "kty": "OKP", "crv": "Ed25519",
                "x": text(pair.public_key().as_ref())}),
        }
    }
}

/// An RSA key, which takes long to make.
pub(super) fn rsa() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| Pair::rsa(KeySize::Rsa2048))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// What the server answers.
#[derive(Clone)]
pub(super) enum Reply {
    /// 200 with this body.
    Ok(String),
    /// This status line and header lines, no body.
    Head(String),
    /// The connection stays open and silent.
    Silence,
    /// The reply, as soon as there is a permit.
    Gated(Arc<Semaphore>, Box<Self>),
}

impl Reply {
    pub(super) fn set(keys: &[Value]) -> Self {
        Self::Ok(json!({"keys": keys}).to_string())
    }

    pub(super) fn redirect(location: &str) -> Self {
        Self::Head(format!("302 Found\r\nlocation: {location}"))
    }
}

/// A server that lives as long as the test's runtime.
pub(super) struct Server {
    address: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    later: Arc<Mutex<Option<Reply>>>,
    paths: watch::Receiver<Vec<String>>,
}

impl Server {
    pub(super) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let reply = Arc::new(Mutex::new(reply));
        let later = Arc::new(Mutex::new(None::<Reply>));
        let (seen, paths) = watch::channel(Vec::new());
        let seen = Arc::new(seen);
        let (current, next) = (Arc::clone(&reply), Arc::clone(&later));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, current, next) = (seen.clone(), current.clone(), next.clone());
                tokio::spawn(async move {
                    let answer = || {
                        let answer = current.lock().unwrap().clone();
                        if let Some(next) = next.lock().unwrap().take() {
                            *current.lock().unwrap() = next;
                        }
                        answer
                    };
                    serve(stream, &seen, answer).await;
                });
            }
        });
        Self {
            address,
            reply,
            later,
            paths,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What every further request gets.
    pub(super) fn answer(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// What every request but the next gets.
    pub(super) fn answer_later(&self, reply: Reply) {
        *self.later.lock().unwrap() = Some(reply);
    }

    /// The paths asked for so far.
    pub(super) fn paths(&self) -> Vec<String> {
        self.paths.borrow().clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.paths.borrow().len()
    }

    /// Waits until there were so many requests.
    pub(super) async fn asked(&self, requests: usize) {
        let mut paths = self.paths.clone();
        paths
            .wait_for(|paths| paths.len() >= requests)
            .await
            .unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &watch::Sender<Vec<String>>,
    answer: impl Fn() -> Reply,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        if read == 0 || !request.starts_with(b"GET ") {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap().to_owned();
    let mut reply = answer();
    seen.send_modify(|paths| paths.push(path));
    if let Reply::Gated(gate, then) = reply {
        gate.acquire().await.unwrap().forget();
        reply = *then;
    }
    let text = match reply {
        Reply::Ok(body) => format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        Reply::Head(head) => format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"),
        Reply::Silence => {
            // Until the client gives up.
            let _end = stream.read(&mut [0; 1]).await;
            return;
        }
        Reply::Gated(..) => panic!("a gate behind a gate"),
    };
    // The client may have gone, or may not want to read that much.
    let _written = stream.write_all(text.as_bytes()).await;
}
