//! The options' tables in the pages of the documentation.

use std::fmt::Write;

use crate::schema::{Change, OptionInfo, ValueType, options};

/// What begins a table in a page, before the prefixes of its options.
const BEGIN: &str = "<!-- options: ";

/// What ends the line of [`BEGIN`].
const BEGIN_END: &str = " -->";

/// What ends a table in a page.
const END: &str = "<!-- /options -->";

/// Why a page cannot be filled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// A table does not end.
    #[error("the table that begins with \"{0}\" has no end")]
    NoEnd(String),
    /// A prefix stands for no option.
    #[error("no option begins with {0}")]
    Unknown(String),
}

/// Fills the tables of a page: what stands between `<!-- options: client.token sse -->` and
/// `<!-- /options -->` is replaced by a table of all options at or below these paths.
///
/// # Errors
/// See [`PageError`].
pub fn filled(page: &str) -> Result<String, PageError> {
    let mut text = String::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let begin = line.strip_prefix(BEGIN);
        let Some(prefixes) = begin.and_then(|rest| rest.strip_suffix(BEGIN_END)) else {
            continue;
        };
        text.push_str(&table(prefixes)?);
        let next = lines.find(|line| *line == END || line.starts_with(BEGIN));
        if next != Some(END) {
            return Err(PageError::NoEnd(line.to_owned()));
        }
        text.push_str(END);
        text.push('\n');
    }
    Ok(text)
}

fn table(prefixes: &str) -> Result<String, PageError> {
    let all = options();
    let mut text = String::from("| option | default | meaning |\n|---|---|---|\n");
    for prefix in prefixes.split_whitespace() {
        let below = |option: &&OptionInfo| {
            let rest = option.path.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mut found = all.iter().filter(below).peekable();
        if found.peek().is_none() {
            return Err(PageError::Unknown(prefix.to_owned()));
        }
        found.for_each(|option| row(&mut text, option));
    }
    Ok(text)
}

fn row(text: &mut String, option: &OptionInfo) {
    let default = match (&option.default, option.r#type) {
        _ if option.secret => "secret".to_owned(),
        (serde_json::Value::String(duration), ValueType::Duration) => format!("`{duration}`"),
        (value, _) => format!("`{value}`"),
    };
    let mut meaning = option.description.replace("\n\n", " ").replace('\n', " ");
    for allowed in &option.values {
        let (value, what) = (&allowed.value, &allowed.meaning);
        // Writing into a String cannot fail.
        let _infallible = write!(meaning, " `{value:?}`: {what}");
    }
    if option.change == Change::Live {
        meaning.push_str(" *Live.*");
    }
    if !option.effect {
        meaning.push_str(" **No effect yet.**");
    }
    let meaning = meaning.replace('|', "\\|");
    let path = &option.path;
    let _infallible = writeln!(text, "| `{path}` | {default} | {meaning} |");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_replaced_and_the_rest_of_the_page_stays() {
        let page = "# A\n<!-- options: sse -->\nold\n<!-- /options -->\nend\n";
        let text = filled(page).unwrap();
        assert!(text.starts_with("# A\n<!-- options: sse -->\n| option |"));
        assert!(text.contains("| `sse.enabled` | `false` |"), "{text}");
        assert!(text.ends_with("<!-- /options -->\nend\n") && !text.contains("old"));
        assert_eq!(filled(&text).unwrap(), text);
    }

    #[test]
    fn a_prefix_is_a_whole_path() {
        let page = "<!-- options: http_s -->\n<!-- /options -->\n";
        assert_eq!(filled(page), Err(PageError::Unknown("http_s".to_owned())));
    }

    #[test]
    fn a_table_without_an_end_would_eat_the_page() {
        let page = "<!-- options: sse -->\nall the rest\n";
        assert!(matches!(filled(page), Err(PageError::NoEnd(_))));
        let page = "<!-- options: sse -->\ntext\n<!-- options: init -->\n<!-- /options -->\n";
        assert!(matches!(filled(page), Err(PageError::NoEnd(_))));
    }
}
