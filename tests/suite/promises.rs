//! `docs/reliability.md` names a test for every promise; each of them must exist.

use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reliability.md");

#[test]
fn every_promise_names_tests_that_exist() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let docs = Path::new(PAGE).parent().unwrap();
    let (mut promises, mut tests) = (0, 0);
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| *row != "| Promise | Test |") {
        let named = named(row);
        assert!(!named.is_empty(), "no test: {row}");
        for (name, file) in &named {
            let text = std::fs::read_to_string(docs.join(file));
            let text = text.unwrap_or_else(|_| panic!("no file {file}"));
            assert!(text.contains(&format!("fn {name}(")), "no {name} in {file}");
        }
        promises += 1;
        tests += named.len();
    }
    println!("shown: {promises} promises, shown by tests named {tests} times");
}

/// Names and files of a row's links: [`name`](file).
fn named(row: &str) -> Vec<(&str, &str)> {
    let links = row.split("[`").skip(1);
    let link = links.filter_map(|rest| {
        let (name, rest) = rest.split_once("`](")?;
        Some((name, rest.split_once(')')?.0))
    });
    link.collect()
}
