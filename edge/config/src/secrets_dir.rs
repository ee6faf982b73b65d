//! A directory of secrets: each file is named by an option and holds its value.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::coerce::{Report, Zero};
use crate::file::{entries, unreadable};
use crate::layer::{Text, leaves, set, set_items};
use crate::load::{LoadError, Warning};
use crate::schema::variable;

/// A file of the directory.
struct SecretFile {
    /// Option path in lower case.
    name: String,
    origin: String,
    content: String,
    used: bool,
}

/// Lays the directory's values over what the files gave.
///
/// An item of a list stands by name: `channel.namespaces.<name>.<option>`. One line break at the
/// end of a file does not belong to the value.
pub(crate) fn apply(
    directory: &Path,
    target: &mut Value,
    report: &mut Report,
) -> Result<(), LoadError> {
    let mut files = Vec::new();
    for path in entries(directory)? {
        let content = fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
        let value = content.strip_suffix('\n').unwrap_or(&content);
        let value = value.strip_suffix('\r').unwrap_or(value);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files.push(SecretFile {
            name: name.to_lowercase(),
            origin: path.display().to_string(),
            content: value.to_owned(),
            used: false,
        });
    }
    for (path, node) in leaves() {
        let Some(file) = files.iter_mut().find(|file| file.name == path) else {
            continue;
        };
        file.used = true;
        if let Some(value) = file.text().typed(node, &path, report) {
            set(target, &path, value);
        }
    }
    // Values of items come last: a file may also have set the list.
    let mut found: Vec<usize> = Vec::new();
    set_items(target, report, |list, name, option| {
        let names = [
            format!("{list}.{name}.{option}").to_lowercase(),
            format!("{list}.{}.{option}", variable(name)).to_lowercase(),
        ];
        let index = files.iter().position(|file| names.contains(&file.name))?;
        found.push(index);
        files.get(index).map(SecretFile::text)
    });
    for (index, file) in files.iter().enumerate() {
        if !file.used && !found.contains(&index) {
            report.warnings.push(Warning::UnknownSecret {
                path: file.origin.clone().into(),
            });
        }
    }
    Ok(())
}

impl SecretFile {
    fn text(&self) -> Text<'_> {
        Text {
            origin: &self.origin,
            text: &self.content,
            zero: Zero::IsUnset,
        }
    }
}
