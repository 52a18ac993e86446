//! Publishing a generation: everything else first, the pointer last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use guard::Deadline;
use smol_str::SmolStr;

use super::manifest::{MANIFEST_BYTES_MAX, MANIFEST_SCHEMA, Manifest, Pointer, render};
use super::{GENERATION_BYTES_MAX, blocking, checked_name, file_error, measure};
use crate::life::GenerationOrder;
use crate::ports::Objects;
use crate::{Error, ErrorKind};

/// Generations that stay: the current one, those to go back to, and those that served the days the
/// ranker learns from.
pub const GENERATIONS_KEPT: usize = 8;

const PREFIX: &str = "index/";
const POINTER_KEY: &str = "index/current.json";
const NEXT_KEY: &str = "index/next.json";

/// The published generations.
#[derive(Clone)]
pub struct Generations {
    objects: Arc<dyn Objects>,
}

impl Generations {
    /// Generations among the given objects.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects }
    }

    /// Publishes a file as a generation and makes it the current one: [`Self::stage`], then
    /// [`Self::point`].
    ///
    /// # Errors
    /// As those two.
    pub async fn publish(
        &self,
        generation: &str,
        file: &Path,
        deadline: &Deadline,
    ) -> Result<Manifest, Error> {
        let manifest = self.stage(generation, file, deadline).await?;
        self.point(&manifest, deadline).await?;
        Ok(manifest)
    }

    /// Puts a file where readers can open it by name, before any of them follows the pointer to it.
    /// The caller holds the lease of the job that publishes.
    ///
    /// Doing it again after a crash anywhere between is harmless.
    ///
    /// # Errors
    /// The store's; `Invalid` for a bad name, a file too large, or when the current generation has
    /// this name and other content.
    pub async fn stage(
        &self,
        generation: &str,
        file: &Path,
        deadline: &Deadline,
    ) -> Result<Manifest, Error> {
        checked_name(generation)?;
        let path = file.to_owned();
        let what = "measure a generation";
        let measured = move || measure(&path).map_err(file_error(what));
        let (bytes, checksum) = blocking(what, deadline, measured).await?;
        if bytes > GENERATION_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                "publish a generation: too large",
            ));
        }
        if let Some(current) = self.current_manifest(generation, deadline).await? {
            if current.checksum == checksum {
                return Ok(current);
            }
            let what = "publish a generation: the current one has this name";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA,
            generation: SmolStr::new(generation),
            bytes,
            checksum,
            created_ms: deadline.clock().now().wall_ms,
        };
        self.objects
            .put_file(&index_key(generation), file, deadline)
            .await?;
        self.objects
            .put(&manifest_key(generation), render(&manifest)?, deadline)
            .await?;
        Ok(manifest)
    }

    /// Makes a generation that was staged the current one; then removes all but the newest
    /// [`GENERATIONS_KEPT`].
    ///
    /// # Errors
    /// The store's.
    pub async fn point(&self, manifest: &Manifest, deadline: &Deadline) -> Result<(), Error> {
        let generation = manifest.generation.as_str();
        // One that cannot be read is written anew.
        let current = self.pointer(deadline).await.ok().flatten();
        if current.is_none_or(|pointer| pointer.generation != generation) {
            let pointer = render(&pointer_to(manifest, deadline))?;
            self.objects.put(POINTER_KEY, pointer, deadline).await?;
        }
        if let Err(error) = self.tidy(generation, deadline).await {
            // What matters is done; the next publication removes what this one could not.
            tracing::warn!(error = %error, "old generations were not removed");
        }
        Ok(())
    }

    /// Says that a staged generation is to become the current one as soon as caches are filled from
    /// it: see [`Self::next`].
    ///
    /// # Errors
    /// The store's.
    pub async fn announce(&self, manifest: &Manifest, deadline: &Deadline) -> Result<(), Error> {
        let next = render(&pointer_to(manifest, deadline))?;
        self.objects.put(NEXT_KEY, next, deadline).await
    }

    /// The generation that was announced, while it is newer than the current one.
    ///
    /// # Errors
    /// The store's; `Corrupt` or `Invalid` when what was announced cannot be read.
    pub async fn next(&self, deadline: &Deadline) -> Result<Option<Pointer>, Error> {
        let Some(next) = self.read(NEXT_KEY, deadline).await? else {
            return Ok(None);
        };
        let order = |pointer: &Pointer| GenerationOrder::of(&pointer.generation);
        let current = self.pointer(deadline).await.ok().flatten();
        let newer = current.is_none_or(|current| order(&next) > order(&current));
        Ok(newer.then_some(next))
    }

    /// Makes the generation that was announced the current one; says whether there was one.
    ///
    /// # Errors
    /// As [`Self::next`], [`Self::manifest`] and [`Self::point`].
    pub async fn point_to_next(&self, deadline: &Deadline) -> Result<bool, Error> {
        let Some(next) = self.next(deadline).await? else {
            return Ok(false);
        };
        let manifest = self.manifest(&next.generation, deadline).await?;
        self.point(&manifest, deadline).await?;
        Ok(true)
    }

    /// Which generation is current; `None` before the first.
    ///
    /// # Errors
    /// The store's; `Corrupt` or `Invalid` when it cannot be read.
    pub async fn pointer(&self, deadline: &Deadline) -> Result<Option<Pointer>, Error> {
        self.read(POINTER_KEY, deadline).await
    }

    async fn read(&self, key: &str, deadline: &Deadline) -> Result<Option<Pointer>, Error> {
        match self.objects.get(key, MANIFEST_BYTES_MAX, deadline).await {
            Ok(json) => Pointer::parse(&json).map(Some),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the file of a generation must be like.
    ///
    /// # Errors
    /// The store's; `NotFound`; `Corrupt` or `Invalid` when it cannot be read.
    pub async fn manifest(&self, generation: &str, deadline: &Deadline) -> Result<Manifest, Error> {
        let key = manifest_key(checked_name(generation)?);
        let json = self.objects.get(&key, MANIFEST_BYTES_MAX, deadline).await?;
        Manifest::parse(&json, generation)
    }

    /// Fetches the file of a generation, unchecked.
    pub(super) async fn fetch(
        &self,
        generation: &str,
        file: &Path,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        self.objects
            .fetch(&index_key(checked_name(generation)?), file, deadline)
            .await
    }

    /// The manifest of `generation` when it is the current one.
    async fn current_manifest(
        &self,
        generation: &str,
        deadline: &Deadline,
    ) -> Result<Option<Manifest>, Error> {
        let pointer = match self.pointer(deadline).await {
            // A pointer that cannot be read, damaged or left by a version that was rolled back, is
            // what publishing repairs.
            Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Invalid) => None,
            other => other?,
        };
        if pointer.is_none_or(|pointer| pointer.generation != generation) {
            return Ok(None);
        }
        match self.manifest(generation, deadline).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::NotFound) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets what was announced up to the current generation, and removes old ones.
    async fn tidy(&self, current: &str, deadline: &Deadline) -> Result<(), Error> {
        let gone = match self.read(NEXT_KEY, deadline).await {
            Ok(Some(next)) => GenerationOrder::of(&next.generation) <= GenerationOrder::of(current),
            Ok(None) => false,
            // What is damaged is of no use to anybody.
            Err(error) => error.kind == ErrorKind::Corrupt,
        };
        if gone {
            self.objects
                .delete(&[NEXT_KEY.to_owned()], deadline)
                .await?;
        }
        self.prune(current, deadline).await
    }

    /// Removes all but the newest complete generations; `current` always stays.
    async fn prune(&self, current: &str, deadline: &Deadline) -> Result<(), Error> {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for object in self.objects.list(PREFIX, deadline).await? {
            let rest = object
                .key
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split_once('/'));
            if let Some((generation, _)) = rest {
                keys.entry(generation.to_owned())
                    .or_default()
                    .push(object.key);
            }
        }
        let complete = |(name, keys): &(&String, &Vec<String>)| keys.contains(&manifest_key(name));
        let mut kept: Vec<&String> = keys
            .iter()
            .filter(complete)
            .map(|(name, _)| name)
            .filter(|n| *n != current)
            .collect();
        kept.sort_by_key(|name| (GenerationOrder::of(name), *name));
        let old = kept.len().saturating_sub(GENERATIONS_KEPT - 1);
        let kept = kept.split_off(old);
        let gone = keys
            .iter()
            .filter(|(name, _)| *name != current && !kept.contains(name));
        let gone: Vec<String> = gone.flat_map(|(_, keys)| keys.iter().cloned()).collect();
        if gone.is_empty() {
            Ok(())
        } else {
            self.objects.delete(&gone, deadline).await
        }
    }
}

fn pointer_to(manifest: &Manifest, deadline: &Deadline) -> Pointer {
    Pointer {
        schema: MANIFEST_SCHEMA,
        generation: manifest.generation.clone(),
        swapped_ms: deadline.clock().now().wall_ms,
    }
}

fn index_key(generation: &str) -> String {
    format!("{PREFIX}{generation}/index.bin")
}

fn manifest_key(generation: &str) -> String {
    format!("{PREFIX}{generation}/manifest.json")
}
