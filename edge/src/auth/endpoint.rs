//! Where a token's key is fetched from: the JWKS endpoint, whose placeholders
//! are filled from issuer and audience.
//!
//! These claims are not verified yet when the address is made of them. So a
//! placeholder may only take texts that the configuration lists; otherwise
//! anybody could name an address of their own, and sign with their own keys.

use hyper::Uri;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, Flag, Flags, FlagsItemKind, GroupKind};

use super::rules::Variables;
use super::{InvalidToken, SettingsError, TokenSettings};

/// A JWKS endpoint.
pub(super) struct Endpoint(Vec<Part>);

enum Part {
    Text(String),
    /// A placeholder, less its braces.
    Variable(String),
}

impl Endpoint {
    /// The endpoint of these settings.
    pub(super) fn new(settings: &TokenSettings) -> Result<Self, SettingsError> {
        let endpoint = Self::parsed(&settings.jwks_public_endpoint).ok_or_else(|| {
            SettingsError::Endpoint {
                section: settings.section,
                endpoint: settings.jwks_public_endpoint.clone(),
            }
        })?;
        endpoint.check_placeholders(settings)?;
        Ok(endpoint)
    }

    fn parsed(template: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, tail)) = rest.split_once("{{") {
            let (name, tail) = tail.split_once("}}")?;
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Variable(name.to_owned()));
            rest = tail;
        }
        parts.push(Part::Text(rest.to_owned()));
        let endpoint = Self(parts);
        // Any text will do to see whether an address comes of it.
        let example = endpoint.fill(|_name| Some("x"))?;
        web_address(&example)?;
        Some(endpoint)
    }

    /// The address for a token whose claims matched like this.
    ///
    /// # Errors
    /// [`InvalidToken::Endpoint`] when a group did not take part in the match, or
    /// the address is not one of the web or has a path like `/a/../b`.
    pub(super) fn address(&self, variables: &Variables) -> Result<String, InvalidToken> {
        let address = self
            .fill(|name| variables.get(name).map(String::as_str))
            .ok_or(InvalidToken::Endpoint)?;
        if self.placeholders().next().is_some() {
            let uri = web_address(&address).ok_or(InvalidToken::Endpoint)?;
            if !is_canonical(uri.path()) {
                return Err(InvalidToken::Endpoint);
            }
        }
        Ok(address)
    }

    fn fill<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
        let mut address = String::new();
        for part in &self.0 {
            address.push_str(match part {
                Part::Text(text) => text,
                Part::Variable(name) => value(name)?,
            });
        }
        Some(address)
    }

    fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(name) => Some(name.as_str()),
        })
    }

    fn check_placeholders(&self, settings: &TokenSettings) -> Result<(), SettingsError> {
        let section = settings.section;
        let expressions = [
            ("issuer_regex", &settings.issuer_regex),
            ("audience_regex", &settings.audience_regex),
        ];
        // That they compile was found before; see `Rules::new`.
        let parsed = expressions.map(|(option, expression)| {
            let ast = Parser::new().parse(expression).ok();
            (option, ast)
        });
        for name in self.placeholders() {
            let mut is_defined = false;
            for (option, ast) in &parsed {
                let Some(ast) = ast else { continue };
                let groups = groups(ast, name);
                if groups.is_empty() {
                    continue;
                }
                is_defined = true;
                if settings.insecure_skip_jwks_endpoint_safety_check {
                    continue;
                }
                if !is_plain(ast) {
                    return Err(SettingsError::UnsafeExpression { section, option });
                }
                if !groups.into_iter().all(is_list) {
                    let name = name.to_owned();
                    return Err(SettingsError::UnsafeGroup {
                        section,
                        option,
                        name,
                    });
                }
            }
            if !is_defined {
                let name = name.to_owned();
                return Err(SettingsError::Placeholder { section, name });
            }
        }
        Ok(())
    }
}

/// An `http` or `https` address with a host and without user and password, which
/// would not be sent.
fn web_address(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority()?;
    let is_host = !authority.host().is_empty() && !authority.as_str().contains('@');
    (is_web && is_host).then_some(uri)
}

/// Whether no segment is empty (but for the last) or walks the tree, in any
/// spelling that a server could take for one.
fn is_canonical(path: &str) -> bool {
    let plain = path
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/");
    let mut segments = plain.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// What is directly below a node.
fn below(ast: &Ast) -> Vec<&Ast> {
    match ast {
        Ast::Repetition(repetition) => vec![&repetition.ast],
        Ast::Group(group) => vec![&group.ast],
        Ast::Alternation(alternation) => alternation.asts.iter().collect(),
        Ast::Concat(concat) => concat.asts.iter().collect(),
        Ast::Empty(_)
        | Ast::Flags(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::ClassUnicode(_)
        | Ast::ClassPerl(_)
        | Ast::ClassBracketed(_) => Vec::new(),
    }
}

/// The content of every group of this name (compiled expressions have one).
fn groups<'a>(ast: &'a Ast, name: &str) -> Vec<&'a Ast> {
    let mut found = Vec::new();
    if let Ast::Group(group) = ast
        && let GroupKind::CaptureName { name: own, .. } = &group.kind
        && own.name == name
    {
        found.push(&*group.ast);
    }
    for child in below(ast) {
        found.extend(groups(child, name));
    }
    found
}

/// Whether there is no character class, and letters match only themselves.
fn is_plain(ast: &Ast) -> bool {
    let is_plain_itself = match ast {
        Ast::ClassUnicode(_) | Ast::ClassPerl(_) | Ast::ClassBracketed(_) => false,
        Ast::Flags(flags) => is_case_kept(&flags.flags),
        Ast::Group(group) => match &group.kind {
            GroupKind::NonCapturing(flags) => is_case_kept(flags),
            GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => true,
        },
        Ast::Empty(_)
        | Ast::Literal(_)
        | Ast::Dot(_)
        | Ast::Assertion(_)
        | Ast::Repetition(_)
        | Ast::Alternation(_)
        | Ast::Concat(_) => true,
    };
    is_plain_itself && below(ast).into_iter().all(is_plain)
}

fn is_case_kept(flags: &Flags) -> bool {
    !flags
        .items
        .iter()
        .any(|item| matches!(item.kind, FlagsItemKind::Flag(Flag::CaseInsensitive)))
}

/// Whether a group's content is a list of texts, or a single one.
fn is_list(ast: &Ast) -> bool {
    if let Ast::Alternation(alternation) = ast {
        alternation.asts.iter().all(is_text)
    } else {
        is_text(ast)
    }
}

/// Whether only one text matches, which is not empty.
fn is_text(ast: &Ast) -> bool {
    let is_literal = |ast: &Ast| matches!(ast, Ast::Literal(_));
    if let Ast::Concat(concat) = ast {
        concat.asts.iter().all(is_literal)
    } else {
        is_literal(ast)
    }
}
