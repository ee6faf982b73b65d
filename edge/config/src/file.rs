//! The configuration file, or all files of a directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::load::{LoadError, Warning};

/// A file's name and content.
pub(crate) type Named = (String, Value);

/// Reads the file, or the directory's files in the order of their names.
///
/// In a directory names that begin with `..` are skipped (Kubernetes keeps its links there), and
/// so are directories; a file of another format is skipped with a warning.
pub(crate) fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<Vec<Named>, LoadError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            warnings.push(Warning::MissingFile {
                path: path.to_owned(),
            });
            return Ok(Vec::new());
        }
        Err(source) => return Err(unreadable(path, source)),
    };
    if !metadata.is_dir() {
        let format = Format::of(path).ok_or_else(|| LoadError::Format {
            path: path.to_owned(),
        })?;
        return Ok(vec![read_one(path, format)?]);
    }
    let mut found = Vec::new();
    for path in entries(path)? {
        match Format::of(&path) {
            Some(format) => found.push(read_one(&path, format)?),
            None => warnings.push(Warning::IgnoredFile { path }),
        }
    }
    Ok(found)
}

/// The files of a directory, sorted by name, without those that begin with `..`.
pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| unreadable(directory, source))? {
        let entry = entry.map_err(|source| unreadable(directory, source))?;
        let path = entry.path();
        let is_hidden = entry.file_name().to_string_lossy().starts_with("..");
        // The files of a mounted volume are links, which this follows.
        if !is_hidden && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> LoadError {
    LoadError::Read {
        path: path.to_owned(),
        source,
    }
}

/// The notation of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Toml,
}

impl Format {
    /// The notation that an extension stands for, with or without its dot.
    pub(crate) fn of_extension(extension: &str) -> Option<Self> {
        match extension.trim_start_matches('.') {
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }

    fn of(path: &Path) -> Option<Self> {
        Self::of_extension(&path.extension()?.to_str()?.to_lowercase())
    }
}

fn read_one(path: &Path, format: Format) -> Result<Named, LoadError> {
    let text = fs::read_to_string(path).map_err(|source| unreadable(path, source))?;
    let value = parse(&text, format).map_err(|message| LoadError::Syntax {
        path: path.to_owned(),
        message,
    })?;
    match value {
        // An empty YAML file.
        Value::Null => Ok((
            path.display().to_string(),
            Value::Object(serde_json::Map::new()),
        )),
        Value::Object(_) => Ok((path.display().to_string(), value)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(LoadError::Syntax {
                path: path.to_owned(),
                message: "the file must hold an object of sections".to_owned(),
            })
        }
    }
}

/// Parses a file. The message of an error names the place, but shows nothing of the text, which
/// may hold secrets.
pub(crate) fn parse(text: &str, format: Format) -> Result<Value, String> {
    match format {
        Format::Json => serde_json::from_str(text).map_err(|error| error.to_string()),
        Format::Yaml => parse_yaml(text).map_err(|error| {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {} column {}", at.line(), at.column())
            });
            format!("the YAML is malformed{place}")
        }),
        Format::Toml => toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let place = before.map_or_else(String::new, |before| {
                format!(" at line {}", before.matches('\n').count() + 1)
            });
            format!("{}{place}", error.message())
        }),
    }
}

fn parse_yaml(text: &str) -> Result<Value, serde_saphyr::Error> {
    // `on` and `yes` are texts, as YAML 1.2 has it.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Format, parse};

    #[test]
    fn all_formats_read_the_same() {
        let wanted = json!({
            "client": { "ping_interval": "25s", "allowed_origins": ["*"], "channel_limit": 7 },
            "channel": { "namespaces": [{ "name": "chat", "presence": true }] },
        });
        let json = wanted.to_string();
        let yaml = "client:\n  ping_interval: 25s\n  allowed_origins: ['*']\n  channel_limit: 7\n\
                    channel:\n  namespaces:\n    - name: chat\n      presence: true\n";
        let toml = "[client]\nping_interval = '25s'\nallowed_origins = ['*']\nchannel_limit = 7\n\
                    [[channel.namespaces]]\nname = 'chat'\npresence = true\n";
        for (text, format) in [
            (json.as_str(), Format::Json),
            (yaml, Format::Yaml),
            (toml, Format::Toml),
        ] {
            assert_eq!(parse(text, format).as_ref(), Ok(&wanted), "{format:?}");
        }
    }

    #[test]
    fn yaml_words_that_older_versions_took_for_truth_stay_texts() {
        let read = parse("a: yes\nb: on\nc: 0x10\nd: '8000'\ne: ~\n", Format::Yaml);
        let wanted = json!({ "a": "yes", "b": "on", "c": 16, "d": "8000", "e": null });
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn an_error_names_the_line_and_hides_the_text() {
        for (text, format) in [
            ("{\n\"key\": \"hunter2\" \"hunter2\"}", Format::Json),
            ("a: 1\nkey: \"hunter2\n", Format::Yaml),
            ("a: 1\nhunter2: [hunter2\nb: }", Format::Yaml),
            ("a = 1\nkey = hunter2\n", Format::Toml),
            ("a = 1\nkey = \"hunter2\n", Format::Toml),
            ("a = 1\nkey = 'x' hunter2\n", Format::Toml),
        ] {
            let message = parse(text, format).expect_err("malformed");
            assert!(message.contains("line "), "{message}");
            assert!(!message.contains("hunter"), "{message}");
        }
    }

    #[test]
    fn the_extension_selects_the_format() {
        assert_eq!(Format::of_extension("yml"), Some(Format::Yaml));
        assert_eq!(Format::of_extension(".toml"), Some(Format::Toml));
        assert_eq!(Format::of_extension("ini"), None);
    }
}
