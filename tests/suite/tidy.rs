//! The house rules that a program can check: ARCHITECTURE.md's invariants over `cargo metadata`
//! and the sources.
//!
//! Longer than 400 lines because each rule is a short test of its own and all of them share one
//! reading of the manifests and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the workspace")
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .expect("cargo metadata")
}

/// Direct dependencies of each workspace package, dev-dependencies left out.
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    let normal = |kind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
    let packages = metadata().packages;
    let entry = |package: &cargo_metadata::Package| {
        let named = package
            .dependencies
            .iter()
            .filter(|d| normal(d.kind))
            .map(|d| d.name.clone());
        (package.name.to_string(), named.collect())
    };
    packages.iter().map(entry).collect()
}

/// Rust files under version control or not yet, by path relative to the workspace.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut paths = Vec::new();
    for room in ["functions", "shared", "tests"] {
        walk(&root.join(room), &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path
            .strip_prefix(&root)
            .expect("inside")
            .display()
            .to_string();
        (name, std::fs::read_to_string(path).expect("readable"))
    };
    paths.iter().map(read).collect()
}

fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

const FUNCTIONS: [&str; 7] = [
    "archive",
    "clickstream",
    "ingest",
    "local",
    "preload",
    "profile",
    "recommend",
];

#[test]
fn nothing_points_up() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("guard", &[][..]),
        ("ops", &["guard"]),
        ("engine", &["guard"]),
        ("learn", &["engine", "guard"]),
        ("store", &["engine", "guard", "ops"]),
        ("aws", &["engine", "guard", "ops", "store"]),
        ("embedded", &["engine", "guard", "ops", "store"]),
        ("lake", &["engine", "guard", "ops", "store"]),
        ("web", &["engine", "guard", "ops", "store"]),
        ("lambda", &["guard", "ops", "store"]),
        (
            "recommend",
            &["aws", "engine", "guard", "lambda", "ops", "store", "web"],
        ),
        (
            "ingest",
            &["aws", "engine", "guard", "lambda", "ops", "store", "web"],
        ),
        (
            "clickstream",
            &["aws", "engine", "guard", "lambda", "ops", "store"],
        ),
        (
            "archive",
            &["aws", "engine", "guard", "lake", "lambda", "ops", "store"],
        ),
        (
            "profile",
            &[
                "aws", "engine", "guard", "lake", "lambda", "learn", "ops", "store",
            ],
        ),
        (
            "preload",
            &["aws", "engine", "guard", "lake", "lambda", "ops", "store"],
        ),
    ]);
    let packages = direct();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let mut problems = Vec::new();
    for (package, dependencies) in &packages {
        let Some(allowed) = allowed.get(package.as_str()) else {
            continue;
        };
        for dependency in dependencies.iter().map(String::as_str) {
            if ours.contains(dependency) && !allowed.contains(&dependency) {
                problems.push(format!("{package} must not depend on {dependency}"));
            }
        }
    }
    for room in allowed.keys() {
        assert!(ours.contains(room), "{room} is gone: mend this table");
    }
    check(problems);
}

#[test]
fn a_function_depends_on_no_other_function() {
    let mut problems = Vec::new();
    for (package, dependencies) in direct() {
        if ["local", "tests", "bench"].contains(&package.as_str()) {
            continue;
        }
        for function in FUNCTIONS.iter().filter(|f| dependencies.contains(**f)) {
            problems.push(format!("{package} depends on the function {function}"));
        }
    }
    check(problems);
}

#[test]
fn each_technology_has_one_room() {
    let http = ["web", "recommend", "ingest", "local"];
    let mut problems = Vec::new();
    for (package, dependencies) in direct() {
        if package == "tests" || package == "bench" {
            continue; // the kit speaks every protocol on purpose, benchmarks compare them
        }
        for dependency in &dependencies {
            let name = dependency.as_str();
            let home: &[&str] = match name {
                _ if name.starts_with("aws-") => &["aws"],
                _ if name.starts_with("lambda_") || name.starts_with("lambda-") => &["lambda"],
                "aws_lambda_events" => &["lambda"],
                "redis" | "moka" | "memmap2" => &["store"],
                "fjall" => &["embedded"],
                // `local` reads the Parquet files of others; the lake's own schema stays in `lake`.
                "parquet" => &["lake", "local"],
                // Of tests only: it costs the default build too much time.
                _ if name.starts_with("arrow") => &[],
                "axum" | "utoipa" => &http,
                "clap" | "indicatif" => &["local"],
                _ => continue,
            };
            if !home.contains(&package.as_str()) {
                problems.push(format!(
                    "{package} must not depend on {name}: its home is {home:?}"
                ));
            }
        }
    }
    check(problems);
}

