//! `edge dev`: a server to play with. Keys are made anew at each start, nothing is written to disk.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use rand::Rng;
use serde_json::json;
use tidewire_config::load::{self, Sources};
use tidewire_edge::auth::{TokenSettings, connection_token};
use tidewire_edge::node::Listeners;
use tidewire_edge::services::unix_time;

use super::{serve, telemetry};

/// Runs a development server.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Address to listen on.
    #[arg(short, long, default_value = "127.0.0.1")]
    address: String,
    /// Port to listen on; 0 lets the system choose.
    #[arg(short, long, default_value_t = 8000)]
    port: u16,
}

impl Dev {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let api_key = key();
        let config = json!({
            "http_server": {"address": self.address, "port": 8000},
            "client": {
                "token": {"hmac_secret_key": key()},
                "allowed_origins": ["*"],
            },
            "http_stream": {"enabled": true},
            "sse": {"enabled": true},
            "uni_websocket": {"enabled": true},
            "uni_sse": {"enabled": true},
            "uni_http_stream": {"enabled": true},
            "init": {"enabled": true},
            "swagger": {"enabled": true},
            "channel": {
                "without_namespace": {"allow_subscribe_for_client": true},
                "namespaces": [
                    {
                        "name": "chat",
                        "allow_subscribe_for_client": true,
                        "allow_publish_for_subscriber": true,
                    },
                    {
                        "name": "news",
                        "allow_subscribe_for_client": true,
                        "presence": true,
                        "history_size": 100,
                        "history_ttl": "300s",
                        "force_recovery": true,
                    },
                ],
            },
            "http_api": {"key": api_key},
            "health": {"enabled": true},
            "prometheus": {"enabled": true},
            "tidewire": {
                "demo": {"enabled": true},
                "drain": {"endpoint_propagation": "1ms"},
            },
        });
        let mut loaded =
            load::from_value("edge dev", &config).context("the development configuration")?;
        loaded.config.http_server.port = self.port;
        telemetry::start(&loaded.config)?;
        let listeners = Listeners::bind(&loaded.config)?;
        let base = format!("http://{}", listeners.external.local_addr()?);
        let settings = TokenSettings::from(&loaded.config.client.token);
        let now = i64::try_from(unix_time()).unwrap_or(i64::MAX);
        let token = connection_token(&settings, "dev", 7 * 24 * 3600, now)?;
        super::print(&format!(
            "Demo page: {base}/   (open it in two windows and chat)\n\n\
             Token for user \"dev\":\n{token}\n\n\
             Publish from a backend:\n\
             curl -H 'X-API-Key: {api_key}' -d '{{\"channel\":\"chat:lobby\",\"data\":{{\"text\":\"hello from curl\"}}}}' \
             {base}/api/publish\n\n"
        ))?;
        serve::start(loaded, listeners, &Sources::default())
    }
}

/// 32 random bytes as text.
fn key() -> String {
    URL_SAFE_NO_PAD.encode(rand::rng().random::<[u8; 32]>())
}
