//! Certificates and keys in the configuration.

use std::borrow::Cow;
use std::fs;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Certificates or keys: PEM, Base64 of PEM, or the path of a file that holds PEM.
///
/// Which of the three it is shows when it is [loaded](Self::load). The empty text sets nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pem(String);

/// Why there are no certificates or keys. The value itself is never repeated: it may be a key.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The text is neither PEM nor Base64 of it, and no file of that name can be read.
    #[error("neither PEM nor Base64 of PEM, and no file of that name can be read")]
    Read(#[source] io::Error),
    /// The file holds something else.
    #[error("the file does not hold PEM")]
    NotPem,
}

impl Pem {
    /// Wraps what a configuration gives.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The PEM itself; reads the file, if it is a file's path.
    ///
    /// # Errors
    /// It is none of the three forms. Do not start, or keep the previous certificates.
    pub fn load(&self) -> Result<Vec<u8>, PemError> {
        if is_pem(self.0.as_bytes()) {
            return Ok(self.0.clone().into_bytes());
        }
        let compact: String = self.0.split_whitespace().collect();
        if let Ok(decoded) = STANDARD.decode(compact)
            && is_pem(&decoded)
        {
            return Ok(decoded);
        }
        let content = fs::read(&self.0).map_err(PemError::Read)?;
        if is_pem(&content) {
            Ok(content)
        } else {
            Err(PemError::NotPem)
        }
    }
}

impl AsRef<str> for Pem {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl JsonSchema for Pem {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Pem".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "x-tidewire-type": "pem" })
    }
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

fn is_pem(bytes: &[u8]) -> bool {
    bytes
        .windows(BEGIN.len())
        .any(|window| window == BEGIN.as_bytes())
}

/// The label of the first block, such as `PUBLIC KEY`, or nothing if that block is malformed.
pub(crate) fn label(text: &str) -> Option<&str> {
    let (_, block) = text.split_once(BEGIN)?;
    let (label, rest) = block.split_once(DASHES)?;
    let (body, _) = rest.split_once(&format!("{DASHES}END {label}{DASHES}"))?;
    let body: String = body.split_whitespace().collect();
    let decoded = STANDARD.decode(body).ok()?;
    (!decoded.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::{Pem, PemError, label};

    const BLOCK: &str = "-----BEGIN PUBLIC KEY-----\nAAEC\nAwQF\n-----END PUBLIC KEY-----\n";

    #[test]
    fn pem_and_base64_of_it_are_the_same() {
        let encoded = STANDARD.encode(BLOCK);
        let (first, second) = encoded.split_at(40);
        for text in [
            BLOCK.to_owned(),
            encoded.clone(),
            format!("{first}\n{second}\n"),
        ] {
            let loaded = Pem::new(text).load().expect("PEM");
            assert_eq!(loaded, BLOCK.as_bytes());
        }
    }

    #[test]
    fn a_path_is_read() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let error = Pem::new(manifest).load().expect_err("no PEM");
        assert!(matches!(error, PemError::NotPem), "{error}");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/pem.rs");
        // This very file holds a block.
        assert!(Pem::new(source).load().is_ok());
    }

    #[test]
    fn an_error_does_not_repeat_the_value() {
        let error = Pem::new("hunter2").load().expect_err("no such file");
        assert!(matches!(error, PemError::Read(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn only_a_whole_block_has_a_label() {
        assert_eq!(label(BLOCK), Some("PUBLIC KEY"));
        assert_eq!(label(&format!("a comment\n{BLOCK}")), Some("PUBLIC KEY"));
        for broken in [
            "",
            "AAEC",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nA?EC\n-----END PUBLIC KEY-----\n",
            "-----BEGIN PUBLIC KEY-----\nAAEC\n-----END RSA KEY-----\n",
        ] {
            assert_eq!(label(broken), None, "{broken}");
        }
    }
}
