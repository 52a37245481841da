//! `serve`: the daemon. It takes sessions, keeps workers running, and is known to signaling.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use sightline_inventa::{CallError, Config, Inventa};
use sightline_protocol::inventa::{ServiceName, kind};
use sightline_protocol::keys;
use sightline_protocol::rpc::{Params, PipelineKind, SessionCandidate, info, method};
use sightline_service::bridge;
use sightline_service::redis::Server;
use sightline_service::{host, service_id};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ServeArgs, Workers};
use crate::description::catalogue::Catalogue;
use crate::description::{Replicas, Worker, launch};
use crate::media::Media;
use crate::models::{BUILT_IN, Model, Models};
use crate::registration::{Registration, keep_registered, orchestrator};
use crate::rpc::Rpc;
use crate::sandbox::{self, Rules, Sandbox};
use crate::supervisor::exits::Exits;
use crate::supervisor::load::Monitor;
use crate::supervisor::ports::Ports;
use crate::supervisor::reload::Reloader;
use crate::supervisor::sessions::{Notice, Sessions, Workshop};
use crate::supervisor::spare::Spares;
use crate::supervisor::workers::backlog::Backlog;
use crate::supervisor::workers::{self, Board, Plan};
use crate::{http, metrics, versions};

/// How long one call to signaling may take.
const CALL: Duration = Duration::from_secs(5);
/// So long is signaling told of the last sessions' ends.
const TELL_LAST: Duration = Duration::from_secs(3);
/// How often the owners of sessions are looked for.
const OWNERS_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether there are sessions of v1's signaling.
const V1_OWNERS_EVERY: Duration = Duration::from_millis(500);
/// How long Redis may take to answer.
const REDIS_ANSWER: Duration = Duration::from_secs(2);

/// Runs the daemon until `shutdown`; then all sessions and workers have ended.
pub async fn serve(args: ServeArgs, redis_url: String, shutdown: CancellationToken) -> anyhow::Result<()> {
    metrics::begin();
    let listener = http::listen(&args.http).await?;
    let address = listener
        .local_addr()
        .context("the launcher's port has no address")?;
    let exe = std::env::current_exe()?;
    let reloader = Arc::new(Reloader::open(&args.folders.pipelines, exe.clone()).await?);
    let catalogue = reloader.catalogue();
    let models = Models::new(args.folders.models.clone(), args.folders.model_dir.clone());
    let (models, default) = with_default_model(models, &args.folders.model)?;
    let redis = connect(&redis_url).await?;

    let id = service_id(args.id.as_deref())?;
    let name = ServiceName::new(kind::MEDIA_BRIDGE, &id);
    let environment = child_environment(Some(redis_url), args.sharding.shards);
    let rules = args.sandbox.rules(needed(&models, &default, &args.media));
    let spares = Spares::new(exe.clone(), with_rules(&environment, rules.as_ref())?);
    // Workers are started seldom: none waits for its pipeline, and each is bound to its own rules from the start.
    let of_workers = rules.map(|rules| Rules {
        connect: redis.ports(),
        ..rules
    });
    let workers_room = Spares::new(exe, with_rules(&environment, of_workers.as_ref())?);
    versions::report();
    if args.sandbox.sandbox == Sandbox::On {
        sandbox::report();
    }
    let (exits, board) = (Arc::new(Exits::default()), Arc::new(Board::default()));
    let monitor = Arc::new(Monitor::default());
    let (notify, notices) = mpsc::unbounded_channel();
    let workshop = Workshop {
        catalogue: Arc::clone(&catalogue),
        models: models.clone(),
        default_model: default.clone(),
        spares: Arc::clone(&spares),
        ports: Ports::new(args.udp_ports.clone()),
        public_ips: args.public_ip.clone(),
        ice_servers: args.ice.servers()?,
        admission: args.admission.rule(),
        monitor: Arc::clone(&monitor),
        limits: args.limits.of_sessions(),
        max_open_files: args.limits.max_open_files,
        exits: Arc::clone(&exits),
        media: args.media.clone(),
    };
    let sessions = Sessions::new(workshop, notify);

    let rpc = Rpc {
        sessions: Arc::clone(&sessions),
        catalogue: Arc::clone(&catalogue),
    };
    let handler = move |request| {
        let rpc = rpc.clone();
        async move { rpc.handle(request).await }
    };
    // Its own token: while sessions end, signaling can still be told.
    let known = CancellationToken::new();
    let inventa = Inventa::start(Config::new(redis.clone(), name.clone()), handler, known.clone())
        .await
        .context("cannot listen for signaling")?;
    let tasks = TaskTracker::new();
    let background = shutdown.child_token();
    let telling = tokio::spawn(tell(inventa.clone(), notices));
    tasks.spawn(watch_owners(
        inventa.clone(),
        Arc::clone(&sessions),
        background.clone(),
    ));
    tasks.spawn(bridge_for_v1(
        redis.clone(),
        id.clone(),
        Arc::clone(&sessions),
        background.clone(),
    ));
    let told = told_by(&args, address, &sessions, &board, &exits);
    let registration = Registration {
        redis,
        tasks: tasks.clone(),
    };
    let common = Common {
        models: &models,
        default: &default,
        spares: &workers_room,
        registration: &registration,
        exits: &exits,
        board: &board,
    };
    let plans = worker_plans(&args, &catalogue, &common)?;
    let page = http::Page {
        reloader: Arc::clone(&reloader),
        sessions: Arc::clone(&sessions),
        board: Arc::clone(&board),
        inventa: inventa.clone(),
        registered: register(args.admission.max_sessions, &inventa, told, &known, &tasks),
        max_sessions: args.admission.max_sessions,
        backlog: Backlog::new(
            registration.redis.clone(),
            streams_of(&plans, args.sharding.shards),
        )
        .into(),
        cpu: Mutex::default(),
        stopping: shutdown.clone(),
    };
    tasks.spawn(http::serve(page, listener, known.clone()));
    let workers: usize = plans.iter().map(|plan| *plan.replicas.end()).sum();
    start_workers(plans, &id, &tasks, &background);
    tasks.spawn(monitor.watch(Arc::clone(&sessions), board, background.clone()));
    tasks.spawn(Arc::clone(&reloader).watch(background.clone()));
    tokio::spawn(Arc::clone(&spares).refill());
    tracing::info!(
        launcher = %name,
        workers,
        max_sessions = args.admission.max_sessions,
        http = %address,
        "pipeline-launcher ready"
    );

    shutdown.cancelled().await;
    tracing::info!(sessions = sessions.count(), "stopping");
    // Ten seconds are all that there is: 4 for a process that hangs, 3 for a signaling that does.
    tokio::join!(sessions.stop_all(), spares.stop());
    if tokio::time::timeout(TELL_LAST, telling).await.is_err() {
        tracing::warn!("signaling was not told of all ends");
    }
    // One that was being made when the last session began.
    spares.stop().await;
    known.cancel();
    tasks.close();
    tasks.wait().await;
    inventa.stopped().await;
    Ok(())
}

