//! What holds for every configuration, generated from the list of options itself.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tidewire_config::load::{Sources, from_value, load};
use tidewire_config::{
    Config, Duration, OptionInfo, ValueType, boot_hash, live_hash, merge, options, secret_paths,
    split,
};

use crate::directory::Directory;

/// A value that is not the zero of its type.
fn value_of(option: &OptionInfo) -> BoxedStrategy<Value> {
    match option.r#type {
        ValueType::Bool => Just(json!(true)).boxed(),
        // The one number with a lower bound than a port.
        ValueType::Int if option.path.ends_with(".compression_level") => {
            (1_u32..=9).prop_map(Value::from).boxed()
        }
        ValueType::Int | ValueType::Int64 | ValueType::Uint32 => {
            (1_u32..=65_535).prop_map(Value::from).boxed()
        }
        ValueType::Duration => (1_u64..=i64::MAX.unsigned_abs())
            .prop_map(|nanos| json!(Duration::from_nanos(nanos).to_string()))
            .boxed(),
        ValueType::String | ValueType::Pem if option.values.is_empty() => {
            "[a-zA-Z0-9/.:#,é\"'$-]{1,12}".prop_map(Value::from).boxed()
        }
        ValueType::String | ValueType::Pem => {
            // Other kinds of subscriptions are not supported yet, which is a warning.
            let is_kind = option.path.ends_with("subscription_type");
            let values = option.values.iter().map(|allowed| allowed.value.clone());
            let values: Vec<String> = values
                .filter(|value| {
                    if is_kind {
                        value == "stream"
                    } else {
                        !value.is_empty()
                    }
                })
                .collect();
            proptest::sample::select(values)
                .prop_map(Value::from)
                .boxed()
        }
        ValueType::Strings if !option.values.is_empty() => {
            let values = option.values.iter().map(|allowed| allowed.value.clone());
            vec(proptest::sample::select(values.collect::<Vec<_>>()), 1..3)
                .prop_map(Value::from)
                .boxed()
        }
        ValueType::Strings => vec("[a-z*:/.]{1,8}", 1..3).prop_map(Value::from).boxed(),
        ValueType::Map | ValueType::Objects => unreachable!("handled by the caller"),
    }
}

fn set(target: &mut Value, path: &str, value: Value) {
    let mut place = target;
    for key in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[key];
    }
    *place = value;
}

/// Some options with their values.
fn some_of(wanted: impl Fn(&OptionInfo) -> bool) -> impl Strategy<Value = Vec<(String, Value)>> {
    let strategies: Vec<_> = options()
        .iter()
        .filter(|option| wanted(option))
        .map(|option| (Just(option.path.clone()), weighted(0.3, value_of(option))))
        .collect();
    strategies.prop_map(|options| {
        let set = options
            .into_iter()
            .filter_map(|(path, value)| Some((path, value?)));
        set.collect()
    })
}

fn outside_of_lists() -> impl Strategy<Value = Vec<(String, Value)>> {
    some_of(|option| !option.path.contains("[]") && option.r#type != ValueType::Objects)
}

fn namespace() -> impl Strategy<Value = Value> {
    const LIST: &str = "channel.namespaces[].";
    let options = some_of(|option| {
        option.path.starts_with(LIST) && option.path != "channel.namespaces[].name"
    });
    ("[a-z]{2}[a-z.-]{0,4}", options).prop_map(|(name, options)| {
        let mut item = json!({ "name": name });
        for (path, value) in options {
            item[path.trim_start_matches(LIST)] = value;
        }
        item
    })
}

fn layer() -> impl Strategy<Value = Value> {
    (outside_of_lists(), vec(namespace(), 0..3)).prop_map(|(options, namespaces)| {
        let mut layer = json!({});
        for (path, value) in options {
            set(&mut layer, &path, value);
        }
        if !namespaces.is_empty() {
            layer["channel"]["namespaces"] = Value::Array(namespaces);
        }
        layer
    })
}

/// The configuration in a file, with its secrets, which it does not write itself.
fn render(config: &Config, layer: &Value) -> Value {
    let mut rendered = serde_json::to_value(config).expect("JSON");
    for path in secret_paths() {
        if let Some(value) = layer.pointer(&format!("/{}", path.replace('.', "/"))) {
            set(&mut rendered, &path, value.clone());
        }
    }
    rendered
}

fn parsed(layer: &Value) -> Config {
    let loaded = from_value("test", layer).expect("a valid layer");
    assert_eq!(loaded.warnings, []);
    loaded.config
}

fn from_file(name: &str, content: &str) -> Config {
    let directory = Directory::new();
    let sources = Sources {
        config: Some(directory.write(name, content)),
        ..Sources::default()
    };
    load(&sources).expect("a valid file").config
}

fn upper_case_keys(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.to_uppercase(), upper_case_keys(value)))
            .collect(),
        Value::Array(items) => items.iter().map(upper_case_keys).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Any JSON, with keys that often are those of options.
