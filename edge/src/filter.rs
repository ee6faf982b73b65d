//! Tag filters: which publications a subscription wants, by their tags.
//!
//! [`Filter::new`] checks a filter once, when a client subscribes; [`Filter::matches`] is asked
//! for each publication, allocates nothing and compares numbers as exact decimals, never as
//! floating point. Meaning: protocol specification, section 12.

use std::collections::BTreeMap;

use tidewire_protocol::{ErrorCode, FilterNode};

use decimal::Decimal;

mod decimal;

/// Most nodes on a way from the root to a leaf.
pub const DEPTH_MAX: usize = 32;

/// Most nodes of a filter, each value of `in` and `nin` counted as one more.
pub const NODES_MAX: usize = 1024;

/// A filter that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    root: Node,
}

/// Why a filter is refused. The subscribe fails with [`InvalidFilter::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// `op` is not one of `and`, `or`, `not` and empty.
    #[error("unknown operator")]
    UnknownOperator,
    /// `cmp` is not a comparison.
    #[error("unknown comparison")]
    UnknownComparison,
    /// `and` or `or` of nothing, or `not` of anything but one node.
    #[error("wrong number of nodes")]
    NodeCount,
    /// A comparison other than `ex` and `nex` without `key`.
    #[error("comparison without a key")]
    NoKey,
    /// A comparison without the value or values it needs.
    #[error("comparison without a value")]
    NoValue,
    /// A comparison with a value or values it does not take.
    #[error("comparison with a value it does not take")]
    UnexpectedValue,
    /// More than [`DEPTH_MAX`] nodes deep.
    #[error("filter is deeper than {DEPTH_MAX} nodes")]
    TooDeep,
    /// More than [`NODES_MAX`] nodes and values.
    #[error("filter has more than {NODES_MAX} nodes and values")]
    TooBig,
}

impl InvalidFilter {
    /// What the client is told: 107, bad request.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::BadRequest
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    And(Box<[Self]>),
    Or(Box<[Self]>),
    Not(Box<Self>),
    Leaf { key: Box<str>, test: Test },
}

/// A comparison with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Missing,
    Equal(Box<str>),
    NotEqual(Box<str>),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    /// The values are sorted.
    In(Box<[Box<str>]>),
    /// The values are sorted.
    NotIn(Box<[Box<str>]>),
    Number(Order, Decimal),
    /// A comparison of numbers with what is none: never true.
    NotANumber,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Filter {
    /// Checks a client's filter and prepares it.
    ///
    /// # Errors
    /// [`InvalidFilter`]: the first fault found; the subscribe is answered with its code.
    pub fn new(filter: &FilterNode) -> Result<Self, InvalidFilter> {
        let mut left = NODES_MAX;
        let root = compile(filter, DEPTH_MAX, &mut left)?;
        Ok(Self { root })
    }

    /// Whether a publication with these tags is wanted.
    #[must_use]
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        self.root.matches(tags)
    }
}

impl Node {
    fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Leaf { key, test } => test.holds(tags.get(&**key).map(String::as_str)),
        }
    }
}

impl Test {
    fn holds(&self, tag: Option<&str>) -> bool {
        // A missing tag is the empty string to `in` and `nin` only.
        match (self, tag) {
            (Self::Exists, tag) => tag.is_some(),
            (Self::Missing, tag) => tag.is_none(),
            (Self::In(values), tag) => is_among(values, tag.unwrap_or_default()),
            (Self::NotIn(values), tag) => !is_among(values, tag.unwrap_or_default()),
            (Self::NotEqual(value), tag) => tag != Some(value),
            (Self::Equal(value), Some(tag)) => tag == &**value,
            (Self::StartsWith(value), Some(tag)) => tag.starts_with(&**value),
            (Self::EndsWith(value), Some(tag)) => tag.ends_with(&**value),
            (Self::Contains(value), Some(tag)) => tag.contains(&**value),
            (Self::Number(order, value), Some(tag)) => {
                decimal::compare(tag, value).is_some_and(|ordering| order.holds(ordering))
            }
            (Self::NotANumber, _)
            | (
                Self::Equal(_)
                | Self::StartsWith(_)
                | Self::EndsWith(_)
                | Self::Contains(_)
                | Self::Number(..),
                None,
            ) => false,
        }
    }
}

