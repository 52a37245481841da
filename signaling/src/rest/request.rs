//! What a request must be like: its media types, the size and pace of its body.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use sightline_protocol::{ErrorId, Failure};
use warp::Buf;
use warp::http::header::{ACCEPT, CONTENT_TYPE};
use warp::http::{HeaderMap, Method, StatusCode};

use super::problem::Refusal;
use crate::auth::Caller;

pub(crate) const JSON: &str = "application/json";
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a client may take over its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pieces of a body as they come; none when it is cut off.
pub(crate) type Body = Pin<Box<dyn Stream<Item = Option<Vec<u8>>> + Send>>;

/// Names and values, decoded; of a name that comes twice the last one.
pub(crate) type Query = BTreeMap<String, String>;

pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Where it comes from.
    pub(crate) client: IpAddr,
    /// The client speaks TLS.
    pub(crate) secure: bool,
    /// Who asks; not every request needs to say it.
    pub(crate) caller: Result<Caller, Failure>,
}

pub(crate) fn body<B: Buf>(pieces: impl Stream<Item = Result<B, warp::Error>> + Send + 'static) -> Body {
    Box::pin(pieces.map(|piece| {
        let mut piece = piece.ok()?;
        let mut bytes = vec![0; piece.remaining()];
        piece.copy_to_slice(&mut bytes);
        Some(bytes)
    }))
}

impl Request {
    pub(super) fn header(&self, name: impl warp::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// 406 unless the client takes this media type.
    pub(super) fn must_accept(&self, media_type: &str) -> Result<(), Refusal> {
        let ranges: Vec<_> = self.headers.get_all(ACCEPT).iter().collect();
        let taken = |range: &warp::http::HeaderValue| {
            range
                .to_str()
                .is_ok_and(|ranges| ranges.split(',').any(|range| covers(range, media_type)))
        };
        if ranges.is_empty() || ranges.into_iter().any(taken) {
            return Ok(());
        }
        let detail = format!("this address answers with {media_type}, which `Accept` does not allow");
        Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail))
    }

    pub(super) async fn json_body(self) -> Result<Vec<u8>, Refusal> {
        self.body_of(JSON, MAX_BODY_BYTES).await
    }

    /// The body, which must be a text of this media type; `id` if it is not UTF-8.
    pub(crate) async fn text(
        self,
        media_type: &str,
        max_bytes: usize,
        id: ErrorId,
    ) -> Result<String, Refusal> {
        let bytes = self.body_of(media_type, max_bytes).await?;
        String::from_utf8(bytes).map_err(|_| Failure::new(id, "the body is not UTF-8 text").into())
    }

    /// The body: 415, 413 or 408 if it is of another type, is too long or does not come.
    async fn body_of(self, media_type: &str, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
        let content_type = self.header(CONTENT_TYPE).unwrap_or_default();
        if !covers(content_type, media_type) || content_type.contains('*') {
            let detail = format!("send the body as `Content-Type: {media_type}`");
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                detail,
            ));
        }
        tokio::time::timeout(BODY_TIMEOUT, collect(self.body, max_bytes))
            .await
            .unwrap_or_else(|_| {
                let detail = format!("the body did not come within {BODY_TIMEOUT:?}");
                Err(Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "request-timeout",
                    detail,
                ))
            })
    }
}

async fn collect(mut body: Body, max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        let Some(piece) = piece else {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "bad-message",
                "the body was cut off",
            ));
        };
        if bytes.len() + piece.len() > max_bytes {
            let detail = format!("the body is longer than {max_bytes} bytes");
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                detail,
            ));
        }
        bytes.extend(piece);
    }
    Ok(bytes)
}

/// True if a media range such as `application/*;q=0.8` contains the media type.
fn covers(range: &str, media_type: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let refused = |part: &str| {
        let weight = part
            .strip_prefix("q=")
            .and_then(|weight| weight.parse::<f32>().ok());
        weight.is_some_and(|weight| weight <= 0.0)
    };
    let whole_type = || media_type.split_once('/').map(|(whole, _)| format!("{whole}/*"));
    let fits = name == media_type || name == "*/*" || Some(name) == whole_type();
    fits && !parts.any(refused)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn media_ranges() {
        for (range, fits) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            (" application/*;q=0.1", true),
            ("*/*", true),
            ("*/*;q=0", false),
            ("application/xml", false),
            ("text/*", false),
            ("", false),
        ] {
            assert_eq!(covers(range, JSON), fits, "{range}");
        }
    }

    #[tokio::test]
    async fn bodies_are_bounded() {
        let pieces = |count: usize| -> Body { Box::pin(stream::iter(vec![Some(vec![0; 1024]); count])) };
        let collect = |body| collect(body, 64 * 1024);
        assert_eq!(collect(pieces(64)).await.unwrap().len(), 64 * 1024);
        assert_eq!(collect(pieces(65)).await.unwrap_err().status, 413);
        let cut: Body = Box::pin(stream::iter([Some(vec![0]), None]));
        assert_eq!(collect(cut).await.unwrap_err().status, 400);
    }
}
