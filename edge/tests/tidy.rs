//! The layout's rules that no compiler checks: who may import whom, files that nobody declares, files that
//! are too long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Which modules of the edge a module may name. Everybody may name `VERSION` and `chain` of the root.
const IMPORTS: &[(&str, &[&str])] = &[
    ("transport", &[]),
    ("auth", &[]),
    ("broker", &[]),
    ("delta", &[]),
    ("demo", &[]),
    ("filter", &[]),
    ("refusals", &[]),
    ("config", &["auth"]),
    ("control", &["broker"]),
    // Of auth and broker only the values in requests and answers.
    ("session", &["auth", "broker", "config", "delta", "filter"]),
    (
        "services",
        &["auth", "broker", "config", "control", "session"],
    ),
    (
        "shard",
        // Of control only the commands.
        &[
            "auth",
            "broker",
            "config",
            "control",
            "services",
            "session",
            "transport",
        ],
    ),
    (
        "api",
        &["broker", "config", "control", "refusals", "services"],
    ),
    // Built for the fuzz targets only; nobody imports it.
    (
        "fuzzing",
        &[
            "api",
            "auth",
            "broker",
            "config",
            "control",
            "delta",
            "filter",
            "services",
            "session",
            "transport",
        ],
    ),
    ("metrics", &["broker", "control", "services", "shard"]),
    (
        "internal",
        &["broker", "config", "metrics", "services", "shard"],
    ),
    (
        "front",
        // Of session only how commands come.
        &[
            "auth",
            "config",
            "control",
            "demo",
            "refusals",
            "services",
            "session",
            "shard",
            "transport",
        ],
    ),
    (
        "node",
        &[
            "api",
            "broker",
            "config",
            "control",
            "front",
            "internal",
            "metrics",
            "services",
            "shard",
            "transport",
        ],
    ),
];

/// Files that name a module against [`IMPORTS`], each with its reason; one that no longer does must go.
const IMPORT_EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// What only some files may name: a pattern, and the beginnings of their paths.
const RESERVED: &[(&str, &[&str])] = &[
    (
        r"\baxum\b",
        &["api/", "front/", "fuzzing/api.rs", "internal.rs", "node.rs"],
    ),
    (r"\basync_nats\b", &["broker/nats/", "control/nats.rs"]),
    (r"\bkube\b::|\bk8s_openapi\b", &[]),
    (r"\btokio::(net|io)\b", &["front/", "shard/"]),
    (r"\bstd::env::var", &[]),
];

/// Lines of a file before its tests.
const LINES_MAX: usize = 500;

/// The sources that this test looks after, below the crate's folder.
const SOURCES: &[&str] = &["src", "config/src", "protocol/src"];

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).expect("it is below");
                let text = fs::read_to_string(&path).expect("text");
                found.insert(name.to_str().expect("text").to_owned(), text);
            }
        }
    }
    assert!(!found.is_empty(), "{folder:?}");
    found
}

/// A file without the tests at its foot and without comments; nothing of a file of tests.
fn production<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
    if is_tests(name) {
        return Vec::new();
    }
    before_tests(text)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
}

fn is_tests(name: &str) -> bool {
    name.ends_with("tests.rs") || name.contains("/tests/") || name == "broker/contract.rs"
}

/// The module of the crate's root that a file belongs to.
fn module(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or_default()
}

