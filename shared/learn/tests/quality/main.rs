//! What the service recommends on real data, next to what anybody would try first.
//!
//! The data lie beside the checkout; where they are absent each test says so and ends.

mod kuairand;
mod serenade;
