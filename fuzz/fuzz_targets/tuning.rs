//! A hot document of any text: refused with reasons, or taken and the same when written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store::Tuning;

fuzz_target!(|text: &str| {
    match Tuning::parse(text) {
        Ok(tuning) => assert!(tuning.problems().is_empty()),
        Err(problems) => assert!(!problems.is_empty()),
    }
});
