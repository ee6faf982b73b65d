//! Listeners, their certificates, and the paths behind them.

use std::collections::HashMap;

use super::Violations;
use crate::{Config, Tls};

pub(super) fn check(config: &Config, found: &mut Violations) {
    let server = &config.http_server;
    let internal_port = &server.internal_port;
    if !internal_port.is_empty() && internal_port.parse::<u16>().is_err() {
        found.add(
            "http_server.internal_port",
            format!("{internal_port:?} is not a port: write a number from 0 to 65535"),
        );
    }
    check_tls("http_server.tls", &server.tls, found);
    check_tls("http_server.internal_tls", &server.internal_tls, found);
    check_paths(config, found);
}

/// Serving in clear what was meant to be encrypted would be worse than not to start.
fn check_tls(at: &str, tls: &Tls, found: &mut Violations) {
    if tls.enabled {
        found.add(
            format!("{at}.enabled"),
            "TLS is not supported yet: leave it out, and put a proxy or an Ingress in front",
        );
    }
}

/// The sections of the endpoints, whether they are served, and where.
fn endpoints(config: &Config) -> [(&'static str, bool, &str); 12] {
    let is_emulated = config.sse.enabled || config.http_stream.enabled;
    let c = config;
    [
        (
            "websocket",
            !c.websocket.disabled,
            &c.websocket.handler_prefix,
        ),
        ("sse", c.sse.enabled, &c.sse.handler_prefix),
        (
            "http_stream",
            c.http_stream.enabled,
            &c.http_stream.handler_prefix,
        ),
        ("emulation", is_emulated, &c.emulation.handler_prefix),
        (
            "uni_websocket",
            c.uni_websocket.enabled,
            &c.uni_websocket.handler_prefix,
        ),
        ("uni_sse", c.uni_sse.enabled, &c.uni_sse.handler_prefix),
        (
            "uni_http_stream",
            c.uni_http_stream.enabled,
            &c.uni_http_stream.handler_prefix,
        ),
        ("init", c.init.enabled, &c.init.handler_prefix),
        ("http_api", !c.http_api.disabled, &c.http_api.handler_prefix),
        (
            "prometheus",
            c.prometheus.enabled,
            &c.prometheus.handler_prefix,
        ),
        ("health", c.health.enabled, &c.health.handler_prefix),
        ("swagger", c.swagger.enabled, &c.swagger.handler_prefix),
    ]
}

/// The paths below and beside the endpoints that no option names, and what stands there.
fn fixed_paths(config: &Config) -> Vec<(String, String)> {
    let below = |prefix: &str, path: &str| format!("{}{path}", prefix.trim_end_matches('/'));
    let mut fixed = vec![("/node".to_owned(), "the status of the node".to_owned())];
    if config.health.enabled {
        let path = below(&config.health.handler_prefix, "/ready");
        fixed.push((path, "the readiness of the node".to_owned()));
    }
    if config.swagger.enabled {
        let path = below(&config.swagger.handler_prefix, "/swagger.json");
        fixed.push((path, "the OpenAPI document".to_owned()));
    }
    if config.tidewire.demo.enabled {
        for path in ["", "/demo/token"] {
            fixed.push((path.to_owned(), "the demonstration page".to_owned()));
        }
    }
    fixed
}

fn check_paths(config: &Config, found: &mut Violations) {
    let mut owners: HashMap<String, String> = fixed_paths(config).into_iter().collect();
    for (section, _, prefix) in endpoints(config).iter().filter(|(_, served, _)| *served) {
        let path = format!("{section}.handler_prefix");
        if !is_url_path(prefix) {
            found.add(
                path,
                format!(
                    "{prefix:?} is not a path: begin it with / and use only letters, digits \
                     and . _ ~ - /"
                ),
            );
        } else {
            let trimmed = prefix.trim_end_matches('/').to_owned();
            if let Some(other) = owners.insert(trimmed, path.clone()) {
                let message = format!("{prefix:?} is also {other}: choose another path");
                found.add(path, message);
            }
        }
    }
}

fn is_url_path(path: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-' | '/');
    path.starts_with('/') && path.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::check::tests::{refused, violations};

    #[test]
    fn every_endpoint_that_is_served_keeps_its_path_for_itself() {
        type Switch = fn(&mut Config) -> (&mut bool, &mut String);
        let on: [(&str, Switch); 7] = [
            ("sse", |c| (&mut c.sse.enabled, &mut c.sse.handler_prefix)),
            ("http_stream", |c| {
                let section = &mut c.http_stream;
                (&mut section.enabled, &mut section.handler_prefix)
            }),
            ("uni_websocket", |c| {
                let section = &mut c.uni_websocket;
                (&mut section.enabled, &mut section.handler_prefix)
            }),
            ("uni_sse", |c| {
                let section = &mut c.uni_sse;
                (&mut section.enabled, &mut section.handler_prefix)
            }),
            ("uni_http_stream", |c| {
                let section = &mut c.uni_http_stream;
                (&mut section.enabled, &mut section.handler_prefix)
            }),
            ("init", |c| {
                (&mut c.init.enabled, &mut c.init.handler_prefix)
            }),
            ("swagger", |c| {
                let section = &mut c.swagger;
                (&mut section.enabled, &mut section.handler_prefix)
            }),
        ];
        for (section, of) in on {
            let taken = |config: &mut Config| {
                *of(config).1 = "/connection/websocket".to_owned();
            };
            assert_eq!(violations(taken), [], "{section} is not served");
            let found = violations(|config| {
                taken(config);
                *of(config).0 = true;
            });
            assert_eq!(found.len(), 1, "{section}: {found:?}");
            assert_eq!(found[0].0, format!("{section}.handler_prefix"));
        }
    }

    #[test]
    fn emulation_is_served_with_either_of_its_transports() {
        let taken = |config: &mut Config| {
            config.emulation.handler_prefix = "/api".to_owned();
        };
        assert_eq!(violations(taken), []);
        for enable in [(|c| c.sse.enabled = true) as fn(&mut Config), |c| {
            c.http_stream.enabled = true
        }] {
            refused("http_api.handler_prefix", "emulation", |config| {
                taken(config);
                enable(config);
            });
        }
    }

    #[test]
    fn a_path_that_no_option_names_is_taken_too() {
        let taken = |path: &'static str| {
            move |config: &mut Config| {
                config.health.enabled = true;
                config.swagger.enabled = true;
                config.tidewire.demo.enabled = true;
                config.websocket.handler_prefix = path.to_owned();
            }
        };
        for path in [
            "/",
            "/node",
            "/node/",
            "/health/ready",
            "/swagger/swagger.json",
            "/demo/token",
        ] {
            refused("websocket.handler_prefix", "another path", taken(path));
        }
        assert_eq!(violations(taken("/ready")), []);
    }

    #[test]
    fn tls_is_refused_as_long_as_nobody_serves_it() {
        refused("http_server.tls.enabled", "proxy", |config| {
            config.http_server.tls.enabled = true;
        });
        refused("http_server.internal_tls.enabled", "proxy", |config| {
            config.http_server.internal_tls.enabled = true;
        });
    }
}
