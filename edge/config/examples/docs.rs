//! Writes what is generated in the documentation: the options' tables of the pages in DIR, and DIR/options.md.
//! With `check` it writes nothing, and fails if something is stale.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidewire_config::document::{filled, markdown_of};

const HEAD: &str = "# Options\n\nEvery option with its type, default and environment variable. Generated; do not edit.\n\n\
    In a file a zero (`0`, `\"0s\"`) stands for the default; from the environment or a flag it is a zero. A `[]string` there is \
    separated by spaces, or a JSON list. Durations are written with a unit: `25s`, `1m30s`, `250ms`.\n\n";

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.first().is_some_and(|first| first == "check");
    if check {
        arguments.remove(0);
    }
    let [directory] = arguments.as_slice() else {
        return Err("usage: docs [check] DIR".into());
    };
    let directory = Path::new(directory);
    let manual = directory.join("options.md");
    let mut files = vec![(manual.clone(), format!("{HEAD}{}", markdown_of(None, 1)))];
    for page in pages(directory)? {
        if page != manual {
            let text = filled(&fs::read_to_string(&page)?);
            let text = text.map_err(|error| format!("{}: {error}", page.display()))?;
            files.push((page, text));
        }
    }
    let mut stale = false;
    for (path, text) in files {
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            eprintln!("{} is stale: run make generate", path.display());
            stale = true;
        } else {
            fs::write(&path, text)?;
        }
    }
    Ok(ExitCode::from(u8::from(stale)))
}

fn pages(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}
