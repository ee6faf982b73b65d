//! Every option that users may set goes through a `RealtimeCluster` unchanged, in its own type.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use serde_json::Value;
use tidewire_config::ValueType;
use tidewire_e2e::namespace::{READY_TIME, TestNamespace, in_namespace};
use tidewire_operator::api::config_schema::is_operator_owned;

use super::in_memory;

/// Configurations in which every option stands with another value than its default. There are several because some
/// options exclude each other.
fn configurations() -> Result<BTreeMap<String, Value>> {
    Ok(serde_json::from_str(include_str!(
        "data/every_option.json"
    ))?)
}

/// The options that are the users' own, with their types.
fn user_options() -> BTreeMap<String, ValueType> {
    let options = tidewire_config::options().into_iter();
    options
        .filter(|option| !option.secret && !is_operator_owned(&option.path))
        .map(|option| (option.path, option.r#type))
        .collect()
}

/// The paths of all values, with `[]` for an item of a list of objects.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let at = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                paths(field, &at, found);
            }
        }
        Value::Array(items) => {
            found.insert(path.to_owned());
            for item in items.iter().filter(|item| item.is_object()) {
                paths(item, &format!("{path}[]"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_configurations_hold_every_option_with_another_value_than_its_default() -> Result<()> {
    let mut set = BTreeSet::new();
    for config in configurations()?.values() {
        paths(config, "", &mut set);
    }
    let wanted: BTreeSet<String> = user_options().into_keys().collect();
    let missing: Vec<_> = wanted.difference(&set).collect();
    let unknown: Vec<_> = set.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
    let defaults = serde_json::to_value(tidewire_config::Config::default())?;
    for config in configurations()?.values() {
        differs(config, &defaults, "");
    }
    Ok(())
}

/// No value is that of the defaults.
fn differs(value: &Value, default: &Value, path: &str) {
    match (value, default) {
        (Value::Object(fields), Value::Object(defaults)) => {
            for (name, field) in fields {
                let default = defaults.get(name).unwrap_or(&Value::Null);
                differs(field, default, &format!("{path}.{name}"));
            }
        }
        (value, default) => assert_ne!(value, default, "{path}"),
    }
}

#[tokio::test]
async fn every_option_goes_through_unchanged() -> Result<()> {
    in_namespace("options", async |namespace| {
        for (name, config) in configurations()? {
            namespace.create_cluster(&name, in_memory(&config)).await?;
            let stored = namespace.realtime_clusters().get(&name).await?;
            let stored = stored.data.pointer("/spec/config").context("a config")?;
            assert_eq!(stored, &config, "{name} as the API server keeps it");
        }
        for (name, config) in configurations()? {
            namespace.wait_ready(&name).await?;
            // The nodes show the hashes of what they have read.
            namespace
                .wait_condition(&name, "ConfigApplied", "True", READY_TIME)
                .await?;
            let mounted = mounted(namespace, &name).await?;
            let unlike = unlike(&config, &mounted, "");
            ensure!(
                unlike.is_empty(),
                "{name}: others in the ConfigMaps: {unlike:?}"
            );
        }
        Ok(())
    })
    .await
}

/// The configuration of a cluster's ConfigMaps.
async fn mounted(namespace: &TestNamespace, name: &str) -> Result<Value> {
    let label = format!("realtime.tidewire.dev/cluster={name}");
    let maps = namespace.api::<ConfigMap>();
    let maps = maps
        .list(&ListParams::default().labels(&label))
        .await?
        .items;
    let mut merged = serde_json::json!({});
    for (file, text) in maps.into_iter().filter_map(|map| map.data).flatten() {
        if file.ends_with(".json") {
            tidewire_config::merge(&mut merged, serde_json::from_str(&text)?);
        }
    }
    ensure!(merged.get("client").is_some(), "no configuration: {merged}");
    Ok(merged)
}

/// The paths of values that the other document does not have, or has otherwise.
fn unlike(wanted: &Value, found: &Value, path: &str) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(fields), Value::Object(others)) => fields
            .iter()
            .flat_map(|(name, field)| {
                let other = others.get(name).unwrap_or(&Value::Null);
                unlike(field, other, &format!("{path}.{name}"))
            })
            .collect(),
        _ if wanted == found => Vec::new(),
        _ => vec![format!("{path}: {found}")],
    }
}

#[tokio::test]
async fn kubectl_explains_every_option_with_its_type() -> Result<()> {
    in_namespace("explain", async |namespace| {
        let text = namespace
            .kubectl(&["explain", "rtc.spec.config", "--recursive"])
            .await?;
        let shown = shown(&text);
        for (path, r#type) in user_options() {
            let expected = match r#type {
                ValueType::Bool => "boolean",
                ValueType::Int | ValueType::Uint32 | ValueType::Int64 => "integer",
                ValueType::String | ValueType::Pem | ValueType::Duration => "string",
                ValueType::Strings => "[]string",
                ValueType::Map => "map[string]string",
                ValueType::Objects => "[]Object",
            };
            let shown = shown.get(&path).map(String::as_str);
            ensure!(
                shown == Some(expected),
                "{path}: {shown:?}, not {expected}\n{text}"
            );
        }
        let one = namespace
            .kubectl(&["explain", "rtc.spec.config.client.ping_interval"])
            .await?;
        ensure!(one.contains("Time between two pings to a client"), "{one}");
        Ok(())
    })
    .await
}

/// The fields that `kubectl explain --recursive` prints, by path, with their types.
fn shown(text: &str) -> BTreeMap<String, String> {
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut shown = BTreeMap::new();
    let fields = text.lines().skip_while(|line| !line.starts_with("FIELDS:"));
    for line in fields.skip(1) {
        let indent = line.len() - line.trim_start().len();
        let mut words = line.split_whitespace();
        let (Some(name), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        let Some(kind) = kind
            .strip_prefix('<')
            .and_then(|kind| kind.strip_suffix('>'))
        else {
            continue;
        };
        path.retain(|(above, _)| *above < indent);
        let parents: String = path
            .iter()
            .map(|(_, parent)| format!("{parent}."))
            .collect();
        shown.insert(format!("{parents}{name}"), kind.to_owned());
        let list = if kind == "[]Object" { "[]" } else { "" };
        path.push((indent, format!("{name}{list}")));
    }
    shown
}
