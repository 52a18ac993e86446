//! Contract, scenario, chaos, deploy and tidy tests, and the kit they stand on.
