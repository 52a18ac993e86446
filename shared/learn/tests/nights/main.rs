//! What a night makes of events: by hand on small worlds, by figures on real ones.
//!
//! The real data lie beside the checkout; where they are absent a test says so and ends.

#[cfg(test)]
mod building;
#[cfg(test)]
mod choosing;
#[cfg(test)]
mod current;
#[cfg(test)]
mod evaluating;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod films;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod kuairand;
#[cfg(test)]
mod kuairand_ranker;
#[cfg(test)]
mod ranker;
#[cfg(test)]
mod replaying;
#[cfg(test)]
mod serenade;
#[cfg(test)]
mod town;
#[cfg(test)]
mod trending;
