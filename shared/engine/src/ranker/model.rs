//! The ranker's model as bytes of a generation, and read back.
//!
//! ```text
//! Header 64 B │ Node × trees × (2^depth − 1) │ f32 × trees × 2^depth │ SceneRow × scenes
//! ```

use xxhash_rust::xxh3::xxh3_64;
use zerocopy::little_endian::{F32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::forest::{DEPTH_MAX, Forest, Split, TREES_MAX};
use crate::feature::{self, Scenes};

/// First bytes of every model.
const MAGIC: [u8; 8] = *b"REELRANK";
/// The layout that is written and read.
const VERSION: u32 = 1;
/// Most scenes with a rate of their own.
pub const SCENES_MAX: usize = 1_024;
/// Largest power of the chance.
pub const BLEND_MAX: f32 = 4.0;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// xxh3 of everything behind it.
    checksum: U64,
    /// [`feature::fingerprint`] of the features it was trained on.
    features: U64,
    version: U32,
    trees: U32,
    depth: U32,
    scenes: U32,
    base: F32,
    blend: F32,
    overall: F32,
    reserved: [u8; 12],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Node {
    threshold: F32,
    feature: U16,
    missing_right: U16,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct SceneRow {
    name: U64,
    rate: F32,
    reserved: [u8; 4],
}

/// A trained ranker.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The trees.
    pub forest: Forest,
    /// Rates of the scenes it was trained for.
    pub scenes: Scenes,
    /// Power of the chance in a candidate's score, 0 to 4; 0 leaves the first ranker's
    /// order alone.
    pub blend: f32,
}

/// Bytes that are not a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// They do not begin like one.
    #[error("no ranker model")]
    NotAModel,
    /// They changed since they were written.
    #[error("checksum of the ranker model")]
    Checksum,
    /// They end early or late.
    #[error("length of the ranker model")]
    Length,
    /// A number that cannot be.
    #[error("a value of the ranker model is out of bounds")]
    OutOfBounds,
}

impl Model {
    /// Checks bytes from end to end and reads them. `None` for a model of another layout or of
    /// other features: a newer or older service wrote it, and the first ranker stands in.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ModelError> {
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| ModelError::NotAModel)?;
        if header.magic != MAGIC {
            return Err(ModelError::NotAModel);
        }
        if xxh3_64(bytes.get(16..).unwrap_or_default()) != header.checksum.get() {
            return Err(ModelError::Checksum);
        }
        if header.version.get() != VERSION || header.features.get() != feature::fingerprint() {
            return Ok(None);
        }
        let (trees, depth) = (header.trees.get() as usize, header.depth.get() as usize);
        let scenes = header.scenes.get() as usize;
        let blend = header.blend.get();
        let sized = trees <= TREES_MAX
            && (1..=DEPTH_MAX).contains(&depth)
            && scenes <= SCENES_MAX
            && (0.0..=BLEND_MAX).contains(&blend);
        if !sized {
            return Err(ModelError::OutOfBounds);
        }
        let leaves = trees << depth;
        let (nodes, rest) = rows::<Node>(rest, leaves - trees)?;
        let (leaves, rest) = rows::<F32>(rest, leaves)?;
        let (scenes, rest) = rows::<SceneRow>(rest, scenes)?;
        if !rest.is_empty() {
            return Err(ModelError::Length);
        }
        let splits = nodes.iter().map(|node| Split {
            threshold: node.threshold.get(),
            feature: node.feature.get(),
            missing_right: node.missing_right.get() != 0,
        });
        let leaves = leaves.iter().map(|leaf| leaf.get()).collect();
        let forest = Forest::new(depth, header.base.get(), splits.collect(), leaves);
        let rates = scenes.iter().map(|row| row.rate.get());
        let shares = rates.chain([header.overall.get()]);
        if !shares.into_iter().all(|rate| (0.0..=1.0).contains(&rate)) {
            return Err(ModelError::OutOfBounds);
        }
        let scenes = scenes.iter().map(|row| (row.name.get(), row.rate.get()));
        Ok(Some(Self {
            forest: forest.ok_or(ModelError::OutOfBounds)?,
            scenes: Scenes::from_rows(scenes.collect(), header.overall.get()),
            blend,
        }))
    }

    /// The bytes; equal models give equal bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let number = |n: usize| U32::new(u32::try_from(n).unwrap_or(u32::MAX));
        let mut header = Header {
            magic: MAGIC,
            checksum: U64::ZERO,
            features: U64::new(feature::fingerprint()),
            version: U32::new(VERSION),
            trees: number(self.forest.trees()),
            depth: number(self.forest.depth()),
            scenes: number(self.scenes.rows().len().min(SCENES_MAX)),
            base: F32::new(self.forest.base()),
            blend: F32::new(self.blend),
            overall: F32::new(self.scenes.overall()),
            reserved: [0; 12],
        };
        let mut body = Vec::new();
        for split in self.forest.splits() {
            let node = Node {
                threshold: F32::new(split.threshold),
                feature: U16::new(split.feature),
                missing_right: U16::new(u16::from(split.missing_right)),
            };
            body.extend_from_slice(node.as_bytes());
        }
        for leaf in self.forest.leaves() {
            body.extend_from_slice(&leaf.to_le_bytes());
        }
        for (name, rate) in self.scenes.rows().iter().take(SCENES_MAX) {
            let row = SceneRow {
                name: U64::new(*name),
                rate: F32::new(*rate),
                reserved: [0; 4],
            };
            body.extend_from_slice(row.as_bytes());
        }
        let checked = header.as_bytes().get(16..).unwrap_or_default();
        header.checksum = U64::new(xxh3_64(&[checked, &body].concat()));
        [header.as_bytes(), &body].concat()
    }
}