#[test]
fn serving_never_links_what_the_night_does() {
    let packages = direct();
    for function in ["recommend", "ingest", "clickstream", "preload"] {
        let dependencies = packages.get(function).expect("a function");
        assert!(!dependencies.contains("learn"), "{function} links learn");
    }
}

#[test]
fn recommending_compiles_without_the_aws_sdk() {
    let optional = |package: &cargo_metadata::Package| {
        let aws = package
            .dependencies
            .iter()
            .filter(|d| d.name == "aws" || d.name == "lambda");
        aws.filter(|d| d.kind == DependencyKind::Normal)
            .all(|d| d.optional)
    };
    let functions = metadata().packages;
    let bound = functions
        .iter()
        .filter(|p| FUNCTIONS.contains(&p.name.as_str()));
    let forced: Vec<String> = bound
        .filter(|p| !optional(p))
        .map(|p| p.name.to_string())
        .collect();
    assert!(
        forced.is_empty(),
        "the AWS SDK is not optional in {forced:?}"
    );
}

/// Whether a file holds nothing but tests.
fn is_test(path: &str) -> bool {
    let tests = ["tests", "tests.rs", "testing.rs"];
    path.split('/').any(|part| tests.contains(&part))
}

/// The lines of a file that are no comments and not for tests alone, with their numbers.
///
/// Leaves out what follows `#[cfg(test)]`: to its semicolon, or to the brace that closes it, which
/// rustfmt puts where the item began.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut end_of_skipped: Option<String> = None;
    let mut skips_next = false;
    let mut code = move |line: &str| {
        if let Some(end) = &end_of_skipped {
            if line == end {
                end_of_skipped = None;
            }
            return false;
        }
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if skips_next && !code.starts_with("#[") {
            skips_next = false;
            if !code.ends_with(';') && !code.ends_with('}') {
                end_of_skipped = Some(format!("{indent}}}"));
            }
            return false;
        }
        skips_next |= code == "#[cfg(test)]";
        !skips_next && !code.starts_with("//")
    };
    let numbered = text.lines().zip(1..).map(|(line, number)| (number, line));
    numbered.filter(move |(_, line)| code(line))
}

#[test]
fn code_after_unit_tests_is_looked_at_too() {
    let text = "#[cfg(test)]\nmod a;\none\n#[cfg(test)]\nmod b {\n    two\n}\n// no\nthree\n";
    let seen: Vec<_> = code_lines(text).collect();
    assert_eq!(seen, [(3, "one"), (9, "three")]);
}

#[test]
fn the_engine_touches_no_socket_file_clock_or_environment() {
    let forbidden = [
        "std::net",
        "std::fs",
        "std::env",
        "std::io::std",
        "SystemTime",
        "Instant",
        "tokio::",
        "rand::",
    ];
    let mut problems = Vec::new();
    for (path, text) in sources()
        .iter()
        .filter(|(p, _)| p.starts_with("shared/engine/src"))
    {
        for (number, line) in code_lines(text) {
            for word in forbidden.iter().filter(|word| line.contains(**word)) {
                problems.push(format!("{path}:{number} mentions {word}"));
            }
        }
    }
    check(problems);
}

#[test]
fn every_crate_forbids_unsafe_code_but_the_one_that_maps_files() {
    let mut problems = Vec::new();
    for (path, text) in sources() {
        let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
        let expected = if path == "shared/store/src/lib.rs" || path.starts_with("tests/") {
            "#![deny(unsafe_code)]"
        } else {
            "#![forbid(unsafe_code)]"
        };
        if is_root && !text.contains(expected) {
            problems.push(format!("{path} lacks {expected}"));
        }
        let homes = [
            "shared/store/src/generation/mapping.rs",
            "tests/bench/src/measure/allocator.rs",
        ];
        if !homes.contains(&path.as_str())
            && code_lines(&text).any(|(_, line)| line.contains(concat!("unsafe", " {")))
        {
            problems.push(format!("{path} has an unsafe block"));
        }
    }
    check(problems);
}

#[test]
fn files_and_mains_stay_short() {
    let mut problems = Vec::new();
    let others = [
        "infra/template.yaml",
        "infra/network.yaml",
        "infra/roles.yaml",
        "infra/edge/template.yaml",
        "scripts/acceptance.py",
    ];
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).expect("readable");
        (path.to_owned(), text)
    };
    for (path, text) in sources().into_iter().chain(others.map(read)) {
        let lines = text.lines().count();
        if lines > 400 && !text.contains("Longer than 400 lines because") {
            problems.push(format!("{path} has {lines} lines and no stated reason"));
        }
        let main = path.starts_with("functions/") && path.ends_with("/src/main.rs");
        if main && lines > 60 {
            problems.push(format!("{path} has {lines} lines; a main has at most 60"));
        }
    }
    check(problems);
}

