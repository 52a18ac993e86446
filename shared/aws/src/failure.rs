//! What the SDK's errors mean to us.

use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use futures_util::future::BoxFuture;
use guard::Deadline;
use store::{Error, ErrorKind};

/// How much of a service's own words an error keeps.
const WORDS_BYTES_MAX: usize = 300;

/// Waits for an SDK call within the deadline and tells its failure in our words. The call's future
/// weighs up to 30 KB and goes to the heap, so that those who wait for it stay small.
pub(crate) fn call<'a, T, E, R>(
    what: &'a str,
    deadline: &'a Deadline,
    call: impl Future<Output = Result<T, SdkError<E, R>>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Error>>
where
    T: Send + 'a,
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    R: Debug + Send + Sync + 'static,
{
    Box::pin(async move {
        match deadline.limit(call).await {
            Err(elapsed) => Err(Error::elapsed(elapsed, what)),
            Ok(answer) => answer.map_err(|error| failure(what, &error)),
        }
    })
}

/// Tells one failure in our words. Keeps the service's code and message, which name resources but
/// never the rows asked for; drops the raw response, which might.
pub(crate) fn failure<E, R>(what: &str, error: &SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: Debug,
{
    let kind = match error {
        SdkError::ConstructionFailure(_) => ErrorKind::Invalid,
        SdkError::TimeoutError(_) => ErrorKind::Timeout,
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => ErrorKind::Timeout,
        SdkError::ServiceError(service) => kind_of(service.err().code().unwrap_or_default()),
        // The connection broke, or an answer came that is none.
        _ => ErrorKind::Unavailable,
    };
    Error::because(kind, what, words(error))
}

/// What a service's error code means.
///
/// A missing table, stream or bucket is a broken deployment, not an absent row; so are missing
/// permissions. Both must count against the dependency.
pub(crate) fn kind_of(code: &str) -> ErrorKind {
    match code {
        "NoSuchKey" | "NotFound" => ErrorKind::NotFound,
        "ThrottlingException"
        | "Throttling"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "LimitExceededException"
        | "KMSThrottlingException"
        | "TooManyRequestsException"
        | "SlowDown"
        | "ServiceUnavailable.SlowDown" => ErrorKind::Throttled,
        "ValidationException"
        | "InvalidArgumentException"
        | "InvalidArgument"
        | "InvalidRequest"
        | "KeyTooLongError"
        | "EntityTooLarge" => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

fn words<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + StdError + 'static,
    R: Debug,
{
    let mut words = String::new();
    if let SdkError::ServiceError(service) = error {
        words.push_str(service.err().code().unwrap_or("unknown"));
        if let Some(message) = service.err().message() {
            let _ = write!(words, ": {message}");
        }
    } else {
        let _ = write!(words, "{error}");
        let mut below = cause(error);
        while let Some(cause) = below {
            let _ = write!(words, ": {cause}");
            below = cause.source();
        }
    }
    let end = words.floor_char_boundary(WORDS_BYTES_MAX);
    words.truncate(end);
    words
}

fn cause<E: StdError + 'static, R: Debug>(
    error: &SdkError<E, R>,
) -> Option<&(dyn StdError + 'static)> {
    match error {
        SdkError::DispatchFailure(dispatch) => dispatch.as_connector_error().map(|e| e as _),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absent_object_is_not_found() {
        for (code, kind) in [
            ("NoSuchKey", ErrorKind::NotFound),
            ("NoSuchBucket", ErrorKind::Unavailable),
            ("ResourceNotFoundException", ErrorKind::Unavailable),
            ("AccessDeniedException", ErrorKind::Unavailable),
            (
                "ProvisionedThroughputExceededException",
                ErrorKind::Throttled,
            ),
            ("SlowDown", ErrorKind::Throttled),
            ("ValidationException", ErrorKind::Invalid),
            ("InternalServerError", ErrorKind::Unavailable),
            ("", ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
