//! Which launcher takes a session.

use sightline_protocol::inventa::ServiceName;
use sightline_protocol::rpc::{PipelineInfo, PipelineKind};
use sightline_protocol::{ErrorId, Failure};

use crate::session::{DEFAULT_PIPELINE, Placement};

/// In so many seconds a session of a full launcher may have ended; nobody knows.
const A_SESSIONS_END: u32 = 15;

/// What a session wants of its launcher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need<'a> {
    pub(crate) pipeline: &'a str,
    pub(crate) kind: PipelineKind,
    /// It comes with an offer of the client, which v1's bridge cannot answer.
    pub(crate) client_offers: bool,
}

/// What is known of a launcher.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) name: ServiceName,
    /// A media bridge of v1: it tells nothing about itself and has one pipeline, without a name.
    pub(crate) v1: bool,
    pub(crate) sessions: usize,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) pipelines: Vec<PipelineInfo>,
}

impl Launcher {
    /// What to weigh the sessions of a launcher with that does not say how many it can take.
    const ASSUMED_SESSIONS: usize = 16;

    fn is_full(&self) -> bool {
        self.max_sessions.is_some_and(|max| self.sessions >= max)
    }

    fn load(&self) -> f64 {
        let max = self.max_sessions.unwrap_or(Self::ASSUMED_SESSIONS).max(1);
        self.sessions as f64 / max as f64
    }

    /// What this launcher knows of a pipeline: whether it needs a worker, if it has it at all.
    fn needs_worker(&self, need: Need<'_>) -> Option<bool> {
        if self.v1 {
            let able = need.pipeline == DEFAULT_PIPELINE && need.kind == PipelineKind::Session;
            return (able && !need.client_offers).then_some(true);
        }
        self.pipelines
            .iter()
            .find(|info| info.name == need.pipeline && info.kind == need.kind)
            .map(|info| info.needs_worker)
    }
}

/// The least loaded launcher that has the pipeline.
pub(crate) fn choose(
    launchers: &[Launcher],
    need: Need<'_>,
    worker_there: bool,
) -> Result<Placement, Failure> {
    if launchers.is_empty() {
        return Err(no_launcher());
    }
    let able: Vec<(&Launcher, bool)> = launchers
        .iter()
        .filter_map(|launcher| Some((launcher, launcher.needs_worker(need)?)))
        .collect();
    if able.is_empty() {
        return Err(unknown_pipeline(launchers, need));
    }
    if !worker_there && able.iter().all(|(_, needs_worker)| *needs_worker) {
        return Err(no_worker());
    }
    able.iter()
        .filter(|(launcher, needs_worker)| !launcher.is_full() && (worker_there || !needs_worker))
        .min_by(|(a, _), (b, _)| a.load().total_cmp(&b.load()).then_with(|| a.name.cmp(&b.name)))
        .map(|(launcher, _)| Placement {
            launcher: launcher.name.clone(),
            v1: launcher.v1,
        })
        .ok_or_else(|| {
            let words = "every launcher is full; try again later, or raise its number of sessions";
            Failure::new(ErrorId::TooManySessions, words).again_in(A_SESSIONS_END)
        })
}

pub(crate) fn no_launcher() -> Failure {
    Failure::new(
        ErrorId::NoLauncher,
        "no pipeline launcher answers; start `pipeline-launcher serve` with the same Redis",
    )
}

pub(crate) fn no_worker() -> Failure {
    Failure::new(
        ErrorId::NoWorker,
        "no inference worker is registered; set SIGHTLINE_WORKERS to at least 1 on a launcher",
    )
}

pub(crate) fn workers_keep_crashing(reason: String) -> Failure {
    let words = format!("no inference worker runs: workers keep crashing: {reason}");
    Failure::new(ErrorId::NoWorker, words)
}

