//! Tag filters as clients send them.

use std::collections::BTreeMap;

use tidewire_protocol::{Encoding, FilterNode, decode};

use crate::filter::{DEPTH_MAX, Filter, NODES_MAX};

/// The first byte selects the encoding of the filter in the rest.
pub fn filters(input: &[u8]) {
    let Some((encoding, body)) = input.split_first() else {
        return;
    };
    let encoding = if encoding & 1 == 0 {
        Encoding::Json
    } else {
        Encoding::Protobuf
    };
    let Ok(node) = decode::message::<FilterNode>(encoding, body) else {
        return;
    };
    let (size, depth) = measure(&node);
    let Ok(filter) = Filter::new(&node) else {
        return;
    };
    assert!(
        size <= NODES_MAX && depth <= DEPTH_MAX,
        "{size} nodes, {depth} deep"
    );
    let around = |op: &str, nodes: Vec<FilterNode>| {
        let op = op.to_owned();
        Filter::new(&FilterNode {
            op,
            nodes,
            ..FilterNode::default()
        })
    };
    let not = around("not", vec![node.clone()]);
    let both = around("and", vec![node.clone(), node.clone()]);
    let either = around("or", vec![node.clone(), node.clone()]);
    assert_eq!(not.is_ok(), size < NODES_MAX && depth < DEPTH_MAX);
    assert_eq!(both.is_ok(), 2 * size < NODES_MAX && depth < DEPTH_MAX);
    for tags in tags(&node) {
        let matches = filter.matches(&tags);
        assert!(not.as_ref().is_ok_and(|not| not.matches(&tags) != matches) || not.is_err());
        for same in [&both, &either] {
            assert!(
                same.as_ref()
                    .is_ok_and(|same| same.matches(&tags) == matches)
                    || same.is_err()
            );
        }
    }
}

/// Nodes and values, and nodes on the longest way to a leaf. What stands beside an operator does not count.
fn measure(node: &FilterNode) -> (usize, usize) {
    if node.op.is_empty() {
        return (1 + node.vals.len(), 1);
    }
    let measured: Vec<_> = node.nodes.iter().map(measure).collect();
    let size = measured.iter().map(|(size, _)| size).sum::<usize>();
    let depth = measured.iter().map(|(_, depth)| depth).max();
    (1 + size, 1 + depth.unwrap_or(&0))
}

/// No tags, and such as the filter asks about.
fn tags(node: &FilterNode) -> Vec<BTreeMap<String, String>> {
    let mut all = vec![BTreeMap::new()];
    let mut nodes = vec![node];
    while let Some(node) = nodes.pop() {
        nodes.extend(&node.nodes);
        let values = node.vals.iter().take(3).chain([&node.val]);
        all.extend(values.map(|value| BTreeMap::from([(node.key.clone(), value.clone())])));
        if all.len() > 30 {
            break;
        }
    }
    all
}
