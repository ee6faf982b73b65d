//! Every accepted option has a test that fails without it, or is warned about at start because it has no effect yet.
//!
//! `data/option_tests.tsv` is the table of those tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use serde_json::{Value, json};
use tidewire_config::{OptionInfo, ValueType, options, without_effect};

#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "it/process.rs"]
mod process;
#[path = "support/mod.rs"]
mod support;

/// An option, the file of its test from the root of the repository, and the test, under a line of titles.
const TABLE: &str = include_str!("data/option_tests.tsv");

fn rows() -> impl Iterator<Item = [&'static str; 3]> {
    TABLE.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        columns.try_into().expect("three columns")
    })
}

fn paths(effect: bool) -> Vec<String> {
    let wanted = options().into_iter().filter(|it| it.effect == effect);
    wanted.map(|option| option.path).collect()
}

#[test]
fn every_option_with_an_effect_stands_in_the_table_once_and_nothing_else_does() {
    let mut missing: BTreeSet<String> = paths(true).into_iter().collect();
    assert!(missing.len() > 190, "{}", missing.len());
    let surplus: Vec<&str> = rows()
        .map(|[option, ..]| option)
        .filter(|option| !missing.remove(*option))
        .collect();
    assert!(missing.is_empty(), "no test: {missing:?}");
    assert!(
        surplus.is_empty(),
        "twice, unknown or without effect: {surplus:?}"
    );
}

/// A function or constant of a file.
struct Item {
    /// Its lines, without comments.
    text: String,
    is_test: bool,
}

/// The functions and constants of a file by name, in the layout of rustfmt.
fn items(file: &str) -> BTreeMap<String, Vec<Item>> {
    let head =
        Regex::new(r"^( *)(?:pub(?:\([a-z]+\))? )?(?:const |async )*(fn|const|static) (\w+)\b");
    let head = head.unwrap();
    let lines: Vec<&str> = file.lines().collect();
    let mut found: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(captures) = head.captures(line) else {
            continue;
        };
        let end = format!("{}}}", &captures[1]);
        let ends = |line: &&str| match &captures[2] {
            "fn" => **line == *end || line.ends_with("{}"),
            _ => line.ends_with(';'),
        };
        let length = lines[at..].iter().position(ends);
        let body = &lines[at..=at + length.expect("an item ends")];
        let code = body.iter().filter(|it| !it.trim_start().starts_with("//"));
        let above = lines[..at].iter().rev().map(|line| line.trim_start());
        let mut above = above.take_while(|it| it.starts_with("#[") || it.starts_with("//"));
        let item = Item {
            text: code.copied().collect::<Vec<_>>().join("\n"),
            is_test: above.any(|it| it.starts_with("#[test]") || it.starts_with("#[tokio::test")),
        };
        found.entry(captures[3].to_owned()).or_default().push(item);
    }
    found
}

/// Whether an item, or another of its file that it names, or one that that one names, says this word.
fn says(item: &Item, items: &BTreeMap<String, Vec<Item>>, wanted: &str) -> bool {
    let words = Regex::new(r"\w+").unwrap();
    let mut seen = BTreeSet::new();
    let mut next = vec![item];
    while let Some(item) = next.pop() {
        for word in words.find_iter(&item.text).map(|it| it.as_str()) {
            if word == wanted {
                return true;
            }
            if let Some(named) = items.get(word)
                && seen.insert(word)
            {
                next.extend(named);
            }
        }
    }
    false
}

/// The words that a test of an option must say: its name within its section, and the section's where several have an
/// option of that name.
fn words(option: &str) -> Vec<&str> {
    let (section, key) = option.rsplit_once('.').unwrap_or(("", option));
    let is_shared = rows()
        .filter(|[other, ..]| other.rsplit('.').next() == Some(key))
        .count()
        > 1;
    let section = section.rsplit('.').next().unwrap_or_default();
    let section = section.trim_end_matches("[]");
    let mut words = vec![key.trim_end_matches("[]")];
    if is_shared && !section.is_empty() {
        words.push(section);
    }
    words
}

