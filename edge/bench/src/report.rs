//! The results: a table for people, JSON for programs.

use std::collections::BTreeMap;

use serde::Serialize;

/// Whether every run counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of them.
    Valid,
    /// At least one was not exactly right.
    Void,
}

/// What one run of a workload gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What was measured.
    pub(crate) figures: Vec<Figure>,
    /// Why it does not count; empty if it does.
    pub(crate) void: Vec<String>,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    name: &'static str,
    unit: &'static str,
    value: f64,
    must: Option<Bound>,
}

/// A target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Less is better.
    AtMost(f64),
}

impl Figure {
    /// A value without a target.
    pub(crate) fn new(name: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            name,
            unit,
            value,
            must: None,
        }
    }

    /// With a target.
    pub(crate) fn must(self, bound: Bound) -> Self {
        self.must_if(Some(bound))
    }

    /// With a target, if there is one.
    pub(crate) fn must_if(self, bound: Option<Bound>) -> Self {
        Self {
            must: bound,
            ..self
        }
    }

    /// What all other processes used of the machine; over 10 % the run should be repeated.
    pub(crate) fn noise(others: f64, wall: f64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = wall * CORES_MIN.max(cores) as f64;
        Self::new(
            "all other processes",
            "% of machine",
            others.max(0.0) * 100.0 / machine,
        )
        .must(Bound::AtMost(10.0))
    }
}

/// A pinned process sees only its own core, but the machine has at least the two that it pins to.
const CORES_MIN: usize = 2;

/// All runs, by workload, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Report {
    workloads: Vec<(&'static str, &'static str, Vec<Outcome>)>,
}

impl Report {
    /// Adds a run.
    pub(crate) fn add(&mut self, name: &'static str, about: &'static str, outcome: Outcome) {
        match self.workloads.iter_mut().find(|it| it.0 == name) {
            Some((_, _, outcomes)) => outcomes.push(outcome),
            None => self.workloads.push((name, about, vec![outcome])),
        }
    }

    /// Void if any run is.
    pub(crate) fn verdict(&self) -> Verdict {
        let mut outcomes = self.workloads.iter().flat_map(|(_, _, outcomes)| outcomes);
        if outcomes.any(|outcome| !outcome.void.is_empty()) {
            Verdict::Void
        } else {
            Verdict::Valid
        }
    }

    /// A table per workload: a row per figure, a column per run, the median of the runs that count, the
    /// target.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for (name, about, outcomes) in &self.workloads {
            text.push_str(&table(name, about, outcomes));
        }
        text
    }

    /// The runs for programs.
    pub(crate) fn runs(&self) -> Vec<Run<'_>> {
        let mut runs = Vec::new();
        for (workload, _, outcomes) in &self.workloads {
            for (index, outcome) in outcomes.iter().enumerate() {
                runs.push(Run {
                    workload,
                    run: index + 1,
                    void: &outcome.void,
                    figures: outcome
                        .figures
                        .iter()
                        .map(|figure| (key(figure), figure.value))
                        .collect(),
                });
            }
        }
        runs
    }
}

/// One run in the JSON document.
#[derive(Debug, Serialize)]
pub(crate) struct Run<'a> {
    workload: &'a str,
    /// Counts from 1.
    run: usize,
    /// Why it does not count.
    void: &'a [String],
    /// Values by name and unit.
    figures: BTreeMap<String, f64>,
}

fn key(figure: &Figure) -> String {
    let name = figure.name.trim();
    if figure.unit.is_empty() {
        name.to_owned()
    } else {
        format!("{name} ({})", figure.unit)
    }
}

fn table(name: &str, about: &str, outcomes: &[Outcome]) -> String {
    let mut text = format!("\n{name}: {about}\n");
    let mut line = |first: &str, cells: &[String]| {
        let mut row = format!("  {first:<42}");
        for cell in cells {
            row.push_str(&format!("{cell:>12}"));
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    let mut head: Vec<String> = (1..=outcomes.len())
        .map(|run| format!("run {run}"))
        .collect();
    head.extend(["median".to_owned(), "must".to_owned()]);
    line("", &head);
    let rows = outcomes.first().map_or(&[][..], |first| &first.figures);
    for (at, figure) in rows.iter().enumerate() {
        let value = |outcome: &Outcome| outcome.figures.get(at).map(|figure| figure.value);
        let mut cells: Vec<String> = outcomes
            .iter()
            .map(|outcome| value(outcome).map_or_else(String::new, number))
            .collect();
        let mut counted: Vec<f64> = outcomes
            .iter()
            .filter(|outcome| outcome.void.is_empty())
            .filter_map(value)
            .collect();
        let median = median(&mut counted);
        cells.push(median.map_or_else(|| "VOID".to_owned(), number));
        cells.push(figure.must.map_or_else(String::new, |Bound::AtMost(most)| {
            let missed = median.is_some_and(|median| median > most);
            format!("<= {most}{}", if missed { " !" } else { "  " })
        }));
        line(&key_with_indent(figure), &cells);
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        for fault in &outcome.void {
            text.push_str(&format!("  run {} is VOID: {fault}\n", index + 1));
        }
    }
    text
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

fn key_with_indent(figure: &Figure) -> String {
    let indent = figure.name.len() - figure.name.trim_start().len();
    format!("{}{}", " ".repeat(indent), key(figure))
}

fn number(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(values: &[(f64, &[&str])]) -> Report {
        let mut report = Report::default();
        for (value, void) in values {
            let figure = Figure::new("cost", "µs", *value).must(Bound::AtMost(2.0));
            let outcome = Outcome {
                figures: vec![figure],
                void: void.iter().map(ToString::to_string).collect(),
            };
            report.add("work", "some work", outcome);
        }
        report
    }

    fn row(report: &Report) -> Vec<String> {
        let table = report.table();
        let row = table.lines().find(|line| line.contains("cost")).unwrap();
        row.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_median_is_of_the_runs_that_count() {
        let report = report(&[(1.0, &[]), (9.0, &["lost"]), (3.0, &[]), (1.5, &[])]);
        assert_eq!(
            row(&report),
            [
                "cost", "(µs)", "1.00", "9.00", "3.00", "1.50", "1.50", "<=", "2"
            ]
        );
        assert_eq!(report.verdict(), Verdict::Void);
        assert!(report.table().contains("run 2 is VOID: lost"));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn a_missed_target_is_marked() {
        let report = report(&[(3.0, &[])]);
        assert_eq!(row(&report).last().unwrap(), "!");
        assert_eq!(report.verdict(), Verdict::Valid);
    }

    #[test]
    fn a_void_run_has_no_median() {
        assert_eq!(row(&report(&[(1.0, &["lost"])]))[3], "VOID");
    }

    #[test]
    fn programs_get_every_run_by_name_and_unit() {
        let report = report(&[(1.0, &[]), (2.0, &["lost"])]);
        let runs = serde_json::to_value(report.runs()).unwrap();
        assert_eq!(
            runs[1],
            serde_json::json!({"workload": "work", "run": 2, "void": ["lost"], "figures": {"cost (µs)": 2.0}})
        );
    }
}