/// The workers' names begin with the launcher's.
fn start_workers(plans: Vec<Plan>, id: &str, tasks: &TaskTracker, until: &CancellationToken) {
    for (place, plan) in plans.into_iter().enumerate() {
        let prefix = match place {
            0 => id.to_owned(),
            _ => format!("{id}-{}", plan.pipeline.name),
        };
        tasks.spawn(workers::run(Arc::new(plan), prefix, until.clone()));
    }
}

/// Registers this launcher; the flag says when signaling knows it.
///
/// One that takes no sessions only tells of itself: v1's signaling knows nothing of capacities, and would choose it.
fn register(
    max_sessions: usize,
    inventa: &Inventa,
    told: impl Fn() -> Vec<(String, String)> + Clone + Send + Sync + 'static,
    known: &CancellationToken,
    tasks: &TaskTracker,
) -> Arc<AtomicBool> {
    let registered = Arc::new(AtomicBool::new(max_sessions == 0));
    if max_sessions == 0 {
        inventa.tell(told);
        return registered;
    }
    let (inventa, known, flag) = (inventa.clone(), known.clone(), Arc::clone(&registered));
    tasks.spawn(async move {
        keep_registered(&inventa, told, &known).await;
        flag.store(true, Ordering::Relaxed);
    });
    registered
}

/// What signaling learns of this launcher with every sign of life.
fn told_by(
    args: &ServeArgs,
    address: SocketAddr,
    sessions: &Arc<Sessions>,
    board: &Arc<Board>,
    exits: &Arc<Exits>,
) -> impl Fn() -> Vec<(String, String)> + Clone + Send + Sync + 'static {
    let (host, max, sessions) = (host(), args.admission.max_sessions, Arc::downgrade(sessions));
    let (board, exits) = (Arc::clone(board), Arc::clone(exits));
    move || {
        let count = sessions.upgrade().map_or(0, |sessions| sessions.count());
        let told = [
            (info::VERSION, env!("CARGO_PKG_VERSION").to_owned()),
            (info::HOST, host.clone()),
            (info::SESSIONS, count.to_string()),
            (info::MAX_SESSIONS, max.to_string()),
            (info::WORKERS, board.running().to_string()),
            (info::WORKER_TROUBLE, board.trouble().unwrap_or_default()),
            (info::EXITS, exits.to_string()),
            (info::HTTP, address.to_string()),
        ];
        told.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// What all workers share.
struct Common<'a> {
    models: &'a Models,
    default: &'a Model,
    spares: &'a Arc<Spares>,
    registration: &'a Registration,
    exits: &'a Arc<Exits>,
    board: &'a Arc<Board>,
}

