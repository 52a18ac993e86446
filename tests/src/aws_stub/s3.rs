//! Whole objects by bucket and key.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;

use super::answer;
use super::{Call, Request};

/// Keys a listing names.
const LISTED_MAX: usize = 1_000;

/// Objects by path: bucket, `/`, key.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: BTreeMap<String, Bytes>,
}

impl Objects {
    pub(super) fn perform(&mut self, request: &Request) -> Response {
        let path = decoded(request.uri.path().trim_start_matches('/'));
        match request.call {
            Call::PutObject => {
                self.objects.insert(path, content(request));
                answer::with(StatusCode::OK, "application/xml", Body::empty())
            }
            Call::GetObject => match self.objects.get(&path) {
                Some(bytes) => answer::with(
                    StatusCode::OK,
                    "application/octet-stream",
                    Body::from(bytes.clone()),
                ),
                None => {
                    let missing = (StatusCode::NOT_FOUND, "NoSuchKey");
                    answer::error(request.call, missing, "the key does not exist")
                }
            },
            Call::ListObjects => self.list(path.trim_end_matches('/'), request),
            _ => {
                self.delete(path.trim_end_matches('/'), &request.body);
                answer::xml(StatusCode::OK, "<DeleteResult/>")
            }
        }
    }

    fn list(&self, bucket: &str, request: &Request) -> Response {
        let parameter = |name: &str| {
            let pairs = request.uri.query().unwrap_or_default().split('&');
            let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| decoded(value))
        };
        let prefix = format!("{bucket}/{}", parameter("prefix").unwrap_or_default());
        let after = parameter("continuation-token").map(|key| format!("{bucket}/{key}"));
        let mut matching = self
            .objects
            .iter()
            .filter(|(path, _)| path.starts_with(&prefix))
            .filter(|(path, _)| after.as_ref().is_none_or(|after| *path > after))
            .filter_map(|(path, bytes)| {
                let key = path.strip_prefix(bucket)?.strip_prefix('/')?;
                Some((key, bytes.len()))
            });
        let page: Vec<(&str, usize)> = matching.by_ref().take(LISTED_MAX).collect();
        let more = matching.next().is_some();
        let contents: String = page
            .iter()
            .map(|(key, size)| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"))
            .collect();
        let next = match page.last() {
            Some((key, _)) if more => {
                format!("<NextContinuationToken>{key}</NextContinuationToken>")
            }
            _ => String::new(),
        };
        answer::xml(
            StatusCode::OK,
            &format!(
                "<ListBucketResult><IsTruncated>{more}</IsTruncated>{next}{contents}\
                 </ListBucketResult>"
            ),
        )
    }

    fn delete(&mut self, bucket: &str, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        for part in text.split("<Key>").skip(1) {
            if let Some((key, _)) = part.split_once("</Key>") {
                self.objects.remove(&format!("{bucket}/{key}"));
            }
        }
    }
}

/// The object in a request: its body, or what its chunks carry when it was sent with a trailer.
fn content(request: &Request) -> Bytes {
    let encoding = request
        .headers
        .get("content-encoding")
        .and_then(|value| value.to_str().ok());
    if !encoding.is_some_and(|encoding| encoding.contains("aws-chunked")) {
        return request.body.clone();
    }
    let mut rest: &[u8] = &request.body;
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, chunk) = (rest.get(..end), rest.get(end + 2..));
        let size = line.and_then(|line| std::str::from_utf8(line).ok());
        let size = size.and_then(|line| line.split(';').next());
        let size = size
            .and_then(|hex| usize::from_str_radix(hex, 16).ok())
            .unwrap_or(0);
        let Some(bytes) = chunk
            .and_then(|chunk| chunk.get(..size))
            .filter(|_| size > 0)
        else {
            break;
        };
        whole.extend_from_slice(bytes);
        // Behind each chunk stands another line end.
        rest = rest.get(end + 2 + size + 2..).unwrap_or_default();
    }
    whole.into()
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex
            .filter(|_| *first == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
