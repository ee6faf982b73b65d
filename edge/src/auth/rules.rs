//! What issuer and audience must be.

use std::collections::BTreeMap;

use regex::Regex;

use super::claims::Registered;
use super::{InvalidToken, Section, SettingsError, TokenSettings};

/// The named groups of the expressions, with what they matched in a token.
pub(super) type Variables = BTreeMap<String, String>;

/// The rules of one section of settings.
///
/// Expressions come before the signature, because what they match may say where
/// its key is; texts come after it.
pub(super) struct Rules {
    issuer: Rule,
    audience: Rule,
}

enum Rule {
    Anything,
    Text(String),
    /// Need not match the whole claim.
    Expression(Regex),
}

/// One claim's two options.
struct Options<'s> {
    section: Section,
    text: (&'static str, &'s str),
    expression: (&'static str, &'s str),
}

impl Rules {
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            issuer: Rule::new(&Options {
                section: settings.section,
                text: ("issuer", &settings.issuer),
                expression: ("issuer_regex", &settings.issuer_regex),
            })?,
            audience: Rule::new(&Options {
                section: settings.section,
                text: ("audience", &settings.audience),
                expression: ("audience_regex", &settings.audience_regex),
            })?,
        })
    }

    /// Matches the expressions. When both have a group of the same name, that of
    /// the audience counts.
    pub(super) fn check_expressions(&self, claims: &Registered) -> Result<Variables, InvalidToken> {
        let mut variables = Variables::new();
        if let Rule::Expression(regex) = &self.issuer {
            capture(regex, claims.issuer(), &mut variables).ok_or(InvalidToken::Issuer)?;
        }
        if let Rule::Expression(regex) = &self.audience {
            claims
                .audiences()
                .iter()
                .find_map(|audience| capture(regex, audience, &mut variables))
                .ok_or(InvalidToken::Audience)?;
        }
        Ok(variables)
    }

    /// Compares the texts.
    pub(super) fn check_texts(&self, claims: &Registered) -> Result<(), InvalidToken> {
        if let Rule::Text(audience) = &self.audience
            && !claims.audiences().contains(audience)
        {
            return Err(InvalidToken::Audience);
        }
        if let Rule::Text(issuer) = &self.issuer
            && claims.issuer() != issuer
        {
            return Err(InvalidToken::Issuer);
        }
        Ok(())
    }
}

impl Rule {
    fn new(options: &Options<'_>) -> Result<Self, SettingsError> {
        let section = options.section;
        let (text_option, text) = options.text;
        let (option, expression) = options.expression;
        match (text.is_empty(), expression.is_empty()) {
            (true, true) => Ok(Self::Anything),
            (false, true) => Ok(Self::Text(text.to_owned())),
            (true, false) => Regex::new(expression)
                .map(Self::Expression)
                .map_err(|source| SettingsError::Expression {
                    section,
                    option,
                    source: Box::new(source),
                }),
            (false, false) => Err(SettingsError::TextAndExpression {
                section,
                option: text_option,
            }),
        }
    }
}

/// Notes what the named groups matched; `None` when nothing matches.
fn capture(regex: &Regex, text: &str, variables: &mut Variables) -> Option<()> {
    let captures = regex.captures(text)?;
    for name in regex.capture_names().flatten() {
        if let Some(matched) = captures.name(name) {
            variables.insert(name.to_owned(), matched.as_str().to_owned());
        }
    }
    Some(())
}