#[test]
fn rooms_have_names_that_say_something() {
    let banned = [
        "mod", "common", "utils", "util", "helpers", "helper", "misc",
    ];
    let is_banned = |path: &str| {
        Path::new(path).iter().any(|part| {
            let stem = Path::new(part)
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or("");
            banned.contains(&stem)
        })
    };
    check(
        sources()
            .into_iter()
            .map(|(path, _)| path)
            .filter(|p| is_banned(p))
            .collect(),
    );
}

#[test]
fn no_lint_is_silenced_without_a_reason() {
    let this = file!().replace('\\', "/");
    let mut problems = Vec::new();
    for (path, text) in sources()
        .iter()
        .filter(|(path, _)| !this.ends_with(path.as_str()))
    {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
                problems.push(format!(
                    "{path}:{} allows; use expect with a reason",
                    number + 1
                ));
            }
        }
        for part in text
            .split("#[expect(")
            .skip(1)
            .chain(text.split("#![expect(").skip(1))
        {
            let attribute = part.split(")]").next().unwrap_or("");
            if !attribute.contains("reason") {
                problems.push(format!("{path}: expect without a reason: {attribute}"));
            }
        }
    }
    check(problems);
}

#[test]
fn only_tasks_spawns_and_only_the_real_clock_reads_time() {
    let rules = [
        ("tokio::spawn(", "shared/guard/src/tasks.rs"),
        ("SystemTime::now", "shared/ops/src/clock.rs"),
        ("Instant::now", "shared/ops/src/clock.rs"),
    ];
    let mut problems = Vec::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for (word, home) in rules {
                if line.contains(word) && path != home {
                    problems.push(format!("{path}:{number} has {word}, whose home is {home}"));
                }
            }
        }
    }
    check(problems);
}

/// Every `REELWAY_…` name that production code reads.
fn settings_in_code() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (path, text) in sources() {
        if is_test(&path) {
            continue;
        }
        for (_, line) in code_lines(&text) {
            for part in line.split("\"REELWAY_").skip(1) {
                let tail: String = part
                    .chars()
                    .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
                    .collect();
                names.insert(format!("REELWAY_{tail}"));
            }
        }
    }
    names
}

#[test]
fn the_settings_table_of_the_readme_is_complete() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let row = |line: &str| {
        line.strip_prefix("| `REELWAY_")
            .and_then(|l| Some(l.split_once('`')?.0.to_owned()))
    };
    let documented: BTreeSet<String> = readme
        .lines()
        .filter_map(row)
        .map(|tail| format!("REELWAY_{tail}"))
        .collect();
    let code = settings_in_code();
    let undocumented: Vec<_> = code.difference(&documented).collect();
    let unread: Vec<_> = documented.difference(&code).collect();
    assert!(
        undocumented.is_empty() && unread.is_empty(),
        "not in the README: {undocumented:?}; read by nobody: {unread:?}"
    );
}

#[test]
fn the_template_sets_only_settings_that_exist() {
    let template = std::fs::read_to_string(root().join("infra/template.yaml")).expect("template");
    let set = template
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("REELWAY_"));
    let set: BTreeSet<String> = set
        .filter_map(|l| Some(format!("REELWAY_{}", l.split_once(':')?.0)))
        .collect();
    let unknown: Vec<_> = set.difference(&settings_in_code()).cloned().collect();
    assert!(
        unknown.is_empty(),
        "the template sets what nobody reads: {unknown:?}"
    );
}

#[test]
fn every_invariant_of_the_design_is_in_the_architecture_page() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for number in 1..=10 {
        assert!(
            page.contains(&format!("\n{number}. ")),
            "invariant {number} is missing"
        );
    }
    for room in direct()
        .keys()
        .filter(|name| *name != "tests" && *name != "bench")
    {
        assert!(
            page.contains(&format!("`{room}`")),
            "{room} is not on the map"
        );
    }
}

/// What a profile of Cargo.toml says, as `key=value`.
fn profile(name: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let heading = format!("[profile.{name}]");
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
    let settings = lines.take_while(|line| !line.starts_with('['));
    let settings = settings.filter(|line| line.contains('=') && !line.starts_with('#'));
    settings
        .map(|line| line.replace(' ', "").replace('"', "'"))
        .collect()
}

#[test]
fn sam_builds_what_the_profile_of_lambda_says() {
    let said = std::fs::read_to_string(root().join("CargoLambda.toml")).expect("CargoLambda.toml");
    let mut lambda = profile("lambda");
    assert!(lambda.remove("inherits='release'"), "{lambda:?}");
    let said: BTreeSet<String> = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"profile.release."))
        .map(|line| line.trim_end_matches("\",").to_owned())
        .collect();
    assert_eq!(said, lambda);
}