fn is_among(sorted: &[Box<str>], tag: &str) -> bool {
    sorted.binary_search_by(|value| (**value).cmp(tag)).is_ok()
}

fn compile(node: &FilterNode, depth: usize, left: &mut usize) -> Result<Node, InvalidFilter> {
    let depth = depth.checked_sub(1).ok_or(InvalidFilter::TooDeep)?;
    count(left, 1)?;
    match (node.op.as_str(), node.nodes.as_slice()) {
        ("", _) => leaf(node, left),
        ("and" | "or", []) => Err(InvalidFilter::NodeCount),
        ("and", nodes) => compile_all(nodes, depth, left).map(Node::And),
        ("or", nodes) => compile_all(nodes, depth, left).map(Node::Or),
        ("not", [only]) => Ok(Node::Not(Box::new(compile(only, depth, left)?))),
        ("not", _) => Err(InvalidFilter::NodeCount),
        _ => Err(InvalidFilter::UnknownOperator),
    }
}

fn compile_all(
    nodes: &[FilterNode],
    depth: usize,
    left: &mut usize,
) -> Result<Box<[Node]>, InvalidFilter> {
    nodes
        .iter()
        .map(|node| compile(node, depth, left))
        .collect()
}

fn count(left: &mut usize, nodes: usize) -> Result<(), InvalidFilter> {
    *left = left.checked_sub(nodes).ok_or(InvalidFilter::TooBig)?;
    Ok(())
}

fn leaf(node: &FilterNode, left: &mut usize) -> Result<Node, InvalidFilter> {
    let test = match node.cmp.as_str() {
        "ex" => no_value(node, Test::Exists)?,
        "nex" => no_value(node, Test::Missing)?,
        "in" => Test::In(values(node, left)?),
        "nin" => Test::NotIn(values(node, left)?),
        "eq" => Test::Equal(value(node)?),
        "neq" => Test::NotEqual(value(node)?),
        "sw" => Test::StartsWith(value(node)?),
        "ew" => Test::EndsWith(value(node)?),
        "ct" => Test::Contains(value(node)?),
        "lt" => number(node, Order::Less)?,
        "lte" => number(node, Order::LessOrEqual)?,
        "gt" => number(node, Order::Greater)?,
        "gte" => number(node, Order::GreaterOrEqual)?,
        _ => return Err(InvalidFilter::UnknownComparison),
    };
    let key = node.key.as_str().into();
    Ok(Node::Leaf { key, test })
}

fn no_value(node: &FilterNode, test: Test) -> Result<Test, InvalidFilter> {
    if node.val.is_empty() && node.vals.is_empty() {
        Ok(test)
    } else {
        Err(InvalidFilter::UnexpectedValue)
    }
}

/// The one value of a comparison. An empty one is as good as none: Protobuf cannot tell them apart.
fn value(node: &FilterNode) -> Result<Box<str>, InvalidFilter> {
    if node.key.is_empty() {
        Err(InvalidFilter::NoKey)
    } else if node.val.is_empty() {
        Err(InvalidFilter::NoValue)
    } else if !node.vals.is_empty() {
        Err(InvalidFilter::UnexpectedValue)
    } else {
        Ok(node.val.as_str().into())
    }
}

fn values(node: &FilterNode, left: &mut usize) -> Result<Box<[Box<str>]>, InvalidFilter> {
    if node.key.is_empty() {
        return Err(InvalidFilter::NoKey);
    }
    if node.vals.is_empty() {
        return Err(InvalidFilter::NoValue);
    }
    if !node.val.is_empty() {
        return Err(InvalidFilter::UnexpectedValue);
    }
    count(left, node.vals.len())?;
    let mut values: Box<[Box<str>]> = node
        .vals
        .iter()
        .map(|value| value.as_str().into())
        .collect();
    values.sort_unstable();
    Ok(values)
}

fn number(node: &FilterNode, order: Order) -> Result<Test, InvalidFilter> {
    let value = value(node)?;
    Ok(match Decimal::parse(&value) {
        Some(number) => Test::Number(order, number),
        None => Test::NotANumber,
    })
}

#[cfg(test)]
mod tests;
