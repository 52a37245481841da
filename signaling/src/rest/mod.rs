//! The REST API under `/api/v1`: pipelines, sessions without a peer, their predictions, workers.
//!
//! | module | what |
//! |---|---|
//! | [`routes`] | which request is which operation |
//! | [`request`] | what a request must be like |
//! | [`sessions`] | start, see and stop a session |
//! | [`params`] | a pipeline's parameters: their schema, and what is wrong with given ones |
//! | [`events`] | predictions as Server-Sent Events |
//! | [`problem`] | what went wrong, as RFC 9457 says it |
//! | [`openapi`] | all of that for programs |

mod events;
mod openapi;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod request;
mod routes;
mod sessions;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Serialize;
use sightline_protocol::rest::PipelineView;
use sightline_protocol::rpc::PipelineInfo;
use warp::http::header::{ALLOW, CACHE_CONTROL};
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::{Reply, Response};

use crate::auth::{Access, Scope};
use crate::session::Bucket;
use crate::{Services, origin};
use problem::Refusal;
use request::Request;
use routes::Operation;

/// Sessions that may be started at once, and each second in the long run.
const STARTS: u32 = 60;
const STARTS_PER_SECOND: u32 = 10;

pub(crate) fn starts() -> Bucket {
    Bucket::new(STARTS, STARTS_PER_SECOND, Instant::now())
}

pub(crate) async fn answer(services: Arc<Services>, request: Request) -> Response {
    perform(&services, request)
        .await
        .unwrap_or_else(|refusal| refusal.into_response())
}

async fn perform(services: &Arc<Services>, request: Request) -> Result<Response, Refusal> {
    if request.method == Method::OPTIONS {
        return preflight(&request.path);
    }
    let (operation, name) = routes::find(&request.method, &request.path)?;
    // The document says nothing of anybody.
    let caller = match operation {
        Operation::Document => Access::Open.caller(None, SystemTime::now())?,
        _ => request.caller.clone()?,
    };
    caller.require(match operation {
        Operation::Start | Operation::Stop => Scope::Publish,
        _ => Scope::View,
    })?;
    let accepted = match operation {
        Operation::Predictions => events::MEDIA_TYPE,
        _ => request::JSON,
    };
    request.must_accept(accepted)?;
    match operation {
        Operation::Pipelines => Ok(fresh_json(&services.launchers.pipelines().await?)),
        Operation::Pipeline => Ok(fresh_json(&describe(services, &name).await?)),
        Operation::Start => sessions::start(services, request, &caller).await,
        Operation::Sessions => {
            services.launchers.ask_drops().await;
            Ok(fresh_json(&services.book.views(&caller)))
        }
        Operation::Session => {
            services.launchers.ask_drops().await;
            Ok(fresh_json(&sessions::view(services, &caller, &name)?))
        }
        Operation::Stop => Ok(fresh_json(&sessions::stop(services, &caller, &name).await?)),
        Operation::Predictions => events::predictions(services, &caller, &name, &request),
        Operation::Workers => Ok(fresh_json(&services.launchers.workers().await?)),
        Operation::Document => Ok(warp::reply::json(&openapi::document()).into_response()),
    }
}

/// A browser asks what a page of another origin may do.
fn preflight(path: &str) -> Result<Response, Refusal> {
    let methods = routes::methods(path)?;
    let mut response = fresh(StatusCode::NO_CONTENT);
    if let Ok(methods) = HeaderValue::try_from(methods) {
        response.headers_mut().extend(origin::preflight(&methods));
        response.headers_mut().insert(ALLOW, methods);
    }
    Ok(response)
}

async fn describe(services: &Services, name: &str) -> Result<PipelineView, Refusal> {
    let info = pipeline(services, name).await?;
    let params_schema = params::schema(&info);
    Ok(PipelineView { info, params_schema })
}

pub(crate) async fn pipeline(services: &Services, name: &str) -> Result<PipelineInfo, Refusal> {
    let pipelines = services.launchers.pipelines().await?.pipelines;
    let known = pipelines.iter().find(|info| info.name == name).cloned();
    known.ok_or_else(|| params::unknown_pipeline(&pipelines, name).into())
}

/// A reply that is true only now.
pub(crate) fn fresh(reply: impl Reply) -> Response {
    warp::reply::with_header(reply, CACHE_CONTROL, "no-store").into_response()
}

fn fresh_json(value: &impl Serialize) -> Response {
    fresh(warp::reply::json(value))
}
