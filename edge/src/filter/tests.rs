use proptest::prelude::*;

use super::*;

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    tags.iter().map(owned).collect()
}

fn compare(key: &str, cmp: &str, val: &str, vals: &[&str]) -> FilterNode {
    FilterNode {
        key: key.to_owned(),
        cmp: cmp.to_owned(),
        val: val.to_owned(),
        vals: vals.iter().map(|value| (*value).to_owned()).collect(),
        ..FilterNode::default()
    }
}

fn operator(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode {
        op: op.to_owned(),
        nodes,
        ..FilterNode::default()
    }
}

/// Whether a comparison with `val`, or `vals` separated by `|`, matches a tag.
fn holds(cmp: &str, val: &str, tag: Option<&str>) -> bool {
    let vals: Vec<_> = val.split('|').collect();
    let node = match cmp {
        "in" | "nin" => compare("k", cmp, "", &vals),
        _ => compare("k", cmp, val, &[]),
    };
    let tag = tag.map(|tag| ("k", tag));
    let all: Vec<_> = [("other", "1")].into_iter().chain(tag).collect();
    Filter::new(&node).unwrap().matches(&tags(&all))
}

const STRINGS: [&str; 5] = ["eq", "neq", "sw", "ew", "ct"];
const NUMBERS: [&str; 4] = ["lt", "lte", "gt", "gte"];

#[test]
fn strings_are_compared_as_they_are() {
    let table = [
        ("eq", "1", "1", true),
        ("eq", "1", "1.0", false),
        ("eq", "a", "A", false),
        ("neq", "1", "1", false),
        ("neq", "1", "", true),
        ("sw", "ab", "abc", true),
        ("sw", "ab", "ab", true),
        ("sw", "ab", "cab", false),
        ("ew", "ab", "cab", true),
        ("ew", "ab", "abc", false),
        ("ct", "ab", "cabc", true),
        ("ct", "ab", "a b", false),
        ("ct", "ж", "ежи", true),
    ];
    for (cmp, val, tag, expected) in table {
        assert_eq!(holds(cmp, val, Some(tag)), expected, "{cmp} {val} {tag}");
    }
}

#[test]
fn numbers_are_compared_by_value() {
    let table = [
        ("5", "5.0", [false, true, false, true]),
        ("5", "4.9999999999999999999", [true, true, false, false]),
        ("5", "+5.01", [false, false, true, true]),
        ("-5", "-10", [true, true, false, false]),
        ("0", "-0", [false, true, false, true]),
        ("9", "10", [false, false, true, true]),
        (
            "9007199254740992",
            "9007199254740993",
            [false, false, true, true],
        ),
    ];
    for (val, tag, expected) in table {
        for (cmp, expected) in NUMBERS.into_iter().zip(expected) {
            assert_eq!(holds(cmp, val, Some(tag)), expected, "{tag} {cmp} {val}");
        }
    }
}

#[test]
fn comparing_what_is_no_number_is_false_and_no_error() {
    for cmp in NUMBERS {
        for word in ["1e1", ".5", "5.", " 5", "NaN", "abc", "0x10"] {
            assert!(!holds(cmp, "5", Some(word)), "{word} {cmp} 5");
            assert!(!holds(cmp, word, Some("5")), "5 {cmp} {word}");
            assert!(!holds(cmp, word, Some(word)), "{word} {cmp} {word}");
        }
        assert!(!holds(cmp, "5", Some("")));
    }
}

#[test]
fn observed_numbers_below_hundred_pass() {
    // Transcript `tags-filter-numeric`.
    for tag in ["5", "+5", "-3", "0010", "99.999999999999"] {
        assert!(holds("lt", "100", Some(tag)), "{tag}");
    }
    for tag in ["1e1", ".5", "5.", " 5", "100"] {
        assert!(!holds("lt", "100", Some(tag)), "{tag}");
    }
}

