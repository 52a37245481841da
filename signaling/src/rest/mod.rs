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
use std::time::Instant;

use serde::Serialize;
use sightline_protocol::rest::PipelineView;
use sightline_protocol::rpc::PipelineInfo;
use warp::http::header::CACHE_CONTROL;
use warp::reply::{Reply, Response};

use crate::Services;
use crate::session::Bucket;
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
    let (operation, name) = routes::find(&request.method, &request.path)?;
    let accepted = match operation {
        Operation::Predictions => events::MEDIA_TYPE,
        _ => request::JSON,
    };
    request.must_accept(accepted)?;
    match operation {
        Operation::Pipelines => Ok(fresh_json(&services.launchers.pipelines().await?)),
        Operation::Pipeline => Ok(fresh_json(&describe(services, &name).await?)),
        Operation::Start => sessions::start(services, request).await,
        Operation::Sessions => {
            services.launchers.ask_drops().await;
            Ok(fresh_json(&services.book.views()))
        }
        Operation::Session => {
            services.launchers.ask_drops().await;
            Ok(fresh_json(&sessions::view(services, &name)?))
        }
        Operation::Stop => Ok(fresh_json(&sessions::stop(services, &name).await?)),
        Operation::Predictions => events::predictions(services, &name, &request),
        Operation::Workers => Ok(fresh_json(&services.launchers.workers().await?)),
        Operation::Document => Ok(warp::reply::json(&openapi::document()).into_response()),
    }
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
