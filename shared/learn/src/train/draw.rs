//! What is drawn, from a seed: the same everywhere.

/// The `n`th number of a seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) fn mixed(seed: u64, n: u64) -> u64 {
    let mut mixed = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The `n`th number below `bound`.
pub(super) fn below(seed: u64, n: u64, bound: usize) -> usize {
    ((u128::from(mixed(seed, n)) * bound as u128) >> 64) as usize
}

/// Whether the `n`th draw falls into a share of all.
pub(super) fn within(seed: u64, n: u64, share: f32) -> bool {
    (mixed(seed, n) >> 40) as f32 / (1u64 << 24) as f32 <= share
}
