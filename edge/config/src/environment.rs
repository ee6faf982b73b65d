//! Options in environment variables.
//!
//! The name is `TIDEWIRE_` and the option's path in upper case with `_` for `.`; `CENTRIFUGO_`
//! is read as an alias. The process environment is read here and nowhere else.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::coerce::{Report, Zero};
use crate::file::unreadable;
use crate::keys::nearest;
use crate::known::{self, Meaning};
use crate::layer::{Text, leaves, set, set_items};
use crate::load::{LoadError, Warning};
use crate::schema::variable;

/// The prefixes of variables, ours first.
const PREFIXES: [&str; 2] = ["TIDEWIRE_", "CENTRIFUGO_"];

/// The variables of this process that can concern the configuration, sorted by name.
///
/// With a path, a file of `NAME=value` lines adds what the process does not have; a missing file
/// is no error. Empty lines, lines that begin with `#`, a leading `export` and quotes around a
/// value are understood, and between double quotes the escapes of JSON.
///
/// # Errors
/// The file cannot be read, or a line of it is not understood.
pub fn read(dotenv: Option<&Path>) -> Result<Vec<(String, String)>, LoadError> {
    let is_ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    if let Some(path) = dotenv {
        match fs::read_to_string(path) {
            Ok(text) => found.extend(parse_dotenv(&text).map_err(|line| LoadError::Syntax {
                path: path.to_owned(),
                message: format!("line {line} is not NAME=value"),
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(unreadable(path, source)),
        }
    }
    for (name, value) in std::env::vars_os() {
        // A value that is not text cannot be an option's.
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            found.insert(name, value);
        }
    }
    found.retain(|name, _| is_ours(name));
    Ok(found.into_iter().collect())
}

/// Parses `NAME=value` lines.
///
/// # Errors
/// The number of the first line that is not understood.
fn parse_dotenv(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(index + 1)?;
        let name = name.trim();
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_letter) {
            return Err(index + 1);
        }
        let value = unquote(value.trim()).ok_or(index + 1)?;
        found.push((name.to_owned(), value));
    }
    Ok(found)
}

fn unquote(value: &str) -> Option<String> {
    if value.starts_with('"')
        && let Ok(text) = serde_json::from_str::<String>(value)
    {
        return Some(text);
    }
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return rest.strip_suffix(quote).map(str::to_owned);
        }
    }
    // A comment behind a bare value.
    let bare = value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end());
    Some(bare.to_owned())
}

/// The variables by their name without prefix.
struct Variables<'a> {
    by_suffix: BTreeMap<&'a str, Vec<(&'a str, &'a str)>>,
    used: HashSet<String>,
}

impl<'a> Variables<'a> {
    fn new(environment: &'a [(String, String)]) -> Self {
        let mut by_suffix: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
        for prefix in PREFIXES {
            for (name, text) in environment {
                if let Some(suffix) = name.strip_prefix(prefix)
                    && !text.is_empty()
                {
                    by_suffix.entry(suffix).or_default().push((name, text));
                }
            }
        }
        Self {
            by_suffix,
            used: HashSet::new(),
        }
    }

    /// The value of a variable. Two names with different values are a problem.
    fn take(&mut self, suffix: &str, path: &str, report: &mut Report) -> Option<Text<'a>> {
        self.used.insert(suffix.to_owned());
        let given = self.by_suffix.get(suffix)?;
        let (name, text) = *given.first()?;
        if let Some((other, _)) = given.iter().find(|(_, other)| *other != text) {
            let message = format!("{name} and {other} differ: set only one of them");
            report.problem("environment", path, message);
            return None;
        }
        Some(Text {
            origin: name,
            text,
            zero: Zero::IsValue,
        })
    }
}

/// Lays the variables over what files and secrets gave. The variable of an option that a flag
/// sets is not consulted.
pub(crate) fn apply(
    environment: &[(String, String)],
    flags: &[(String, String)],
    target: &mut Value,
    report: &mut Report,
) {
    let mut variables = Variables::new(environment);
    for (path, node) in leaves() {
        let suffix = variable(&path);
        if flags.iter().any(|(flag, _)| *flag == path) {
            variables.used.insert(suffix);
            continue;
        }
        let text = variables.take(&suffix, &path, report);
        if let Some(value) = text.and_then(|text| text.typed(node, &path, report)) {
            set(target, &path, value);
        }
    }
    let mut conflicts = Report::default();
    set_items(target, report, |list, name, option| {
        let path = format!("{list}[{name}].{option}");
        let suffix = format!("{}_{}_{}", variable(list), variable(name), variable(option));
        variables.take(&suffix, &path, &mut conflicts)
    });
    report.problems.append(&mut conflicts.problems);
    warn_of_unknown(&variables, report);
}