/// What the workers run: the pipelines that were named, or all of that kind whose files do not say 0.
fn worker_plans(args: &ServeArgs, catalogue: &Catalogue, common: &Common) -> anyhow::Result<Vec<Plan>> {
    if args.workers == Some(Workers::Number(0)) {
        return Ok(Vec::new());
    }
    let all = catalogue.list().pipelines;
    let runs = |name: &str| {
        let found = catalogue.find(name);
        found.is_ok_and(|found| found.worker.replicas != Replicas::Number(0))
    };
    let of_kind = all
        .into_iter()
        .filter(|info| info.kind == PipelineKind::Worker && runs(&info.name));
    let names: Vec<String> = match &args.worker_pipeline[..] {
        [] => of_kind.map(|info| info.name).collect(),
        named => named.to_vec(),
    };
    names
        .iter()
        .map(|name| worker_plan(name, args, catalogue, common))
        .collect()
}

fn worker_plan(name: &str, args: &ServeArgs, catalogue: &Catalogue, common: &Common) -> anyhow::Result<Plan> {
    let description = catalogue.find(name)?;
    if description.kind != PipelineKind::Worker {
        anyhow::bail!("the pipeline `{name}` is not of kind \"worker\"");
    }
    let mut pipeline = description
        .resolve(&Params::new())
        .map_err(|errors| anyhow::anyhow!("{}", errors.join("; ")))?;
    pipeline
        .fill_in_models(common.models, common.default)
        .map_err(anyhow::Error::msg)?;
    let streams = streams(&pipeline.launch, args.sharding.shards);
    Ok(Plan {
        pipeline,
        restart: description.restart,
        replicas: args
            .workers
            .as_ref()
            .map_or_else(|| by_file(description.worker), Workers::replicas),
        model: common.default.name.clone(),
        streams,
        spares: Arc::clone(common.spares),
        registration: common.registration.clone(),
        limits: args.limits.of_workers(),
        max_open_files: args.limits.max_open_files,
        exits: Arc::clone(common.exits),
        board: Arc::clone(common.board),
    })
}

/// The streams that a worker reads; `shards` where its pipeline does not say.
fn streams(launch: &str, shards: u32) -> Vec<String> {
    let elements = launch::elements(launch);
    let Some(source) = elements
        .iter()
        .find(|element| element.factory == "redisstreamsrc")
    else {
        return Vec::new();
    };
    let shards = source
        .property("shards")
        .and_then(|text| text.parse().ok())
        .unwrap_or(shards);
    keys::streams(source.property("stream").unwrap_or(keys::IMAGES), shards)
}

/// All that workers here read; without workers, what those elsewhere read by default.
fn streams_of(plans: &[Plan], shards: u32) -> Vec<String> {
    let read: BTreeSet<String> = plans.iter().flat_map(|plan| plan.streams.clone()).collect();
    if read.is_empty() {
        return keys::streams(keys::IMAGES, shards);
    }
    read.into_iter().collect()
}

/// What pipelines read: models, and what clients may name.
fn needed(models: &Models, default: &Model, media: &Media) -> Vec<PathBuf> {
    let folders = models.folders().iter().cloned();
    folders
        .chain([default.path.clone()])
        .chain(media.folder.clone())
        .collect()
}

fn with_rules(
    environment: &[(String, String)],
    rules: Option<&Rules>,
) -> anyhow::Result<Vec<(String, String)>> {
    let told = rules.map(Rules::variable).transpose()?;
    Ok(environment.iter().cloned().chain(told).collect())
}

/// What the elements of all pipelines are told.
pub fn child_environment(redis_url: Option<String>, shards: u32) -> Vec<(String, String)> {
    let url = redis_url.map(|url| ("REDIS_URL".to_owned(), url));
    let shards = ("SIGHTLINE_SHARDS".to_owned(), shards.to_string());
    url.into_iter().chain([shards]).collect()
}

fn by_file(worker: Worker) -> RangeInclusive<usize> {
    let named_all_the_same = worker.replicas == Replicas::Number(0);
    let worker = if named_all_the_same {
        Worker::default()
    } else {
        worker
    };
    let replicas = worker.range(u32::try_from(Workers::Auto.count()).unwrap_or(u32::MAX));
    *replicas.start() as usize..=*replicas.end() as usize
}

