//! What holds for every generation, every query and every byte.

#[cfg(test)]
mod arranging;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod merging;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod slates;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod together;
#[cfg(test)]
mod wish;
#[cfg(test)]
mod world;

/// How often a law is tried: all of `times` where `REELWAY_LAWS` says so, as `scripts/test` does, else a
/// third, because who works on the heart waits for them.
fn tries(times: u32) -> proptest::prelude::ProptestConfig {
    let all = std::env::var_os("REELWAY_LAWS").is_some();
    proptest::prelude::ProptestConfig::with_cases(if all { times } else { times / 3 })
}
