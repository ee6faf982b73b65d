//! The channel patterns of the server API: globs without separators.
//!
//! `*` is any run of characters, `?` one, `[abc]`, `[a-z]` and `[!a-z]` one of a set, `{a,b}` alternatives (they
//! nest), `\` takes the next character literally. Everything is per character, not per byte.
//!
//! Matching takes time proportional to name times pattern, whatever the pattern: all places where it may stand
//! are followed at once.

use std::fmt;
use std::str::{Chars, FromStr};

use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes: its size bounds the work for each channel.
const PATTERN_BYTES_MAX: usize = 1024;

/// Deepest nesting of alternatives.
const NESTING_MAX: usize = 16;

/// A valid pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    steps: Vec<Step>,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `[` or `{` has no end.
    #[error("a bracket is not closed")]
    Unclosed,
    /// A set has no members, or a range runs backwards.
    #[error("a set of characters is empty")]
    EmptySet,
    /// The last character is a `\`.
    #[error("nothing follows the backslash")]
    TrailingBackslash,
    /// More than 1,024 bytes, or alternatives nested deeper than 16.
    #[error("the pattern is too long or nested too deep")]
    TooLarge,
}

/// One instruction; places are indices into the list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Literal(char),
    Any,
    Set {
        members: Vec<(char, char)>,
        negated: bool,
    },
    /// Goes on at both places without taking a character.
    Fork(usize, usize),
}

impl Pattern {
    /// Whether the pattern describes the whole name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut places = Places::new(self.steps.len());
        let mut next = Places::new(self.steps.len());
        self.enter(0, &mut places);
        for c in name.chars() {
            for &place in &places.list {
                if self.steps.get(place).is_some_and(|step| step.takes(c)) {
                    self.enter(place + 1, &mut next);
                }
            }
            std::mem::swap(&mut places, &mut next);
            next.clear();
            if places.list.is_empty() {
                return false;
            }
        }
        places.list.contains(&self.steps.len())
    }

    /// Adds a place and all that forks lead to from it.
    fn enter(&self, place: usize, places: &mut Places) {
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            if !places.insert(place) {
                continue;
            }
            if let Some(&Step::Fork(first, second)) = self.steps.get(place) {
                open.extend([first, second]);
            }
        }
    }
}

impl Step {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == c,
            Self::Any => true,
            Self::Set { members, negated } => {
                members.iter().any(|&(low, high)| low <= c && c <= high) != *negated
            }
            Self::Fork(..) => false,
        }
    }
}

/// A set of places in order of insertion.
struct Places {
    list: Vec<usize>,
    known: Vec<bool>,
}

impl Places {
    fn new(steps: usize) -> Self {
        Self {
            list: Vec::new(),
            known: vec![false; steps + 1],
        }
    }

    fn insert(&mut self, place: usize) -> bool {
        match self.known.get_mut(place) {
            Some(known) if !*known => {
                *known = true;
                self.list.push(place);
                true
            }
            Some(_) | None => false,
        }
    }

    fn clear(&mut self) {
        self.known.fill(false);
        self.list.clear();
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLarge);
        }
        let mut parser = Parser {
            rest: text.chars(),
            steps: Vec::new(),
        };
        parser.sequence(0)?;
        Ok(Self {
            text: text.to_owned(),
            steps: parser.steps,
        })
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What ended a sequence.
#[derive(PartialEq, Eq)]
enum End {
    Text,
    Comma,
    Brace,
}

struct Parser<'a> {
    rest: Chars<'a>,
    steps: Vec<Step>,
}

