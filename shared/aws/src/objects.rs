//! Whole objects in S3.

use std::path::Path;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::{Bytes, BytesMut};
use guard::Deadline;
use store::{Error, ErrorKind, ObjectMeta, Objects};
use tokio::io::AsyncWriteExt as _;

use crate::failure::call;

/// What one PutObject takes.
const FILE_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// What one DeleteObjects takes.
const DELETE_KEYS_MAX: usize = 1_000;
/// How many objects a listing may name.
const LIST_OBJECTS_MAX: usize = 1_000_000;
/// What a key may be.
const KEY_BYTES_MAX: usize = 512;
/// What a part between slashes may be.
const PART_BYTES_MAX: usize = 255;

const PUT: &str = "put an object";
const GET: &str = "get an object";
const LIST: &str = "list objects";
const DELETE: &str = "delete objects";

/// [`Objects`] over one S3 bucket. S3 replaces an object whole, so readers never see half of one.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
}

impl S3Objects {
    /// The bucket of that name.
    #[must_use]
    pub fn new(client: Client, bucket: &str) -> Self {
        Self {
            client,
            bucket: bucket.to_owned(),
        }
    }

    /// Opens a connection. That the object does not exist is as good an answer as any.
    pub(crate) async fn warm(&self, deadline: &Deadline) -> Result<(), Error> {
        match self.open("index/warm", deadline).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    async fn open(&self, key: &str, deadline: &Deadline) -> Result<GetObjectOutput, Error> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        call(GET, deadline, get.send()).await
    }

    async fn put_body(
        &self,
        key: &str,
        body: ByteStream,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(body);
        call(PUT, deadline, put.send()).await.map(drop)
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn put(&self, key: &str, bytes: Bytes, deadline: &Deadline) -> Result<(), Error> {
        check_key(key, PUT)?;
        self.put_body(key, ByteStream::from(bytes), deadline).await
    }

    async fn put_file(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        check_key(key, PUT)?;
        let meta = tokio::fs::metadata(file)
            .await
            .map_err(|error| local(PUT, error))?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{PUT}: file too large"),
            ));
        }
        let body = ByteStream::from_path(file)
            .await
            .map_err(|error| Error::because(ErrorKind::Unavailable, PUT, error))?;
        self.put_body(key, body, deadline).await
    }

    async fn get(&self, key: &str, bytes_max: u64, deadline: &Deadline) -> Result<Bytes, Error> {
        check_key(key, GET)?;
        let too_large = || Error::new(ErrorKind::Invalid, format!("{GET}: object too large"));
        let mut object = self.open(key, deadline).await?;
        let announced = object
            .content_length
            .and_then(|bytes| u64::try_from(bytes).ok());
        if announced.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large());
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = next_chunk(&mut object.body, deadline).await? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    async fn fetch(&self, key: &str, file: &Path, deadline: &Deadline) -> Result<(), Error> {
        check_key(key, GET)?;
        let mut object = self.open(key, deadline).await?;
        let mut out = tokio::fs::File::create(file)
            .await
            .map_err(|error| local(GET, error))?;
        while let Some(chunk) = next_chunk(&mut object.body, deadline).await? {
            out.write_all(&chunk)
                .await
                .map_err(|error| local(GET, error))?;
        }
        out.flush().await.map_err(|error| local(GET, error))
    }

    async fn list(&self, prefix: &str, deadline: &Deadline) -> Result<Vec<ObjectMeta>, Error> {
        check_prefix(prefix)?;
        let mut objects = Vec::new();
        let mut next: Option<String> = None;
        while objects.len() < LIST_OBJECTS_MAX {
            let list = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .prefix(prefix)
                .set_continuation_token(next.take());
            let page = call(LIST, deadline, list.send()).await?;
            objects.extend(
                page.contents
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|object| {
                        let bytes = u64::try_from(object.size?).ok()?;
                        Some(ObjectMeta {
                            key: object.key?,
                            bytes,
                        })
                    }),
            );
            next = page.next_continuation_token;
            if next.is_none() {
                return Ok(objects);
            }
        }
        Err(Error::new(ErrorKind::Invalid, format!("{LIST}: too many")))
    }

    async fn delete(&self, keys: &[String], deadline: &Deadline) -> Result<(), Error> {
        for keys in keys.chunks(DELETE_KEYS_MAX) {
            let keys = keys
                .iter()
                .map(|key| {
                    check_key(key, DELETE)?;
                    let key = ObjectIdentifier::builder().key(key).build();
                    key.map_err(|error| Error::because(ErrorKind::Invalid, DELETE, error))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let these = Delete::builder()
                .set_objects(Some(keys))
                .quiet(true)
                .build()
                .map_err(|error| Error::because(ErrorKind::Invalid, DELETE, error))?;
            let delete = self
                .client
                .delete_objects()
                .bucket(&self.bucket)
                .delete(these);
            let done = call(DELETE, deadline, delete.send()).await?;
            // The call succeeds although a key was refused.
            if let Some(refused) = done.errors.unwrap_or_default().into_iter().next() {
                let code = refused.code.unwrap_or_default();
                return Err(Error::because(crate::failure::kind_of(&code), DELETE, code));
            }
        }
        Ok(())
    }
}

async fn next_chunk(body: &mut ByteStream, deadline: &Deadline) -> Result<Option<Bytes>, Error> {
    let chunk = deadline.limit(body.next()).await;
    let chunk = chunk.map_err(|elapsed| Error::elapsed(elapsed, GET))?;
    // The body's checksum is compared at its end: a broken one arrives here as an error.
    chunk
        .transpose()
        .map_err(|error| Error::because(ErrorKind::Unavailable, GET, error))
}

fn local(what: &str, error: std::io::Error) -> Error {
    Error::because(ErrorKind::Unavailable, what, error)
}

/// Keys are relative paths of id characters, `.` and `=`, of which no part begins with a dot; S3
/// itself would take anything, a folder would not.
fn check_key(key: &str, what: &str) -> Result<(), Error> {
    let part_fits = |part: &str| (1..=PART_BYTES_MAX).contains(&part.len()) && clean(part);
    if key.len() <= KEY_BYTES_MAX && key.split('/').all(part_fits) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Invalid, format!("{what}: key")))
    }
}

/// The beginning of a key: its last part may be unfinished or not begun.
fn check_prefix(prefix: &str) -> Result<(), Error> {
    let (folders, last) = match prefix.rsplit_once('/') {
        Some((folders, last)) => (Some(folders), last),
        None => (None, prefix),
    };
    folders.map_or(Ok(()), |folders| check_key(folders, LIST))?;
    if clean(last) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Invalid, format!("{LIST}: prefix")))
    }
}

fn clean(part: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.=".contains(&b);
    !part.starts_with('.') && part.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_relative_paths() {
        for (key, fine) in [
            ("lake/events/dt=2026-11-21/hour=07/a-1.parquet", true),
            ("index/current", true),
            ("", false),
            ("/a", false),
            ("a//b", false),
            ("a/../b", false),
            ("a/./b", false),
            (".hidden", false),
            ("a b", false),
            ("ä", false),
        ] {
            assert_eq!(check_key(key, PUT).is_ok(), fine, "{key}");
        }
        assert!(check_key(&"k".repeat(KEY_BYTES_MAX + 1), PUT).is_err());
    }
}
