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
