//! What holds for every generation, every query and every byte.

mod bytes;
mod merging;
mod slates;
mod stages;
mod world;
