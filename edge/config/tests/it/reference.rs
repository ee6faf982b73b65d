//! Names, types and defaults of the reference program, and our own list.

use serde_json::Value;
use tidewire_config::{OptionInfo, options};

/// Option, type, default and variable, as the reference program prints them.
const REFERENCE: &str = include_str!("../data/options.tsv");

#[test]
fn options_agree_with_the_reference_in_type_default_and_variable() {
    let ours = options();
    let mut compared = 0;
    for line in REFERENCE.lines().skip(1) {
        let [path, type_name, default, env] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("four columns: {line}");
        };
        let option = ours
            .iter()
            .find(|option| option.path == path)
            .unwrap_or_else(|| panic!("{path} is missing"));
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
    assert!(compared > 90, "{compared}");
}

#[test]
fn only_our_own_section_is_unknown_to_the_reference() {
    for option in options() {
        let is_known = REFERENCE
            .lines()
            .any(|line| line.split('\t').next() == Some(&option.path));
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