#[test]
fn sets_are_searched() {
    for (tag, inside) in [
        ("a", true),
        ("b", true),
        ("z", true),
        ("c", false),
        ("", false),
    ] {
        assert_eq!(holds("in", "z|a|b|a", Some(tag)), inside, "{tag}");
        assert_eq!(holds("nin", "z|a|b|a", Some(tag)), !inside, "{tag}");
    }
}

#[test]
fn missing_tag_is_the_empty_string_to_sets_only() {
    for cmp in STRINGS.into_iter().chain(NUMBERS) {
        assert_eq!(holds(cmp, "1", None), cmp == "neq", "{cmp}");
    }
    assert!(holds("nex", "", None));
    assert!(!holds("ex", "", None));
    assert!(!holds("in", "a|b", None));
    assert!(holds("nin", "a|b", None));
    assert!(holds("in", "a||b", None));
    assert!(!holds("nin", "a||b", None));
}

#[test]
fn empty_tag_exists() {
    assert!(holds("ex", "", Some("")));
    assert!(!holds("nex", "", Some("")));
    assert!(holds("in", "a||b", Some("")));
}

#[test]
fn publication_without_tags_is_one_with_every_tag_missing() {
    let filter = |cmp, val| Filter::new(&compare("k", cmp, val, &[])).unwrap();
    assert!(filter("nex", "").matches(&BTreeMap::new()));
    assert!(filter("neq", "1").matches(&BTreeMap::new()));
    assert!(!filter("eq", "1").matches(&BTreeMap::new()));
}

#[test]
fn operators_combine_nodes() {
    let is = |val| compare("k", "eq", val, &[]);
    let table = [
        (operator("and", vec![is("1")]), true),
        (operator("and", vec![is("1"), is("1")]), true),
        (operator("and", vec![is("1"), is("2")]), false),
        (operator("or", vec![is("2"), is("1")]), true),
        (operator("or", vec![is("2"), is("3")]), false),
        (operator("not", vec![is("1")]), false),
        (operator("not", vec![is("2")]), true),
        (operator("not", vec![compare("k", "lt", "x", &[])]), true),
        (
            operator(
                "and",
                vec![
                    operator("or", vec![is("2"), is("1")]),
                    operator("not", vec![is("3")]),
                ],
            ),
            true,
        ),
    ];
    for (node, expected) in table {
        let filter = Filter::new(&node).unwrap();
        assert_eq!(filter.matches(&tags(&[("k", "1")])), expected, "{node:?}");
    }
}

#[test]
fn each_fault_is_refused() {
    let leaf = || compare("k", "eq", "1", &[]);
    let table = [
        (FilterNode::default(), InvalidFilter::UnknownComparison),
        (
            compare("k", "zz", "1", &[]),
            InvalidFilter::UnknownComparison,
        ),
        (
            compare("k", "EQ", "1", &[]),
            InvalidFilter::UnknownComparison,
        ),
        (compare("k", "", "1", &[]), InvalidFilter::UnknownComparison),
        (
            operator("xor", vec![leaf()]),
            InvalidFilter::UnknownOperator,
        ),
        (
            operator("AND", vec![leaf()]),
            InvalidFilter::UnknownOperator,
        ),
        (operator("and", vec![]), InvalidFilter::NodeCount),
        (operator("or", vec![]), InvalidFilter::NodeCount),
        (operator("not", vec![]), InvalidFilter::NodeCount),
        (
            operator("not", vec![leaf(), leaf()]),
            InvalidFilter::NodeCount,
        ),
        (compare("k", "in", "", &[]), InvalidFilter::NoValue),
        (
            compare("k", "in", "1", &["1"]),
            InvalidFilter::UnexpectedValue,
        ),
        (
            compare("k", "nin", "1", &["1"]),
            InvalidFilter::UnexpectedValue,
        ),
        (compare("k", "ex", "1", &[]), InvalidFilter::UnexpectedValue),
        (
            compare("k", "nex", "", &["1"]),
            InvalidFilter::UnexpectedValue,
        ),
        (compare("", "in", "", &["1"]), InvalidFilter::NoKey),
        (compare("", "nin", "", &["1"]), InvalidFilter::NoKey),
        (
            operator(
                "not",
                vec![operator("or", vec![leaf(), compare("k", "eq", "", &[])])],
            ),
            InvalidFilter::NoValue,
        ),
    ];
    for (node, expected) in table {
        assert_eq!(Filter::new(&node), Err(expected), "{node:?}");
    }
    for cmp in STRINGS.into_iter().chain(NUMBERS) {
        assert_eq!(
            Filter::new(&compare("", cmp, "1", &[])),
            Err(InvalidFilter::NoKey)
        );
        assert_eq!(
            Filter::new(&compare("k", cmp, "", &[])),
            Err(InvalidFilter::NoValue)
        );
        assert_eq!(
            Filter::new(&compare("k", cmp, "1", &["2"])),
            Err(InvalidFilter::UnexpectedValue)
        );
    }
    assert_eq!(InvalidFilter::NoKey.code().code(), 107);
}