#[test]
fn the_tests_of_the_table_exist_and_name_their_options() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files: BTreeMap<&str, BTreeMap<String, Vec<Item>>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for [option, file, test] in rows() {
        let items = files.entry(file).or_insert_with(|| {
            let path = root.join(file);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut items = items(&text);
            // What it takes from its neighbours belongs to it.
            for module in text
                .lines()
                .filter_map(|line| line.strip_prefix("use crate::"))
            {
                let module = module.split(':').next().unwrap_or_default();
                let neighbour = path.with_file_name(format!("{module}.rs"));
                let text = std::fs::read_to_string(neighbour).unwrap_or_default();
                for (name, more) in self::items(&text) {
                    items.entry(name).or_default().extend(more);
                }
            }
            items
        });
        let named = items.get(test).into_iter().flatten();
        let mut tests = named.filter(|item| item.is_test);
        let says_all = |item: &Item| words(option).iter().all(|word| says(item, items, word));
        if !tests.any(says_all) {
            wrong.push(format!("{option}: {file} {test}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn items_are_found_with_their_bodies_and_what_they_name() {
    let file = "const LIMITS: &[u32] = &[\n    1,\n    max,\n];\n\
        fn helper() {\n    // unsaid\n    LIMITS.len();\n}\n\
        #[tokio::test(flavor = \"x\")]\nasync fn first() {\n    if true {\n        helper();\n    }\n}\n\
        fn empty() {}\n\
        proptest! {\n    #[test]\n    fn second(x in 0..1) {\n        \"with a key\";\n    }\n}\n";
    let items = items(file);
    let names: Vec<&str> = items.keys().map(String::as_str).collect();
    assert_eq!(names, ["LIMITS", "empty", "first", "helper", "second"]);
    let (first, second) = (&items["first"][0], &items["second"][0]);
    assert!(first.is_test && second.is_test && !items["helper"][0].is_test);
    for (item, word, expected) in [
        (first, "true", true),
        (first, "len", true),
        (first, "max", true),
        (first, "ma", false),
        (first, "unsaid", false),
        (first, "key", false),
        (second, "key", true),
    ] {
        assert_eq!(says(item, &items, word), expected, "{word}");
    }
}

/// Another value than the option's default.
fn other(option: &OptionInfo) -> Value {
    let default = &option.default;
    let allowed = option.values.iter().map(|it| json!(it.value));
    match option.r#type {
        ValueType::Bool => json!(default != true),
        ValueType::Int | ValueType::Uint32 | ValueType::Int64 => {
            json!(default.as_i64().unwrap() + 1)
        }
        ValueType::String | ValueType::Pem => {
            let text = || format!("{}x", default.as_str().unwrap()).into();
            allowed
                .into_iter()
                .find(|it| it != default)
                .unwrap_or_else(text)
        }
        ValueType::Duration => json!("77s"),
        ValueType::Strings => json!(["x"]),
        ValueType::Map => json!({"x": "x"}),
        ValueType::Objects => json!([{"name": "ns"}]),
    }
}

/// Sets the option of a path, in the first item of each list on the way.
fn set(layer: &mut Value, path: &str, value: Value) {
    let mut place = layer;
    for key in path.split('.') {
        place = match key.strip_suffix("[]") {
            None => &mut place[key],
            Some(list) => {
                if !place[list].is_array() {
                    place[list] = json!([{"name": "ns"}]);
                }
                &mut place[list][0]
            }
        };
    }
    if !place.is_array() {
        *place = value;
    }
}

/// The paths of the options without effect, in the namespace that [`set`] makes, sorted.
fn without() -> BTreeSet<String> {
    let paths = paths(false).into_iter();
    paths.map(|path| path.replace("[]", "[ns]")).collect()
}

#[test]
fn of_all_options_set_those_without_effect_are_found() {
    let mut layer = json!({});
    for option in options() {
        // Items keep the name that paths call them by.
        if !option.path.ends_with("[].name") {
            set(&mut layer, &option.path, other(&option));
        }
    }
    let found: BTreeSet<String> = without_effect(&layer).into_iter().collect();
    assert_eq!(found, without());
    assert!(found.len() > 20, "{found:?}");
}

#[tokio::test]
async fn a_start_warns_of_each_option_without_effect_and_of_no_other() {
    let folder = process::folder("options_without_effect");
    let mut options = process::config(&["ns"]);
    for option in tidewire_config::options() {
        // With TLS there is no start at all, and without it nobody misses its options.
        if !option.effect && !option.path.ends_with("tls.enabled") {
            set(&mut options, &option.path, other(&option));
        }
    }
    options["uni_websocket"]["enabled"] = true.into();
    process::write(folder.join("config.json"), &options);
    let process = process::Process::start(&folder, &[]).await;
    let warned: BTreeSet<String> = process
        .skipped
        .iter()
        .filter(|line| line["message"] == "this option has no effect yet")
        .map(|line| {
            assert_eq!(line["level"], "WARN", "{line}");
            line["option"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut expected = without();
    expected.retain(|option| !option.contains("tls."));
    assert_eq!(warned, expected);
}
