//! The workers of one pipeline: as many as are wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Plan;
use super::backlog::Backlog;
use super::keeper::keep_running;
use super::scaling::{Sample, Scaler};

const LOOK: Duration = Duration::from_secs(1);

/// A worker that is wanted; dropped, it is drained.
#[derive(Debug)]
struct Place {
    worker: String,
    _wanted: tokio_util::sync::DropGuard,
}

#[derive(Debug)]
struct Pool {
    plan: Arc<Plan>,
    prefix: String,
    places: Vec<Place>,
    keepers: JoinSet<()>,
}

/// Runs the workers of a plan until `shutdown`; then all have ended. Their names begin with `prefix`.
pub async fn run(plan: Arc<Plan>, prefix: String, shutdown: CancellationToken) {
    let mut scaler = Scaler::new(plan.replicas.clone());
    let adjustable = !plan.streams.is_empty() && plan.replicas.start() < plan.replicas.end();
    let mut backlog = adjustable.then(|| Backlog::new(plan.registration.redis.clone(), plan.streams.clone()));
    let mut pool = Pool {
        plan,
        prefix,
        places: Vec::new(),
        keepers: JoinSet::new(),
    };
    pool.resize(scaler.wanted());
    let mut drops = 0;
    while let Some(backlog) = &mut backlog {
        let pause = shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await;
        if pause.is_none() {
            break;
        }
        let Some(queue) = backlog.look().await else {
            continue;
        };
        let now_dropped = pool.drops();
        let sample = Sample {
            oldest: queue.age,
            // A worker that ended takes its count with it.
            drops: now_dropped.saturating_sub(drops),
        };
        drops = now_dropped;
        scaler.take(sample, Instant::now());
        pool.resize(scaler.wanted());
    }
    shutdown.cancelled().await;
    pool.places.clear();
    pool.keepers.join_all().await;
}

impl Pool {
    fn drops(&self) -> u64 {
        let workers: Vec<_> = self.places.iter().map(|place| place.worker.clone()).collect();
        self.plan.board.drops(&workers)
    }

    fn resize(&mut self, wanted: usize) {
        // Those that were drained.
        while self.keepers.try_join_next().is_some() {}
        if wanted != self.places.len() && !self.places.is_empty() {
            let pipeline = &self.plan.pipeline.name;
            tracing::info!(
                pipeline,
                workers = wanted,
                before = self.places.len(),
                "workers adjusted"
            );
        }
        self.places.truncate(wanted);
        while self.places.len() < wanted {
            self.add();
        }
    }

    fn add(&mut self) {
        let worker = format!("{}-{}", self.prefix, self.places.len());
        let unwanted = CancellationToken::new();
        let plan = Arc::clone(&self.plan);
        let (name, token) = (worker.clone(), unwanted.clone());
        self.keepers
            .spawn(async move { keep_running(&plan, &name, token).await });
        self.places.push(Place {
            worker,
            _wanted: unwanted.drop_guard(),
        });
    }
}