/// The configured model if it is there, else, loudly, the built-in one.
pub fn with_default_model(models: Models, name: &str) -> anyhow::Result<(Models, Model)> {
    match models.find(name) {
        Ok(model) => Ok((models, model)),
        // A file that was named must be there; a known model may be missing on a new machine.
        Err(error) if !models.knows(name) => anyhow::bail!("{error}"),
        Err(error) => {
            let built_in = models.find(BUILT_IN).map_err(anyhow::Error::msg)?;
            tracing::error!("{error}");
            tracing::error!(
                "RUNNING WITH THE BUILT-IN TEST MODEL: it finds only saturated red, green and blue things. \
                 Choose the moving test picture as source in the page to see it work"
            );
            Ok((models, built_in))
        }
    }
}

/// A Redis that answers.
async fn connect(url: &str) -> anyhow::Result<Server> {
    let server = Server::new(url)?;
    if let Err(error) = server.connect(REDIS_ANSWER).await {
        anyhow::bail!("{error}\nSet REDIS_URL, or leave it unset and use `up`, which starts a Redis");
    }
    Ok(server)
}

/// Tells signaling what happens to its sessions, in order.
async fn tell(inventa: Inventa, mut notices: mpsc::UnboundedReceiver<(String, Notice)>) {
    while let Some((reply_to, notice)) = notices.recv().await {
        let Some(service) = ServiceName::parse(&reply_to) else {
            continue;
        };
        let told = match &notice {
            // v1's signaling has an empty id, and knows only the ICE state.
            Notice::Ice { session, new, old } => {
                call(
                    &inventa,
                    &service,
                    method::MB_ICE_CONN_STATE_CHANGE,
                    &[session, new, old],
                )
                .await
            }
            _ if service.id.is_empty() => Ok(()),
            Notice::Event(event) => call_json(&inventa, &service, method::SESSION_EVENT, event).await,
            Notice::Candidate { session, candidate } => {
                let argument = SessionCandidate {
                    session: session.clone(),
                    candidate: candidate.clone(),
                };
                call_json(&inventa, &service, method::SESSION_CANDIDATE, &argument).await
            }
        };
        if let Err(error) = told {
            tracing::debug!(%service, %error, "signaling was not told");
        }
    }
}

async fn call(
    inventa: &Inventa,
    service: &ServiceName,
    method: &str,
    args: &[&str],
) -> Result<(), CallError> {
    inventa.call(service, method, args, CALL).await.map(drop)
}

async fn call_json<T: serde::Serialize>(
    inventa: &Inventa,
    service: &ServiceName,
    method: &str,
    argument: &T,
) -> Result<(), CallError> {
    let argument = serde_json::to_string(argument).unwrap_or_default();
    call(inventa, service, method, &[&argument]).await
}

/// Publishes what v1's workers find while there are sessions of v1's signaling, which does not: else each of their frames
/// would count as lost.
async fn bridge_for_v1(redis: Server, id: String, sessions: Arc<Sessions>, shutdown: CancellationToken) {
    let v1 = orchestrator().to_string();
    let is_needed = || sessions.owners().contains(&v1);
    while !shutdown.is_cancelled() {
        if is_needed() {
            let over = shutdown.child_token();
            let watch = async {
                while is_needed() && !over.is_cancelled() {
                    tokio::time::sleep(V1_OWNERS_EVERY).await;
                }
                over.cancel();
            };
            tokio::join!(bridge::run(redis.clone(), id.clone(), over.clone()), watch);
        }
        shutdown
            .run_until_cancelled(tokio::time::sleep(V1_OWNERS_EVERY))
            .await;
    }
}

/// Ends the sessions of a signaling service that has died: nobody else would.
///
/// A service is dead that was missing twice: once, Redis may only have been restarted.
async fn watch_owners(inventa: Inventa, sessions: Arc<Sessions>, shutdown: CancellationToken) {
    let mut missing = HashSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(OWNERS_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        for owner in sessions.owners() {
            let Some(service) = ServiceName::parse(&owner).filter(|service| !service.id.is_empty()) else {
                continue;
            };
            match inventa.is_alive(&service).await {
                Ok(true) => drop(missing.remove(&owner)),
                Ok(false) if missing.contains(&owner) => sessions.stop_sessions_of(&owner).await,
                Ok(false) => drop(missing.insert(owner)),
                Err(error) => tracing::debug!(%error, "Redis is away"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_reads_what_its_pipeline_and_the_settings_say() {
        let read = |launch: &str| streams(launch, 1).join(" ");
        assert_eq!(read("redisstreamsrc name=src ! fakesink"), "images images:{0}");
        assert_eq!(read("redisstreamsrc shards=0 ! fakesink"), "images");
        assert_eq!(read("redisstreamsrc stream=a,b ! fakesink"), "a a:{0} b b:{0}");
        assert_eq!(read("fakesrc ! redisstreamsink"), "");
    }
}