fn rows<T: FromBytes + KnownLayout + Immutable + Unaligned>(
    bytes: &[u8],
    count: usize,
) -> Result<(&[T], &[u8]), ModelError> {
    <[T]>::ref_from_prefix_with_elems(bytes, count).map_err(|_| ModelError::Length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let split = |feature, threshold| Split {
            threshold,
            feature,
            missing_right: true,
        };
        let splits = vec![split(0, 0.5), Split::PASS, split(3, -1.0)];
        let forest = Forest::new(2, -0.25, splits, vec![1.0, 1.0, 2.0, 3.0]).unwrap();
        Model {
            forest,
            scenes: Scenes::from_rows(vec![(7, 0.5), (3, 0.25)], 0.3),
            blend: 0.5,
        }
    }

    /// The bytes with something changed, and the checksum made to fit again.
    fn forged(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = model().to_bytes();
        change(&mut bytes);
        let sum = xxh3_64(&bytes[16..]).to_le_bytes();
        bytes[8..16].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn a_model_comes_back_as_it_was_and_walks_to_the_right_leaves() {
        let read = Model::read(&model().to_bytes()).unwrap().unwrap();
        assert_eq!(read, model());
        let mut vectors = vec![[0.0; feature::COUNT]; 4];
        vectors[1][0] = 0.6;
        vectors[1][3] = -1.0;
        vectors[2][0] = f32::NAN;
        vectors[3][0] = f32::NAN;
        vectors[3][3] = -2.0;
        let mut odds = Vec::new();
        read.forest.odds(&vectors, &mut odds);
        assert_eq!(odds, [0.75, 1.75, 2.75, 1.75]);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let whole = model().to_bytes();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(Model::read(&bytes).is_err(), "byte {at}");
            assert!(Model::read(&whole[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_even_where_the_checksum_fits() {
        let put = |at: usize, with: [u8; 4]| {
            forged(move |bytes| bytes[at..at + 4].copy_from_slice(&with))
        };
        let nan = f32::NAN.to_le_bytes();
        let cases = [
            ("trees", put(28, 2u32.to_le_bytes()), ModelError::Length),
            ("too many trees", put(28, [255; 4]), ModelError::OutOfBounds),
            ("depth", put(32, [0; 4]), ModelError::OutOfBounds),
            (
                "deeper",
                put(32, 9u32.to_le_bytes()),
                ModelError::OutOfBounds,
            ),
            ("scenes", put(36, 3u32.to_le_bytes()), ModelError::Length),
            ("base", put(40, nan), ModelError::OutOfBounds),
            ("blend", put(44, nan), ModelError::OutOfBounds),
            (
                "overall",
                put(48, 2.0f32.to_le_bytes()),
                ModelError::OutOfBounds,
            ),
            ("threshold", put(64, nan), ModelError::OutOfBounds),
            ("feature", put(68, [255, 0, 0, 0]), ModelError::OutOfBounds),
            (
                "leaf",
                put(88, f32::INFINITY.to_le_bytes()),
                ModelError::OutOfBounds,
            ),
            ("longer", forged(|bytes| bytes.push(0)), ModelError::Length),
        ];
        for (what, bytes, expected) in cases {
            assert_eq!(Model::read(&bytes), Err(expected), "{what}");
        }
        let newer = put(24, 2u32.to_le_bytes());
        assert_eq!(
            Model::read(&newer),
            Ok(None),
            "another layout is not damage"
        );
        assert_eq!(
            Model::read(&put(16, [1; 4])),
            Ok(None),
            "nor are other features"
        );
    }
}