fn warn_of_unknown(variables: &Variables<'_>, report: &mut Report) {
    let options: Vec<String> = leaves().iter().map(|(path, _)| variable(path)).collect();
    for (suffix, given) in &variables.by_suffix {
        if variables.used.contains(*suffix) {
            continue;
        }
        for (name, value) in given {
            if is_foreign(suffix, value) {
                continue;
            }
            let name = (*name).to_owned();
            report.warnings.push(match known::of_variable(suffix) {
                Some(Meaning::Later) => Warning::UnsupportedVariable { name },
                Some(Meaning::Old(advice)) => Warning::OldVariable { name, advice },
                None => Warning::UnknownVariable {
                    name,
                    nearest: nearest(suffix, options.iter().map(String::as_str))
                        .map(|near| format!("TIDEWIRE_{near}")),
                },
            });
        }
    }
}

/// Variables with our prefix that are no options: those of users, and those that Kubernetes sets
/// for a Service whose name begins like ours.
fn is_foreign(suffix: &str, value: &str) -> bool {
    if suffix.starts_with("VAR_") {
        return true;
    }
    // The link itself is an address; a bare number is a misspelt option.
    let is_link_itself = suffix == "PORT"
        || suffix.ends_with("_PORT")
            && !suffix.contains("SERVICE_")
            && !suffix.contains("_PORT_")
            && !suffix.starts_with("PORT_");
    if is_link_itself && !value.contains("://") {
        return false;
    }
    let is_link = |at: usize| {
        let before = suffix.get(..at).unwrap_or_default();
        let is_upper = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        before.chars().all(is_upper)
    };
    suffix.starts_with("PORT")
        || suffix.starts_with("SERVICE_")
        || ["_PORT", "_SERVICE_"]
            .iter()
            .any(|link| suffix.find(link).is_some_and(|at| at > 0 && is_link(at)))
}

#[cfg(test)]
mod tests {
    use super::{is_foreign, parse_dotenv};

    #[test]
    fn service_links_and_user_variables_are_foreign() {
        for (name, value) in [
            ("VAR_X", "1"),
            ("PORT", "tcp://10.0.0.1:8000"),
            ("PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("PORT_8000_TCP_PORT", "8000"),
            ("SERVICE_HOST", "10.0.0.1"),
            ("API_PORT", "udp://10.0.0.1:8000"),
            ("API_PORT_9000_TCP_ADDR", "10.0.0.1"),
            ("API_PORT_9000_TCP_PORT", "9000"),
            ("MY_2_SERVICE_PORT", "9000"),
        ] {
            assert!(is_foreign(name, value), "{name}");
        }
        for name in [
            "VAR",
            "SUPPORT",
            "SERVICE",
            "api_PORT",
            "CLIENT_INSECUR",
            "PORT",
            "HTTP_SEVER_PORT",
        ] {
            assert!(!is_foreign(name, "9000"), "{name}");
        }
    }

    #[test]
    fn dotenv_lines_are_read_and_malformed_ones_named() {
        let text = "# note\n\nA=1\nexport B = \"two words\"\nC='#x' \nD=x # note\nE=\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parse_dotenv(text),
            Ok(vec![
                pair("A", "1"),
                pair("B", "two words"),
                pair("C", "#x"),
                pair("D", "x"),
                pair("E", ""),
            ])
        );
        assert_eq!(
            parse_dotenv(r#"A="a\nb \"c\" $""#),
            Ok(vec![pair("A", "a\nb \"c\" $")])
        );
        // What is no escape of JSON stays as it is.
        assert_eq!(
            parse_dotenv(r#"A="C:\dir""#),
            Ok(vec![pair("A", r"C:\dir")])
        );
        assert_eq!(parse_dotenv("A=1\nnonsense\n"), Err(2));
        assert_eq!(parse_dotenv("A-B=1"), Err(1));
        assert_eq!(parse_dotenv("A=\"x"), Err(1));
    }
}