fn any_json() -> impl Strategy<Value = Value> {
    let words: Vec<String> = options()
        .iter()
        .flat_map(|option| {
            option
                .path
                .split('.')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|word| word.replace("[]", ""))
        .collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let key = prop_oneof![
            9 => proptest::sample::select(words.clone()),
            1 => ".{0,6}",
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(key, inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rendering_then_parsing_is_the_identity(layer in layer()) {
        let config = parsed(&layer);
        let rendered = render(&config, &layer);
        prop_assert_eq!(&parsed(&rendered), &config);
        let yaml = serde_saphyr::to_string(&rendered).expect("YAML");
        prop_assert_eq!(&from_file("config.yaml", &yaml), &config);
        let toml = toml::to_string(&rendered).expect("TOML");
        prop_assert_eq!(&from_file("config.toml", &toml), &config);
    }

    #[test]
    fn what_a_file_sets_is_what_the_configuration_holds(layer in layer()) {
        let mut rendered = render(&parsed(&layer), &layer);
        let before = rendered.clone();
        merge(&mut rendered, layer.clone());
        // Items of the list carry their defaults after rendering, so they are compared apart.
        let namespaces = |value: &Value| value["channel"]["namespaces"].clone();
        let (all, set) = (namespaces(&before), namespaces(&layer));
        for (all, set) in all.as_array().into_iter().flatten().zip(set.as_array().into_iter().flatten()) {
            for (key, value) in set.as_object().into_iter().flatten() {
                prop_assert_eq!(&all[key], value);
            }
        }
        rendered["channel"]["namespaces"] = all;
        prop_assert_eq!(rendered, before);
    }

    #[test]
    fn variables_flags_and_secrets_say_the_same_as_a_file(options in outside_of_lists()) {
        let mut layer = json!({});
        let secrets = Directory::new();
        let (mut env, mut flags) = (Vec::new(), Vec::new());
        for (path, value) in options {
            let text = match &value {
                Value::String(text) => text.clone(),
                Value::Array(items) => {
                    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    items.join(" ")
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                    value.to_string()
                }
            };
            let variable = path.to_uppercase().replace('.', "_");
            env.push((format!("CENTRIFUGO_{variable}"), text.clone()));
            secrets.write(&path, &text);
            flags.push((path.clone(), text));
            set(&mut layer, &path, value);
        }
        let config = parsed(&layer);
        for sources in [
            Sources { env, ..Sources::default() },
            Sources { flags, ..Sources::default() },
            Sources { secrets: Some(secrets.path().to_owned()), ..Sources::default() },
        ] {
            let loaded = load(&sources).expect("valid");
            prop_assert_eq!(&loaded.config, &config);
            prop_assert_eq!(loaded.boot_hash, boot_hash(&json!({})));
        }
    }

    #[test]
    fn the_two_parts_are_the_whole_and_carry_its_hashes(layer in layer()) {
        let (boot, live) = split(&layer);
        let mut merged = boot.clone();
        merge(&mut merged, live.clone());
        prop_assert_eq!(&merged, &layer);
        prop_assert_eq!(boot_hash(&boot), boot_hash(&layer));
        prop_assert_eq!(live_hash(&live), live_hash(&layer));
        let shouted = upper_case_keys(&layer);
        prop_assert_eq!(boot_hash(&shouted), boot_hash(&layer));
        prop_assert_eq!(live_hash(&shouted), live_hash(&layer));
        let loaded = from_value("test", &shouted).expect("valid");
        prop_assert_eq!(loaded.boot_hash, boot_hash(&layer));
        prop_assert_eq!(loaded.config, parsed(&layer));
    }

    #[test]
    fn no_content_makes_the_loader_panic(value in any_json()) {
        if let Ok(loaded) = from_value("test", &value) {
            // Both outcomes are fine, and so is each list of warnings.
            let _checked = loaded.config.check();
            prop_assert_eq!(loaded.boot_hash, boot_hash(&value));
        }
        let (boot, live) = split(&value);
        prop_assert_eq!(boot_hash(&boot), boot_hash(&value));
        prop_assert_eq!(live_hash(&live), live_hash(&value));
    }
}
