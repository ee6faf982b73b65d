//! From files, secrets, environment and flags to one [`Config`].
//!
//! Each source lies over the one before: file, secrets directory, environment, flags. Values are
//! turned into the types of the options first, then laid over each other, then read once. The
//! rules between options are another step: call [`Config::check`] with the result.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::coerce::{Coercion, Report, Zero};
use crate::file::Named;
use crate::layer::{Text, leaves, merge, set, strip_nulls};
use crate::schema::{tree, without_effect};
use crate::{Config, boot_hash, environment, file, keys, live_hash, secrets_dir};

/// Where options come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file, or a directory whose files are merged in the order of their names.
    pub config: Option<PathBuf>,
    /// A directory with one file for each secret, named by the option's path.
    pub secrets: Option<PathBuf>,
    /// Environment variables, as [`environment::read`] returns them.
    pub env: Vec<(String, String)>,
    /// Options from the command line: dotted path and text.
    pub flags: Vec<(String, String)>,
}

/// A configuration and what is worth knowing about its origin.
#[derive(Clone)]
pub struct Loaded {
    /// The configuration; not yet checked.
    pub config: Config,
    /// What the files set, merged, with lower-cased keys, unknown ones included. It may hold
    /// secrets.
    pub file_layer: Value,
    /// What to tell the user; nothing of it prevents a start.
    pub warnings: Vec<Warning>,
    /// Paths of options that some source sets but that have no effect yet.
    pub without_effect: Vec<String>,
    /// [`boot_hash`] of the file layer.
    pub boot_hash: String,
    /// [`live_hash`] of the file layer.
    pub live_hash: String,
}

impl fmt::Debug for Loaded {
    /// Leaves out the file layer, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("config", &self.config)
            .field("warnings", &self.warnings)
            .field("without_effect", &self.without_effect)
            .field("boot_hash", &self.boot_hash)
            .field("live_hash", &self.live_hash)
            .finish_non_exhaustive()
    }
}

/// Something that the user should know, and that does not prevent a start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The configuration file does not exist.
    #[error("config file not found, continue using environment and flag options: {}", path.display())]
    MissingFile {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A file of the configuration directory has another format.
    #[error("file ignored, because it ends in none of .json, .yaml, .yml and .toml: {}", path.display())]
    IgnoredFile {
        /// The file that was passed over.
        path: PathBuf,
    },
    /// A key that no option has.
    #[error(
        "unknown key in configuration file: {path} ({origin}){}",
        did_you_mean(nearest)
    )]
    UnknownKey {
        /// The file.
        origin: String,
        /// The whole path; an item of a list stands as `[0]`: `channel.namespaces.[0].foo`.
        path: String,
        /// The option that was probably meant.
        nearest: Option<String>,
    },
    /// A key of an option that the reference program has and this one does not have yet.
    #[error(
        "key in configuration file is known to Centrifugo, not supported yet: {path} ({origin})"
    )]
    UnsupportedKey {
        /// The file.
        origin: String,
        /// The whole path, as in [`Warning::UnknownKey`].
        path: String,
    },
    /// A key from before version 6 of the reference program.
    #[error("old key in configuration file: {path} ({origin}); {advice}")]
    OldKey {
        /// The file.
        origin: String,
        /// The whole path, as in [`Warning::UnknownKey`].
        path: String,
        /// What became of it.
        advice: String,
    },
    /// A variable that no option has.
    #[error("unknown var in environment: {name}{}", did_you_mean(nearest))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// The variable of an option that the reference program has and this one does not have yet.
    #[error("var in environment is known to Centrifugo, not supported yet: {name}")]
    UnsupportedVariable {
        /// The variable.
        name: String,
    },
    /// A variable from before version 6 of the reference program.
    #[error("old var in environment: {name}; {advice}")]
    OldVariable {
        /// The variable.
        name: String,
        /// What became of it.
        advice: String,
    },
    /// A file in the secrets directory that no option has.
    #[error("unknown file in secrets directory: {}", path.display())]
    UnknownSecret {
        /// The file.
        path: PathBuf,
    },
    /// A namespace of a kind that the reference program has and this one does not have yet.
    #[error("{path} is known to Centrifugo, not supported yet: its channels are refused")]
    UnsupportedKind {
        /// The option.
        path: String,
    },
    /// A value that is not known and was replaced.
    #[error("unknown value {value} of {path} ({origin}), {used} is used")]
    UnknownValue {
        /// The file or variable.
        origin: String,
        /// The option.
        path: String,
        /// The value that was found, in JSON.
        value: String,
        /// The value that is used.
        used: String,
    },
}

impl Warning {
    /// The path of a key in a file that sets nothing, whatever the reason.
    pub fn unknown_key(&self) -> Option<&str> {
        match self {
            Self::UnknownKey { path, .. }
            | Self::UnsupportedKey { path, .. }
            | Self::OldKey { path, .. } => Some(path),
            Self::MissingFile { .. }
            | Self::IgnoredFile { .. }
            | Self::UnknownVariable { .. }
            | Self::UnsupportedVariable { .. }
            | Self::OldVariable { .. }
            | Self::UnknownSecret { .. }
            | Self::UnsupportedKind { .. }
            | Self::UnknownValue { .. } => None,
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => String::new(),
    }
}

/// A value that does not fit its option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, variable or flag.
    pub origin: String,
    /// The option's path.
    pub path: String,
    /// What is wrong and what to do about it; never the value of a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.path, self.message)
    }
}

