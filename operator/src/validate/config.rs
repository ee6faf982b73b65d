//! The configuration file of the nodes: what the user wrote, what the operator adds, and the edge's verdict on both.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tidewire_config::load::{self, LoadError, Loaded};

use super::{Broker, Invalid, Problem};
use crate::{
    api::{AuthSpec, config_schema::is_operator_owned},
    resources::names::{CLIENT_PORT, INTERNAL_PORT, Identity, NATS_CLIENT_PORT},
};

/// The user's options as the edge reads them: keys in lower case, nothing that is null.
pub(super) fn own_options(config: Option<&Value>, problems: &mut Vec<Problem>) -> Option<Value> {
    let empty = json!({});
    match load::from_value("spec.config", config.unwrap_or(&empty)) {
        Ok(loaded) => Some(loaded.file_layer),
        Err(error) => {
            problems.extend(load_problems(error));
            None
        }
    }
}

/// The configuration file of the nodes: the user's options and the operator's own.
pub(super) fn render(
    own: Value,
    auth: &AuthSpec,
    broker: &Broker,
    identity: &Identity,
    problems: &mut Vec<Problem>,
) -> Value {
    let mut rendered = own;
    let mut taken = BTreeSet::new();
    collect_owned(&rendered, "", &mut taken);
    problems.extend(taken.into_iter().map(|path| Problem {
        message: objection(&path).map_or_else(
            || format!("is set by the operator: remove it{}", way_out(&path)),
            |why| format!("{why}: remove it"),
        ),
        path: format!("spec.config.{path}"),
    }));
    let claims = [
        ("audience", auth.token.audience.as_ref()),
        ("issuer", auth.token.issuer.as_ref()),
    ];
    for (claim, value) in claims
        .into_iter()
        .filter_map(|(claim, value)| Some((claim, value?)))
    {
        let pointer = format!("/client/token/{claim}");
        if rendered
            .pointer(&pointer)
            .is_some_and(|other| other != value.as_str())
        {
            problems.push(Problem {
                path: format!("spec.config.client.token.{claim}"),
                message: format!("differs from spec.auth.token.{claim}: set one of them"),
            });
        }
        overlay(&mut rendered, json!({"client": {"token": {claim: value}}}));
    }
    overlay(
        &mut rendered,
        json!({
            "http_server": {"port": CLIENT_PORT, "internal_port": INTERNAL_PORT.to_string()},
            "health": {"enabled": true},
            "prometheus": {"enabled": true},
        }),
    );
    if let Broker::Nats(_) = broker {
        let url = format!(
            "nats://{}.{}.svc:{NATS_CLIENT_PORT}",
            identity.nats(),
            identity.namespace
        );
        let nats = json!({"url": url, "prefix": identity.subject_prefix()});
        overlay(
            &mut rendered,
            json!({"broker": {"enabled": true, "type": "nats", "nats": nats}}),
        );
    }
    rendered
}

/// Paths of the user's options that are not the user's, the shortest of each.
fn collect_owned(value: &Value, path: &str, taken: &mut BTreeSet<String>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        if is_operator_owned(&path) {
            taken.insert(path);
        } else {
            collect_owned(inner, &path, taken);
        }
    }
}

/// Why an option that the operator does not set itself cannot be the user's either.
fn objection(path: &str) -> Option<&'static str> {
    match path {
        "http_api.disabled" | "websocket.disabled" => {
            Some("would close an address that the operator publishes in status.endpoints")
        }
        "http_api.handler_prefix" | "websocket.handler_prefix" => {
            Some("would move an address that the operator publishes in status.endpoints")
        }
        "http_api.external" => Some(
            "would open the service API to clients; it has a Service of its own, named in status.endpoints.api",
        ),
        "log.file" => {
            Some("cannot be written, the root of a node is read-only; nodes log to standard output")
        }
        "pid_file" => Some("cannot be written, the root of a node is read-only"),
        "tidewire.demo" => Some("would give a token to anybody who asks"),
        _ => None,
    }
}

fn way_out(path: &str) -> &'static str {
    match path.split('.').next() {
        Some("client") => " and use spec.auth.token.hmac",
        Some("http_api") => " and use spec.auth.apiKey",
        Some("admin") => " and use spec.auth.admin",
        Some("broker" | "engine") => " and use spec.broker",
        _ => "",
    }
}

/// Lays `above` over `below`: objects are merged, everything else is replaced.
pub(crate) fn overlay(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                overlay(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}

/// Parses a whole configuration and checks it with the edge's own code.
///
/// # Errors
/// Everything that the edge would refuse, with `spec.config` before each path.
pub(super) fn parse(rendered: &Value) -> Result<Loaded, Invalid> {
    let loaded =
        load::from_value("spec.config", rendered).map_err(|error| Invalid(load_problems(error)))?;
    let checked = loaded.config.check().map_err(|violations| {
        let found = violations
            .into_iter()
            .map(|violation| problem(&violation.path, violation.message));
        Invalid(found.collect())
    });
    checked.map(|()| loaded)
}

fn load_problems(error: LoadError) -> Vec<Problem> {
    match error {
        LoadError::Values(problems) => problems
            .into_iter()
            .map(|found| problem(&found.path, found.message))
            .collect(),
        // Of files only; there are none here.
        other @ (LoadError::Read { .. } | LoadError::Format { .. } | LoadError::Syntax { .. }) => {
            vec![problem("", other.to_string())]
        }
    }
}

fn problem(path: &str, message: String) -> Problem {
    let path = if path.is_empty() {
        "spec.config".to_owned()
    } else {
        format!("spec.config.{path}")
    };
    Problem { path, message }
}

/// Checks boot options of one generation with live options of another: nodes run both during a roll.
///
/// # Errors
/// Everything that the edge would refuse.
pub fn check_mixed(boot: &Value, live: &Value) -> Result<(), Invalid> {
    let mut mixed = boot.clone();
    overlay(&mut mixed, live.clone());
    parse(&mixed).map(drop)
}
