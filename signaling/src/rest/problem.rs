//! What went wrong, as a problem document of RFC 9457.

use std::borrow::Cow;

use sightline_protocol::rest::{Flaw, PROBLEM_PREFIX, Problem};
use sightline_protocol::{ErrorId, Failure};
use warp::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::fresh;

pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// When to try again after an overload that does not say it, in seconds.
const RETRY_SECS: u32 = 5;

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The end of the problem's type.
    pub(crate) id: Cow<'static, str>,
    pub(crate) detail: String,
    pub(crate) errors: Vec<Flaw>,
    retry_after_secs: Option<u32>,
    /// The methods that the address takes.
    allow: Option<String>,
    /// What would let the caller in (RFC 6750).
    challenge: bool,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, id: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            id: Cow::Borrowed(id),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_secs: None,
            allow: None,
            challenge: false,
        }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    pub(crate) fn method_not_allowed(allow: String) -> Self {
        let detail = format!("this address takes {allow} only");
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        }
    }

    /// The body can be read, but not done: each thing that is wrong.
    pub(crate) fn flaws(id: ErrorId, errors: Vec<Flaw>) -> Self {
        let words: Vec<_> = errors.iter().map(|flaw| flaw.detail.as_str()).collect();
        let failure = Failure::new(id, words.join("; "));
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            errors,
            ..failure.into()
        }
    }

    pub(crate) fn into_response(self) -> Response {
        let body = Problem {
            kind: format!("{PROBLEM_PREFIX}{}", self.id),
            title: self.status.canonical_reason().unwrap_or("error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let reply = warp::reply::with_status(warp::reply::json(&body), self.status);
        let mut response = fresh(warp::reply::with_header(reply, CONTENT_TYPE, MEDIA_TYPE));
        if let Some(seconds) = self.retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            response.headers_mut().insert(ALLOW, allow);
        }
        if self.challenge {
            let bearer = HeaderValue::from_static("Bearer realm=\"sightline\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (status, retry_after_secs) = status(failure.id);
        Self {
            id: Cow::Borrowed(failure.id.as_str()),
            challenge: failure.id == ErrorId::Unauthenticated,
            retry_after_secs: retry_after_secs.map(|usual| failure.retry_after_secs.unwrap_or(usual)),
            ..Self::new(status, "", failure.message)
        }
    }
}

fn status(id: ErrorId) -> (StatusCode, Option<u32>) {
    match id {
        ErrorId::BadMessage | ErrorId::BadSdp => (StatusCode::BAD_REQUEST, None),
        ErrorId::InvalidParam | ErrorId::UnsupportedMedia => (StatusCode::UNPROCESSABLE_ENTITY, None),
        ErrorId::UnknownPipeline | ErrorId::UnknownSession | ErrorId::UnknownTenant => {
            (StatusCode::NOT_FOUND, None)
        }
        ErrorId::Unauthenticated => (StatusCode::UNAUTHORIZED, None),
        ErrorId::Forbidden => (StatusCode::FORBIDDEN, None),
        ErrorId::SessionEnded => (StatusCode::CONFLICT, None),
        ErrorId::RateLimited => (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        ErrorId::NoLauncher | ErrorId::NoWorker | ErrorId::TooManySessions | ErrorId::ServerStopping => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_SECS))
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_status_and_overload_says_when_to_come_back() {
        for (id, text) in ErrorId::ALL {
            let refusal = Refusal::from(Failure::new(id, "words"));
            assert_eq!(refusal.id, text);
            let overload = matches!(refusal.status.as_u16(), 429 | 503);
            assert_eq!(refusal.retry_after_secs.is_some(), overload, "{text}");
        }
        let response = Refusal::from(Failure::new(ErrorId::TooManySessions, "full")).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        let full = Failure::new(ErrorId::TooManySessions, "full").again_in(15);
        let response = Refusal::from(full).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "15");
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
        let response = Refusal::method_not_allowed("GET, HEAD".into()).into_response();
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
    }
}