/// The modules of the crate's root that a text names, in `use` lines and in paths.
fn named(lines: &[&str]) -> BTreeSet<String> {
    let text = lines.join("\n");
    let single = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let grouped = Regex::new(r"(?s)\bcrate::\{(.*?)\};").unwrap();
    let first = Regex::new(r"(?:^|,)\s*([a-z_]+)").unwrap();
    let mut found: BTreeSet<String> = single
        .captures_iter(&text)
        .map(|it| it[1].to_owned())
        .collect();
    let inner = Regex::new(r"\{[^{}]*\}").unwrap();
    for group in grouped.captures_iter(&text) {
        // Inner groups name no modules of the root.
        let outer = inner.replace_all(&group[1], "");
        found.extend(first.captures_iter(&outer).map(|it| it[1].to_owned()));
    }
    found
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let rules: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut exceptions: BTreeSet<(String, String)> = IMPORT_EXCEPTIONS
        .iter()
        .map(|(file, target, _)| ((*file).to_owned(), (*target).to_owned()))
        .collect();
    let mut broken = Vec::new();
    for (name, text) in &files(&crate_folder().join("src")) {
        let module = module(name);
        if matches!(module, "lib" | "main" | "cli") {
            continue;
        }
        let Some(allowed) = rules.get(module) else {
            broken.push(format!(
                "{name}: module {module} stands in no row of the table"
            ));
            continue;
        };
        for target in named(&production(name, text)) {
            let is_root = target == "chain";
            let is_allowed = target == module || is_root || allowed.contains(&target.as_str());
            if !is_allowed && !exceptions.remove(&(name.clone(), target.clone())) {
                broken.push(format!("{name}: {module} must not import {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(exceptions.is_empty(), "no longer needed: {exceptions:?}");
}

#[test]
fn the_table_of_imports_has_no_circle_and_no_module_above_node() {
    let mut rest: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    assert!(rest.values().all(|targets| !targets.contains(&"node")));
    while !rest.is_empty() {
        let free: Vec<&str> = rest
            .iter()
            .filter(|(_, targets)| targets.iter().all(|target| !rest.contains_key(target)))
            .map(|(module, _)| *module)
            .collect();
        assert!(!free.is_empty(), "in a circle: {:?}", rest.keys());
        rest.retain(|module, _| !free.contains(module));
    }
}

#[test]
fn reserved_names_stand_only_where_they_belong() {
    let sources = files(&crate_folder().join("src"));
    let mut broken = Vec::new();
    for (pattern, places) in RESERVED {
        let pattern = Regex::new(pattern).unwrap();
        for (name, text) in &sources {
            let lines = production(name, text);
            let found = lines.iter().find(|line| pattern.is_match(line));
            if let Some(line) = found
                && !places.iter().any(|place| name.starts_with(place))
            {
                broken.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_is_declared_by_some_module() {
    let declaration = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?mod ([a-z0-9_]+);").unwrap();
    let roots = SOURCES.iter().map(|folder| crate_folder().join(folder));
    for folder in roots.chain([crate_folder().join("tests/it")]) {
        let sources = files(&folder);
        let mut reached = BTreeSet::new();
        let mut next: Vec<PathBuf> = vec!["lib.rs".into(), "main.rs".into()];
        while let Some(path) = next.pop() {
            let name = path.to_str().expect("text").to_owned();
            let Some(text) = sources.get(&name) else {
                continue;
            };
            reached.insert(name);
            let parent = path.parent().expect("a file is in a folder");
            let stem = path.file_stem().expect("a file has a name");
            let is_root = ["lib", "main", "mod"].iter().any(|root| stem == *root);
            let children = if is_root {
                parent.to_owned()
            } else {
                parent.join(stem)
            };
            for child in declaration.captures_iter(text) {
                next.push(children.join(format!("{}.rs", &child[1])));
                next.push(children.join(&child[1]).join("mod.rs"));
            }
        }
        let orphans: Vec<_> = sources
            .keys()
            .filter(|name| !reached.contains(*name))
            .collect();
        assert!(orphans.is_empty(), "{folder:?}: {orphans:?}");
    }
}

#[test]
fn no_file_is_longer_than_the_ceiling_before_its_tests() {
    let mut long = Vec::new();
    for folder in SOURCES {
        for (name, text) in &files(&crate_folder().join(folder)) {
            let lines = before_tests(text).lines().count();
            if !is_tests(name) && lines > LINES_MAX {
                long.push(format!("{folder}/{name}: {lines}"));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn imports_are_found_in_all_their_forms() {
    let text = "use crate::VERSION;\nuse crate::auth::{Verifier, claims};\n\
        use crate::{\n    broker::{Broker, node},\n    config,\n};\n\
        pub(crate) use crate::shard::Handle;\nlet x = crate::services::unix_time();";
    let found: Vec<String> = named(&text.lines().collect::<Vec<_>>())
        .into_iter()
        .collect();
    assert_eq!(found, ["auth", "broker", "config", "services", "shard"]);
}
