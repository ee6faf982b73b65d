//! Transport Layer Security.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Pem, Secret};

/// Transport Layer Security, of a server or of a client; version 1.2 at least.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Tls {
    /// Encrypt connections with TLS.
    pub enabled: bool,
    /// Own certificate: PEM, Base64 of PEM, or a file's path.
    pub cert_pem: Pem,
    /// Key of the own certificate: PEM, Base64 of PEM, or a file's path.
    #[serde(skip_serializing)]
    pub key_pem: Secret<Pem>,
    /// Authorities that a server's certificate must come from: PEM, Base64 of PEM, or a file's path.
    pub server_ca_pem: Pem,
    /// Authorities that certificates of clients must come from; empty asks clients for none.
    ///
    /// PEM, Base64 of PEM, or a file's path.
    pub client_ca_pem: Pem,
    /// Accept any certificate of a server, for development only.
    pub insecure_skip_verify: bool,
    /// Name that a server's certificate must bear; empty means the name that is connected to.
    pub server_name: String,
}