impl Parser<'_> {
    /// Reads to the end of the text or, within braces, of the alternative.
    fn sequence(&mut self, depth: usize) -> Result<End, PatternError> {
        while let Some(c) = self.rest.next() {
            match c {
                '*' => {
                    let here = self.steps.len();
                    self.steps.extend([
                        Step::Fork(here + 1, here + 3),
                        Step::Any,
                        Step::Fork(here, here),
                    ]);
                }
                '?' => self.steps.push(Step::Any),
                '[' => self.set()?,
                '{' if depth == NESTING_MAX => return Err(PatternError::TooLarge),
                '{' => self.alternatives(depth + 1)?,
                ',' if depth > 0 => return Ok(End::Comma),
                '}' if depth > 0 => return Ok(End::Brace),
                '\\' => {
                    let literal = self.rest.next().ok_or(PatternError::TrailingBackslash)?;
                    self.steps.push(Step::Literal(literal));
                }
                literal => self.steps.push(Step::Literal(literal)),
            }
        }
        if depth > 0 {
            Err(PatternError::Unclosed)
        } else {
            Ok(End::Text)
        }
    }

    /// Each alternative begins with a fork to itself and to the next one, and ends with a fork behind the last.
    fn alternatives(&mut self, depth: usize) -> Result<(), PatternError> {
        let mut leaps = Vec::new();
        loop {
            let start = self.steps.len();
            self.steps.push(Step::Fork(start + 1, start + 1));
            let end = self.sequence(depth)?;
            leaps.push(self.steps.len());
            self.steps.push(Step::Fork(0, 0));
            let behind = self.steps.len();
            if end == End::Brace {
                for leap in leaps {
                    self.set_fork(leap, behind, behind);
                }
                return Ok(());
            }
            self.set_fork(start, start + 1, behind);
        }
    }

    fn set_fork(&mut self, place: usize, first: usize, second: usize) {
        if let Some(step) = self.steps.get_mut(place) {
            *step = Step::Fork(first, second);
        }
    }

    fn set(&mut self) -> Result<(), PatternError> {
        let mut members = Vec::new();
        let negated = self.rest.as_str().starts_with('!');
        if negated {
            self.rest.next();
        }
        while let Some(low) = self.member()? {
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
            let mut high = low;
            if is_range {
                self.rest.next();
                high = self.member()?.ok_or(PatternError::Unclosed)?;
            }
            if high < low {
                return Err(PatternError::EmptySet);
            }
            members.push((low, high));
        }
        if members.is_empty() {
            return Err(PatternError::EmptySet);
        }
        self.steps.push(Step::Set { members, negated });
        Ok(())
    }

    /// The next character of a set, none at its end.
    fn member(&mut self) -> Result<Option<char>, PatternError> {
        match self.rest.next() {
            None => Err(PatternError::Unclosed),
            Some(']') => Ok(None),
            Some('\\') => self
                .rest
                .next()
                .map(Some)
                .ok_or(PatternError::TrailingBackslash),
            Some(c) => Ok(Some(c)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn stars_take_any_run_with_separators() {
        for name in ["", "a", "chat:a/b.c#d", "ünï"] {
            assert!(matches("*", name) && matches("**", name), "{name}");
        }
        assert!(
            matches("chat:*", "chat:")
                && matches("chat:*", "chat:a/b")
                && !matches("chat:*", "chats:a")
        );
        assert!(matches("*:a*b", "x:y:azzb") && !matches("*:a*b", "x:y:azzbc"));
    }

    #[test]
    fn question_marks_take_one_character_not_one_byte() {
        assert!(
            matches("a?c", "abc")
                && matches("a?c", "aéc")
                && !matches("a?c", "ac")
                && !matches("a?c", "abbc")
        );
    }

    #[test]
    fn sets_take_one_of_their_members() {
        assert!(matches("[abc]", "b") && !matches("[abc]", "d") && !matches("[abc]", ""));
        assert!(matches("[a-cx-z]1", "y1") && !matches("[a-c]", "d") && matches("[à-ü]", "é"));
        assert!(matches("[!a-z]", "1") && !matches("[!a-z]", "q"));
        assert!(
            matches("[a-]", "-")
                && matches(r"[\]]", "]")
                && matches("[*]", "*")
                && !matches("[*]", "a")
        );
    }

    #[test]
    fn alternatives_nest_and_may_be_empty() {
        assert!(matches("{ab,c}d", "abd") && matches("{ab,c}d", "cd") && !matches("{ab,c}d", "d"));
        assert!(
            matches("x{a{b,c},}y", "xacy")
                && matches("x{a{b,c},}y", "xy")
                && !matches("x{a{b,c},}y", "xay")
        );
        assert!(
            matches("{a*,b?}", "a12") && matches("{a*,b?}", "b1") && !matches("{a*,b?}", "b12")
        );
        assert!(matches("{a,b,c,d}", "c") && !matches("{a,b,c,d}", "e"));
    }

    #[test]
    fn backslashes_make_literals() {
        assert!(matches(r"\*\{a\,b\}", "*{a,b}") && !matches(r"\*", "a"));
        assert!(
            matches("a,b}]", "a,b}]"),
            "outside of braces these mean themselves"
        );
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for (pattern, error) in [
            ("[a", PatternError::Unclosed),
            ("{a,b", PatternError::Unclosed),
            ("[]", PatternError::EmptySet),
            ("[z-a]", PatternError::EmptySet),
            ("a\\", PatternError::TrailingBackslash),
        ] {
            assert_eq!(pattern.parse::<Pattern>(), Err(error), "{pattern}");
        }
        assert_eq!(
            "{".repeat(100).parse::<Pattern>(),
            Err(PatternError::TooLarge)
        );
        assert_eq!(
            "a".repeat(1025).parse::<Pattern>(),
            Err(PatternError::TooLarge)
        );
    }

    #[test]
    fn hostile_patterns_take_no_exponential_time() {
        let pattern = format!("{}b", "{*a,*a}".repeat(100));
        assert!(!matches(&pattern, &"a".repeat(255)));
    }

    #[test]
    fn patterns_travel_as_their_text() {
        let pattern: Pattern = "a{b,c}*".parse().unwrap();
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!(json, r#""a{b,c}*""#);
        assert_eq!(serde_json::from_str::<Pattern>(&json).unwrap(), pattern);
        assert!(serde_json::from_str::<Pattern>(r#""[""#).is_err());
    }
}
