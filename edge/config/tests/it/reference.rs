//! Names, types and defaults of the reference program, and our own list.

use serde_json::{Value, json};
use tidewire_config::load::{Sources, Warning, from_value, load};
use tidewire_config::{OptionInfo, options};

/// Option, type, default and variable, as the reference program prints them.
const REFERENCE: &str = include_str!("../data/options.tsv");

/// The lines of the reference in their columns.
fn reference() -> impl Iterator<Item = [&'static str; 4]> {
    REFERENCE.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        columns.try_into().expect("four columns")
    })
}

#[test]
fn options_agree_with_the_reference_in_type_default_and_variable() {
    let ours = options();
    let mut compared = 0;
    for [path, type_name, default, env] in reference() {
        let Some(option) = ours.iter().find(|option| option.path == path) else {
            continue;
        };
        let default: Value = serde_json::from_str(default).expect("JSON");
        assert_eq!(option.default, default, "{path}");
        assert_eq!(
            serde_json::to_value(option.r#type).expect("a name"),
            type_name,
            "{path}"
        );
        assert_eq!(
            option.env.replace("TIDEWIRE_", "CENTRIFUGO_"),
            env,
            "{path}"
        );
        compared += 1;
    }
    assert!(compared > 220, "{compared}");
}

/// A file that sets nothing but one option.
fn file_with(path: &str) -> Value {
    let mut value = json!("x");
    for key in path.rsplit('.') {
        value = match key.strip_suffix("[]") {
            Some(list) => {
                value["name"] = json!("ns");
                json!({ list: [value] })
            }
            None => json!({ key: value }),
        };
    }
    value
}

#[test]
fn every_other_option_of_the_reference_is_answered_with_not_yet() {
    let ours = options();
    let is_ours = |path: &str| ours.iter().any(|option| option.path == path);
    let mut asked = 0;
    for [path, _, _, env] in reference().filter(|[path, ..]| !is_ours(path)) {
        // Some parent may be ours and refuse the value; the key is known all the same.
        if let Ok(loaded) = from_value("file", &file_with(path)) {
            let [Warning::UnsupportedKey { path: found, .. }] = loaded.warnings.as_slice() else {
                panic!("{path}: {:?}", loaded.warnings);
            };
            let found = found.replace(".[0]", "[]");
            assert!(path.starts_with(&found), "{path}: {found}");
            asked += 1;
        }
        // What ends like this may also be the variable of a Kubernetes Service.
        if env.is_empty() || env.contains("_PORT") || env.contains("_SERVICE_") {
            continue;
        }
        let name = env.replace("<NAME>", "NS");
        let loaded = load(&Sources {
            env: vec![(name.clone(), "x".to_owned())],
            ..Sources::default()
        });
        assert_eq!(
            loaded.expect("nothing set").warnings,
            [Warning::UnsupportedVariable { name }]
        );
    }
    assert!(asked > 800, "{asked}");
}

#[test]
fn only_our_own_section_is_unknown_to_the_reference() {
    for option in options() {
        let is_known = reference().any(|[path, ..]| path == option.path);
        assert_eq!(
            !is_known,
            option.path.starts_with("tidewire."),
            "{}",
            option.path
        );
    }
}

#[test]
fn the_list_of_options_is_reviewed() {
    let line = |option: &OptionInfo| {
        let flags = [
            (option.secret, " secret"),
            (!option.effect, " without-effect"),
        ];
        let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
        format!(
            "{} {} {} {}{flags}\n",
            option.path,
            serde_json::to_value(option.r#type)
                .expect("a name")
                .as_str()
                .expect("a text"),
            option.default,
            serde_json::to_value(option.change)
                .expect("a name")
                .as_str()
                .expect("a text"),
        )
    };
    let list: String = options().iter().map(line).collect();
    insta::assert_snapshot!("options", list);
}
