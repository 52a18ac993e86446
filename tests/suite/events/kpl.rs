//! AWS's own de-aggregators against our aggregates: `aws_kinesis_agg` (PyPI) and `aws-kinesis-agg`
//! (npm). Both were written from the format's description, as ours was.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ops::settings::{Environment, Lookup};
use serde_json::{Value, json};
use store::aggregate::{MAGIC, pack, unpack};
use store::publish::{bucket, pack_events};

use super::delivery::Dice;
use super::truth::event;

/// A library and how it is started.
struct Library {
    name: &'static str,
    program: PathBuf,
    script: PathBuf,
    environment: Option<(&'static str, PathBuf)>,
}

/// Both libraries; one that nobody installed is named and left out, one that is said to be there
/// must be.
fn libraries() -> Vec<Library> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/kpl");
    let folder = |variable| Environment.get(variable).map(PathBuf::from);
    let python = folder("REELWAY_TEST_VENV").map(|venv| Library {
        name: "aws_kinesis_agg for Python",
        program: venv.join("bin/python"),
        script: scripts.join("decode.py"),
        environment: None,
    });
    let node = folder("REELWAY_TEST_KPL").map(|kpl| Library {
        name: "aws-kinesis-agg for Node",
        program: PathBuf::from("node"),
        script: scripts.join("decode.js"),
        environment: Some(("NODE_PATH", kpl.join("node_modules"))),
    });
    for (variable, library) in [("REELWAY_TEST_VENV", &python), ("REELWAY_TEST_KPL", &node)] {
        if library.is_none() {
            println!("skipped: a de-aggregator of AWS, {variable} is not set (scripts/setup)");
        }
    }
    python.into_iter().chain(node).collect()
}

impl Library {
    fn run(&self, make: bool, records: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
        let input: Vec<Value> = records
            .iter()
            .map(|(key, data)| json!({ "key": key, "data": STANDARD.encode(data) }))
            .collect();
        let mut command = Command::new(&self.program);
        command.arg(&self.script).args(make.then_some("--make"));
        command.envs(self.environment.clone());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut stdin = child.stdin.take().unwrap();
        let bytes = serde_json::to_vec(&input).unwrap();
        // Fed beside reading, so that neither side waits for a full pipe.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(&bytes).unwrap());
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "{}", self.name);
        let answer: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        answer
            .iter()
            .map(|one| {
                let data = STANDARD.decode(text(&one["data"])).unwrap();
                (text(&one["key"]), Bytes::from(data))
            })
            .collect()
    }
}

/// Payloads of every size around what a length of one more byte needs, of any bytes.
fn payloads(dice: &mut Dice) -> Vec<Bytes> {
    let sizes = [
        1, 2, 119, 120, 121, 127, 128, 129, 1_000, 16_383, 16_384, 16_385,
    ];
    let mut payloads: Vec<Vec<u8>> = sizes
        .iter()
        .map(|size| (0..*size).map(|_| dice.below(256) as u8).collect())
        .collect();
    // What could be taken for a head, and for text of another encoding.
    payloads.push(MAGIC.to_vec());
    payloads.push(vec![0; 300]);
    payloads.push(vec![0xff; 300]);
    payloads.into_iter().map(Bytes::from).collect()
}

/// The payloads of each key, in order.
fn by_key(payloads: impl Iterator<Item = (String, Bytes)>) -> BTreeMap<String, Vec<Bytes>> {
    let mut keys = BTreeMap::<String, Vec<Bytes>>::new();
    for (key, data) in payloads {
        keys.entry(key).or_default().push(data);
    }
    keys
}

#[test]
fn aws_libraries_take_our_aggregates_apart_byte_for_byte() {
    let mut dice = Dice::new(5);
    let keyed: Vec<(String, Bytes)> = payloads(&mut dice)
        .into_iter()
        .enumerate()
        .map(|(at, data)| (["u0.8", "ключ", "k"][at % 3].to_owned(), data))
        .collect();
    let events: Vec<_> = (0..3_000)
        .map(|n| {
            event(
                n,
                dice.below(400) as u64,
                n as u64 % 50,
                n % 4,
                1_760_000_000_000,
            )
        })
        .collect();
    let ours: Vec<_> = pack(keyed.clone())
        .into_iter()
        .chain(pack_events(&events).into_iter().map(|packed| packed.record))
        .map(|record| (record.partition_key, record.data))
        .collect();
    // What went in, before anything of ours packed it.
    let of_events = events
        .iter()
        .map(|event| (bucket(&event.user_id), store::events::encode(event)));
    let expected = by_key(keyed.into_iter().chain(of_events));
    let read_by_us = ours.iter().flat_map(|(_, data)| unpack(data).unwrap());
    let read_by_us = by_key(read_by_us.map(|(key, data)| (key.to_string(), data)));
    assert!(read_by_us == expected, "we read something else");
    for library in libraries() {
        let found = library.run(false, &ours);
        let same = by_key(found.iter().cloned()) == expected;
        assert!(same, "{} reads something else", library.name);
        println!(
            "shown: {} takes {} records apart into the same {} payloads",
            library.name,
            ours.len(),
            found.len()
        );
    }
}

#[test]
fn we_take_aggregates_of_aws_libraries_apart_and_make_the_same_bytes() {
    let mut dice = Dice::new(6);
    let of_one_key: Vec<_> = payloads(&mut dice)
        .into_iter()
        .map(|data| ("u0.8".to_owned(), data))
        .filter(|(_, data)| data.len() < 2_000)
        .collect();
    let ours = pack(of_one_key.clone());
    assert_eq!(ours.len(), 1);
    let mixed: Vec<_> = (0..500)
        .map(|n| (format!("k{}", n % 7), Bytes::from(format!("payload {n}"))))
        .collect();
    for library in libraries() {
        let theirs = library.run(true, &of_one_key);
        assert_eq!(theirs.len(), 1, "{}", library.name);
        assert_eq!(theirs[0].0, ours[0].partition_key, "{}", library.name);
        assert_eq!(
            theirs[0].1, ours[0].data,
            "{} makes other bytes",
            library.name
        );
        let made = library.run(true, &mixed);
        let read: Vec<(String, Bytes)> = made
            .iter()
            .flat_map(|(_, data)| unpack(data).unwrap())
            .map(|(key, data)| (key.to_string(), data))
            .collect();
        assert_eq!(read, mixed, "{}", library.name);
    }
}
