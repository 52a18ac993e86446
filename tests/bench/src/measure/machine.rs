//! What a benchmark ran on; never its name.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A machine, as far as its figures depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Memory in GiB, rounded.
    pub memory_gib: u64,
    /// Release of the kernel, numbers only.
    pub kernel: String,
    /// The compiler.
    pub compiler: String,
    /// `release` or `debug`.
    pub build: String,
    /// The commit, and whether there were changes on top of it.
    pub commit: String,
}

impl Machine {
    /// This machine and this build.
    #[must_use]
    pub fn this(root: &Path) -> Self {
        let line_of = |file: &str, field: &str| {
            let text = read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(field));
            let value = line
                .and_then(|line| line.split_once(':'))
                .map(|(_, v)| v.trim());
            value.unwrap_or("unknown").to_owned()
        };
        let memory = line_of("/proc/meminfo", "MemTotal");
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let numbers: String = kernel
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (memory_kib + (1 << 19)) >> 20,
            kernel: numbers,
            compiler: said("rustc", &["--version"], root),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            }
            .to_owned(),
            commit: commit(root),
        }
    }
}

/// The load average over the last minute: what else runs here.
#[must_use]
pub fn load() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// Memory of this process that is resident, in bytes.
#[must_use]
pub fn resident_bytes() -> u64 {
    let text = read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

fn commit(root: &Path) -> String {
    let hash = said("git", &["rev-parse", "--short", "HEAD"], root);
    let changes = said(
        "git",
        &["status", "--porcelain", "--untracked-files=no"],
        root,
    );
    if changes.is_empty() {
        hash
    } else {
        format!("{hash} with changes")
    }
}

fn said(program: &str, arguments: &[&str], folder: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}