fn unknown_pipeline(launchers: &[Launcher], need: Need<'_>) -> Failure {
    let wanted = need.pipeline;
    let mut names: Vec<&str> = launchers
        .iter()
        .flat_map(|launcher| &launcher.pipelines)
        .filter(|info| info.kind == need.kind)
        .map(|info| info.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let near = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match near {
        Some((_, name)) => format!("Did you mean `{name}`?"),
        None if names.is_empty() => "The launchers offer no pipeline for sessions.".to_owned(),
        None => format!("There are: {}.", names.join(", ")),
    };
    Failure::new(
        ErrorId::UnknownPipeline,
        format!("No pipeline for sessions is named `{wanted}`. {hint}"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pipeline(name: &str, kind: PipelineKind, needs_worker: bool) -> PipelineInfo {
        PipelineInfo {
            name: name.into(),
            kind,
            summary: String::new(),
            needs_worker,
            watchable: false,
            restarts: false,
            params: BTreeMap::new(),
        }
    }

    fn launcher(id: &str, sessions: usize, max_sessions: usize) -> Launcher {
        Launcher {
            name: ServiceName::new("mb", id),
            v1: false,
            sessions,
            max_sessions: Some(max_sessions),
            pipelines: vec![
                pipeline("webrtc-detect", PipelineKind::Session, true),
                pipeline("webrtc-local", PipelineKind::Session, false),
                pipeline("yolox-worker", PipelineKind::Worker, false),
            ],
        }
    }

    fn v1_bridge(id: &str, sessions: usize) -> Launcher {
        Launcher {
            v1: true,
            max_sessions: None,
            pipelines: vec![],
            ..launcher(id, sessions, 0)
        }
    }

    fn session(pipeline: &str) -> Need<'_> {
        Need {
            pipeline,
            kind: PipelineKind::Session,
            client_offers: false,
        }
    }

    fn chosen(launchers: &[Launcher], pipeline: &str) -> String {
        choose(launchers, session(pipeline), true).unwrap().launcher.id
    }

    #[test]
    fn the_least_loaded_is_chosen_by_its_share() {
        let all = [launcher("a", 2, 4), launcher("b", 3, 10), v1_bridge("c", 6)];
        assert_eq!(chosen(&all, "webrtc-detect"), "b");
        assert_eq!(chosen(&all[..1], "webrtc-detect"), "a");
        let equal = [launcher("y", 0, 4), launcher("x", 0, 4)];
        assert_eq!(chosen(&equal, "webrtc-local"), "x");
    }

    #[test]
    fn a_v1_bridge_takes_the_default_pipeline_only() {
        let bridge = [v1_bridge("old", 0)];
        assert!(choose(&bridge, session("webrtc-detect"), true).unwrap().v1);
        let error = choose(&bridge, session("webrtc-local"), true).unwrap_err();
        assert_eq!(error.id, ErrorId::UnknownPipeline);
        let offering = Need {
            client_offers: true,
            ..session("webrtc-detect")
        };
        assert!(choose(&bridge, offering, true).is_err());
        let both = [v1_bridge("a", 0), launcher("b", 3, 4)];
        assert_eq!(choose(&both, offering, true).unwrap().launcher.id, "b");
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let id = |launchers: &[Launcher], pipeline, worker| {
            choose(launchers, session(pipeline), worker).unwrap_err().id
        };
        assert_eq!(id(&[], "webrtc-detect", true), ErrorId::NoLauncher);
        let full = [launcher("a", 4, 4)];
        assert_eq!(id(&full, "webrtc-detect", true), ErrorId::TooManySessions);
        let free = [launcher("a", 0, 4)];
        assert_eq!(id(&free, "webrtc-detect", false), ErrorId::NoWorker);
        assert!(choose(&free, session("webrtc-local"), false).is_ok());
        // A worker's pipeline is not for clients.
        assert_eq!(id(&free, "yolox-worker", true), ErrorId::UnknownPipeline);
        let error = choose(&free, session("webrtc-detct"), true).unwrap_err();
        assert!(
            error.message.contains("Did you mean `webrtc-detect`?"),
            "{}",
            error.message
        );
        let error = choose(&free, session("zzz"), true).unwrap_err();
        assert!(
            error.message.contains("There are: webrtc-detect, webrtc-local."),
            "{}",
            error.message
        );
    }
}
