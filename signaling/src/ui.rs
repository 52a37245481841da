//! The web page.

use std::path::Path;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use warp::http::{HeaderMap, HeaderName, HeaderValue};
use warp::path::FullPath;
use warp::reply::{Reply, Response};

use crate::tls::Tls;

/// Where the build puts files whose names change with their content.
const HASHED: &str = "/assets/";

/// The client for other sites' pages; what it is made of is among the hashed files.
const CLIENT: &str = "/sightline.js";
/// Lets a page that asks for isolation from other sites load them all the same.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const NOT_BUILT: &str = "Sightline's signaling is running, but its web page has not been built.\n\n\
    Build it with\n\n    npm ci --prefix ui && npm run build --prefix ui\n\n\
    and load this page again, or name another folder with SIGHTLINE_UI_DIR.\n";

/// The files in `folder`, and at `/` words of help while it is missing.
pub(crate) fn files(folder: &Path) -> BoxedFilter<(Response,)> {
    if !folder.join("index.html").is_file() {
        tracing::warn!(
            folder = %folder.display(),
            "the web page is not there: build it with `npm ci --prefix ui && npm run build --prefix ui`"
        );
    }
    let files = warp::path::full().and(warp::fs::dir(folder.to_owned())).map(
        |path: FullPath, file: warp::fs::File| {
            let hashed = path.as_str().starts_with(HASHED);
            let cache = if hashed {
                "public, max-age=31536000, immutable"
            } else {
                "no-cache"
            };
            let mut response = warp::reply::with_header(file, CACHE_CONTROL, cache).into_response();
            if hashed || path.as_str() == CLIENT {
                let headers = response.headers_mut();
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
                headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
            }
            response
        },
    );
    let help = warp::path::end().and(warp::get()).map(|| {
        let text = warp::reply::with_header(NOT_BUILT, CONTENT_TYPE, "text/plain; charset=utf-8");
        warp::reply::with_header(text, CACHE_CONTROL, "no-cache").into_response()
    });
    files.or(help).unify().boxed()
}

/// What browsers are told with every answer: the page runs its own code only, in no frame of others', and its address
/// is nobody's business.
pub(crate) fn headers(tls: Option<&Tls>) -> HeaderMap {
    const POLICY: &str = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
        worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; connect-src *; object-src 'none'; \
        base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let mut said = vec![
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ];
    // Of a certificate of its own making a browser takes no such word.
    if tls.is_some_and(Tls::is_from_files) {
        said.push(("strict-transport-security", "max-age=31536000"));
    }
    let pairs = said.into_iter();
    pairs
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}