/// Why there is no configuration. Do not start, or keep the previous one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration file has another format.
    #[error("{}: unknown format; name it .json, .yaml, .yml or .toml", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// A file is malformed.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        message: String,
    },
    /// Values do not fit their options: all of them.
    #[error("{}", list(.0))]
    Values(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Loads the configuration from all sources.
///
/// # Errors
/// A source cannot be read, is malformed, or holds values that do not fit. A configuration file
/// that does not exist is a warning only; a secrets directory that does not exist is an error.
pub fn load(sources: &Sources) -> Result<Loaded, LoadError> {
    let (file_layer, typed, report) = gather(sources)?;
    finish(file_layer, typed, report)
}

/// What all sources set, in the types of the options, without defaults and unknown keys.
///
/// It is what [`document`](crate::document) starts from; it holds the secrets in the open.
///
/// # Errors
/// As those of [`load`].
pub fn values(sources: &Sources) -> Result<Value, LoadError> {
    let (_, mut typed, report) = gather(sources)?;
    strip_nulls(&mut typed);
    if report.problems.is_empty() {
        Ok(typed)
    } else {
        Err(LoadError::Values(report.problems))
    }
}

/// What the files hold as it stands, and what all sources set.
fn gather(sources: &Sources) -> Result<(Value, Value, Report), LoadError> {
    let mut report = Report::default();
    let files = match &sources.config {
        Some(path) => file::read(path, &mut report.warnings)?,
        None => Vec::new(),
    };
    let (file_layer, mut typed) = merge_files(&files, &mut report);
    if let Some(directory) = &sources.secrets {
        secrets_dir::apply(directory, &mut typed, &mut report)?;
    }
    environment::apply(&sources.env, &sources.flags, &mut typed, &mut report);
    apply_flags(&sources.flags, &mut typed, &mut report);
    Ok((file_layer, typed, report))
}

/// Reads a configuration that is already in memory, as if it stood in a file.
///
/// # Errors
/// Values that do not fit their options; `origin` names the source in them.
pub fn from_value(origin: &str, value: &Value) -> Result<Loaded, LoadError> {
    let mut report = Report::default();
    if !value.is_object() && !value.is_null() {
        report.problem(origin, "", "write an object of sections");
    }
    let files = [(origin.to_owned(), value.clone())];
    let (file_layer, typed) = merge_files(&files, &mut report);
    finish(file_layer, typed, report)
}

/// Merges the files as they stand, and in the types of the options.
fn merge_files(files: &[Named], report: &mut Report) -> (Value, Value) {
    let mut layer = Value::Object(Map::new());
    let mut typed = layer.clone();
    for (origin, value) in files {
        for path in keys::collisions(value, tree()) {
            let message = "the key stands twice in different letter case: keep one of them";
            report.problem(origin, &path, message);
        }
        let lowered = keys::lower(value, tree());
        let coerced = Coercion {
            origin,
            zero: Zero::IsUnset,
            report,
        }
        .file(&lowered);
        merge(&mut typed, coerced);
        if lowered.is_object() {
            merge(&mut layer, lowered);
        }
    }
    (layer, typed)
}

fn apply_flags(flags: &[(String, String)], target: &mut Value, report: &mut Report) {
    let leaves = leaves();
    for (path, text) in flags {
        let origin = format!("--{path}");
        let Some((_, node)) = leaves.iter().find(|(leaf, _)| leaf == path) else {
            report.problem(&origin, path, "there is no such option: leave the flag out");
            continue;
        };
        let text = Text {
            origin: &origin,
            text,
            zero: Zero::IsValue,
        };
        if let Some(value) = text.typed(node, path, report) {
            set(target, path, value);
        }
    }
}

fn unsupported_kinds(config: &Config) -> Vec<Warning> {
    let channel = &config.channel;
    let without = (
        "without_namespace".to_owned(),
        channel.without_namespace.subscription_type,
    );
    let named = channel.namespaces.iter().map(|namespace| {
        let at = format!("namespaces[{}]", namespace.name);
        (at, namespace.options.subscription_type)
    });
    std::iter::once(without)
        .chain(named)
        .filter(|(_, kind)| !kind.is_stream())
        .map(|(at, _)| Warning::UnsupportedKind {
            path: format!("channel.{at}.subscription_type"),
        })
        .collect()
}

fn finish(file_layer: Value, mut typed: Value, mut report: Report) -> Result<Loaded, LoadError> {
    strip_nulls(&mut typed);
    if report.problems.is_empty() {
        match Config::deserialize(&typed) {
            Ok(config) => {
                report.warnings.extend(unsupported_kinds(&config));
                return Ok(Loaded {
                    config,
                    warnings: report.warnings,
                    without_effect: without_effect(&typed),
                    boot_hash: boot_hash(&file_layer),
                    live_hash: live_hash(&file_layer),
                    file_layer,
                });
            }
            // Every value has been fitted to the schema of this very type. The cause may repeat
            // values, so it is not shown.
            Err(_) => report.problem("configuration", "", "does not fit its own schema"),
        }
    }
    Err(LoadError::Values(report.problems))
}
