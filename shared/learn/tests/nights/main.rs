//! What a night makes of events: by hand on small worlds, by figures on real ones.
//!
//! The real data lie beside the checkout; where they are absent a test says so and ends.

mod building;
mod kuairand;
mod serenade;
mod town;