#[test]
fn existence_needs_no_key() {
    for (cmp, expected) in [("ex", false), ("nex", true)] {
        let filter = Filter::new(&compare("", cmp, "", &[])).unwrap();
        assert_eq!(filter.matches(&tags(&[("k", "1")])), expected);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let leaf = compare("k", "ex", "", &[]);
        (1..depth).fold(leaf, |node, _| operator("not", vec![node]))
    };
    let deepest = Filter::new(&nested(DEPTH_MAX)).unwrap();
    assert!(!deepest.matches(&tags(&[("k", "1")])));
    assert_eq!(
        Filter::new(&nested(DEPTH_MAX + 1)),
        Err(InvalidFilter::TooDeep)
    );
}

#[test]
fn nodes_and_values_are_bounded() {
    let wide = |count: usize| operator("or", vec![compare("k", "ex", "", &[]); count]);
    assert!(Filter::new(&wide(NODES_MAX - 1)).is_ok());
    assert_eq!(Filter::new(&wide(NODES_MAX)), Err(InvalidFilter::TooBig));
    let set = |count: usize| compare("k", "in", "", &vec!["v"; count]);
    assert!(Filter::new(&set(NODES_MAX - 1)).is_ok());
    assert_eq!(Filter::new(&set(NODES_MAX)), Err(InvalidFilter::TooBig));
}

fn any_node() -> impl Strategy<Value = FilterNode> {
    let word = || prop_oneof!["[a-c]{0,2}", "-?[0-9]{1,2}(\\.[0-9])?"];
    let cmp = prop::sample::select(vec![
        "", "eq", "neq", "in", "nin", "ex", "nex", "sw", "ew", "ct", "lt", "lte", "gt", "gte", "zz",
    ]);
    let leaf = ("[a-c]?", cmp, word(), prop::collection::vec(word(), 0..3)).prop_map(
        |(key, cmp, val, vals)| {
            let vals: Vec<_> = vals.iter().map(String::as_str).collect();
            compare(&key, cmp, &val, &vals)
        },
    );
    leaf.prop_recursive(4, 20, 3, |node| {
        let op = prop::sample::select(vec!["and", "or", "not", "", "xor"]);
        (op, prop::collection::vec(node, 0..3)).prop_map(|(op, nodes)| operator(op, nodes))
    })
}

proptest! {
    #[test]
    fn arbitrary_filters_never_panic_and_not_turns_each_around(
        node in any_node(),
        tags in prop::collection::btree_map("[a-c]", "[a-c0-9.-]{0,3}", 0..3),
    ) {
        let negated = Filter::new(&operator("not", vec![node.clone()]));
        match Filter::new(&node) {
            Ok(filter) => prop_assert_eq!(negated.unwrap().matches(&tags), !filter.matches(&tags)),
            Err(fault) => prop_assert_eq!(negated, Err(fault)),
        }
    }
}
