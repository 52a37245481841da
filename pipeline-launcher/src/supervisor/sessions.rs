//! The sessions of this launcher: one process for each.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sightline_ice::IceServers;
use sightline_protocol::rpc::{
    IceCandidate, PipelineKind, SessionEvent, SessionInfo, SessionList, SessionPhase, SessionStart,
};
use sightline_protocol::{ErrorId, Failure, is_session_id, unix_micros};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::admission::{self, Admission, Queue};
use super::exits::{Exits, Role};
use super::health::Limits;
use super::load::Monitor;
use super::ports::{Lease, Ports};
use super::process::{Ending, Exit, Next, Process};
use super::session::Session;
use super::spare::Spares;
use super::tally::Purpose;
use crate::control::{Command, Network, Progress, Report, Start};
use crate::description::Description;
use crate::description::catalogue::Catalogue;
use crate::media::Media;
use crate::metrics;
use crate::models::{Model, Models};

/// How long a session may take to make its offer, or its answer to the client's.
const DESCRIBE: Duration = Duration::from_secs(10);
/// How long webrtcbin may take to take an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What a session tells whoever asked for it.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Event(SessionEvent),
    Candidate {
        session: String,
        candidate: IceCandidate,
    },
    /// The ICE state, new and old (v1).
    Ice {
        session: String,
        new: String,
        old: String,
    },
}

/// Takes notices with the address of the one who asked.
pub type Notify = mpsc::UnboundedSender<(String, Notice)>;

/// What sessions are made from.
#[derive(Debug)]
pub struct Workshop {
    pub catalogue: Arc<Catalogue>,
    pub models: Models,
    pub default_model: Model,
    pub spares: Arc<Spares>,
    pub ports: Arc<Ports>,
    pub public_ips: Vec<std::net::IpAddr>,
    pub ice_servers: IceServers,
    pub admission: Admission,
    pub monitor: Arc<Monitor>,
    pub limits: Limits,
    pub max_open_files: u64,
    pub exits: Arc<Exits>,
    pub media: Media,
}

impl Workshop {
    fn lease(&self) -> Result<Lease, Failure> {
        self.ports.lease().ok_or_else(|| {
            metrics::refused_for("ports");
            Failure::new(
                ErrorId::TooManySessions,
                "no UDP port is free: see SIGHTLINE_UDP_PORTS",
            )
            .again_in(admission::A_SESSIONS_END)
        })
    }
}

/// A session's process, and what else its pipeline has.
pub(super) struct Started {
    pub(super) process: Process,
    description: Arc<Description>,
    /// With a peer, its port and our offer or answer.
    lease: Option<Lease>,
    sdp: Option<String>,
}

#[derive(Debug)]
pub struct Sessions {
    pub(super) workshop: Workshop,
    /// None once all sessions have ended.
    notify: Mutex<Option<Notify>>,
    running: Mutex<HashMap<String, Entry>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    reply_to: String,
    /// Requests that come before the process runs wait here.
    requests: mpsc::Sender<Request>,
    queue: Queue,
}

#[derive(Debug)]
pub(super) enum Request {
    Answer {
        sdp: String,
        done: oneshot::Sender<Result<(), Failure>>,
    },
    Candidate(IceCandidate),
    Stop {
        /// What the session's owner is told.
        reason: Option<Failure>,
        done: oneshot::Sender<()>,
    },
}

impl Sessions {
    pub fn new(workshop: Workshop, notify: Notify) -> Arc<Self> {
        Arc::new(Self {
            workshop,
            notify: Mutex::new(Some(notify)),
            running: Mutex::default(),
            tasks: TaskTracker::new(),
        })
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self) -> usize {
        self.running().len()
    }

    pub fn list(&self) -> SessionList {
        SessionList {
            sessions: self.running().values().map(|entry| entry.info.clone()).collect(),
        }
    }

    /// How many frames of each session's process workers have answered.
    pub fn answered(&self) -> BTreeMap<u32, u64> {
        let running = self.running();
        let started = running.values().filter(|entry| entry.info.pid > 0);
        started
            .map(|entry| (entry.info.pid, entry.queue.answered))
            .collect()
    }

    /// Whom the running sessions belong to, each once.
    pub fn owners(&self) -> Vec<String> {
        let mut owners: Vec<_> = self
            .running()
            .values()
            .map(|entry| entry.reply_to.clone())
            .collect();
        owners.sort();
        owners.dedup();
        owners
    }

    /// Starts a session and returns its offer, or its answer to the client's; a source has no peer, and so none.
    pub async fn start(self: &Arc<Self>, request: SessionStart) -> Result<Option<String>, Failure> {
        let session = request.session.clone();
        let mut incoming = self.admit(&request).inspect_err(metrics::refused)?;
        let started = match self.find(&request) {
            Ok(pipeline) => self.start_process(&request, pipeline).await,
            Err(failure) => Err(failure),
        };
        let Started {
            process,
            description,
            lease,
            sdp,
        } = match started {
            Ok(started) => started,
            Err(failure) => {
                self.running().remove(&session);
                metrics::refused(&failure);
                tracing::warn!(session, %failure, "the session did not start");
                return Err(failure);
            }
        };
        if let Some(entry) = self.running().get_mut(&session) {
            entry.info.pid = process.pid();
        }
        tracing::info!(
            session,
            pipeline = request.pipeline,
            pid = process.pid(),
            "session started"
        );
        ::metrics::counter!(metrics::STARTED.name).increment(1);
        let has_peer = sdp.is_some();
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let session = Session {
                id: &session,
                reply_to: &request.reply_to,
                sessions: &this,
            };
            let ended = if has_peer {
                session.look_after(process, &mut incoming).await
            } else {
                session
                    .keep_running(process, &mut incoming, &request, description)
                    .await
            };
            this.running().remove(&ended.session);
            drop(lease);
            tracing::info!(
                session = ended.session,
                state = ?ended.state,
                exit = ended.exit.map(Exit::kind),
                reason = ended.reason.as_ref().map(|reason| &reason.message),
                "session ended"
            );
            this.tell(&request.reply_to, Notice::Event(ended));
        });
        Ok(sdp)
    }

    /// Takes the session in, if there is room.
    fn admit(&self, request: &SessionStart) -> Result<mpsc::Receiver<Request>, Failure> {
        if !is_session_id(&request.session) {
            return Err(Failure::new(
                ErrorId::BadMessage,
                "the session's id is not of the form that ids have",
            ));
        }
        if self.tasks.is_closed() {
            return Err(Failure::new(
                ErrorId::ServerStopping,
                "this launcher is stopping; try again in a moment",
            ));
        }
        let mut running = self.running();
        if running.contains_key(&request.session) {
            let message = format!("there is a session `{}` already", request.session);
            return Err(Failure::new(ErrorId::BadMessage, message));
        }
        let load = self
            .workshop
            .monitor
            .load(running.values().map(|entry| entry.queue));
        self.workshop.admission.admit(&load)?;
        let info = SessionInfo {
            session: request.session.clone(),
            pipeline: request.pipeline.clone(),
            state: SessionPhase::Starting,
            started_us: unix_micros(),
            pid: 0,
            progress: None,
        };
        let (requests, incoming) = mpsc::channel(64);
        running.insert(
            request.session.clone(),
            Entry {
                info,
                reply_to: request.reply_to.clone(),
                requests,
                queue: Queue::default(),
            },
        );
        Ok(incoming)
    }

    /// The pipeline's description as it is now.
    fn find(&self, request: &SessionStart) -> Result<Arc<Description>, Failure> {
        let description = self.workshop.catalogue.find(&request.pipeline)?;
        if description.kind == PipelineKind::Worker {
            let message = format!("the pipeline `{}` is not for sessions", request.pipeline);
            return Err(Failure::new(ErrorId::UnknownPipeline, message));
        }
        Ok(description)
    }

    pub(super) async fn start_process(
        &self,
        request: &SessionStart,
        description: Arc<Description>,
    ) -> Result<Started, Failure> {
        let workshop = &self.workshop;
        let has_peer = description.kind.has_peer();
        let mut pipeline = description
            .resolve(&request.params)
            .and_then(|pipeline| {
                description.check_models(&request.params, &workshop.models)?;
                Ok(pipeline)
            })
            .map_err(|errors| Failure::new(ErrorId::InvalidParam, errors.join("; ")))?;
        workshop.media.check(&description, &mut pipeline)?;
        pipeline
            .fill_in_models(&workshop.models, &workshop.default_model)
            .map_err(|error| Failure::new(ErrorId::SessionFailed, error))?;
        let lease = if has_peer { Some(workshop.lease()?) } else { None };
        let internal = |error: anyhow::Error| Failure::new(ErrorId::Internal, format!("{error:#}"));
        let spare = workshop.spares.take().await;
        let mut process = spare
            .inspect_err(|_| workshop.exits.count(Role::Session, Exit::FailedToSpawn))
            .map_err(internal)?;
        let start = Start {
            pipeline,
            identity: request.session.clone(),
            webrtc: Network {
                udp_port: lease.as_ref().map(|lease| lease.port),
                public_ips: workshop.public_ips.clone(),
                ice_servers: workshop
                    .ice_servers
                    .for_webrtcbin(&request.session, SystemTime::now()),
                trickle: request.trickle,
                silence_secs: request.silence_secs,
            },
            offer: request.offer.clone(),
            max_open_files: Some(workshop.max_open_files),
        };
        process
            .send(&Command::Start(Box::new(start)))
            .await
            .map_err(|error| internal(error.into()))?;
        let limits = Limits {
            silence: description.source.max_silence(),
            ..workshop.limits
        };
        let purpose = Purpose {
            role: Role::Session,
            pipeline: description.name.clone(),
            worker: String::new(),
        };
        process.limit(purpose, limits);
        let started = |process, lease, sdp| Started {
            process,
            description,
            lease,
            sdp,
        };
        if !has_peer {
            return Ok(started(process, lease, None));
        }
        match tokio::time::timeout(DESCRIBE, self.wait_for_description(request, &mut process)).await {
            Ok(Ok(sdp)) => Ok(started(process, lease, Some(sdp))),
            Ok(Err(ending)) => {
                workshop.exits.count(Role::Session, ending.exit);
                let message = "the session's process ended before it gave a description";
                Err(ending
                    .reason
                    .unwrap_or_else(|| Failure::new(ErrorId::SessionFailed, message)))
            }
            Err(_) => {
                workshop.exits.count(Role::Session, Exit::Stalled);
                // Of a host with processors to spare nobody has seen this; another launcher may have some.
                let message = format!(
                    "the session's process gave no description within {DESCRIBE:?}: this host is too busy"
                );
                Err(Failure::new(ErrorId::TooManySessions, message).again_in(admission::A_SESSIONS_END))
            }
        }
    }

    async fn wait_for_description(
        &self,
        request: &SessionStart,
        process: &mut Process,
    ) -> Result<String, Ending> {
        loop {
            match process.next().await {
                Next::Report(Report::Described { sdp }) => return Ok(sdp),
                Next::Report(report) => self.pass_on(&request.session, &request.reply_to, report),
                Next::Over(ending) => return Err(ending),
            }
        }
    }

    /// Writes down what is new of a session.
    pub(super) fn note(&self, session: &str, write: impl FnOnce(&mut SessionInfo)) {
        if let Some(entry) = self.running().get_mut(session) {
            write(&mut entry.info);
        }
    }

    pub(super) fn note_queue(&self, session: &str, progress: &Progress) {
        let longest = self.workshop.admission.max_queue;
        if let Some(entry) = self.running().get_mut(session) {
            entry.queue.take(progress, longest);
        }
    }

    pub(super) fn pass_on(&self, session: &str, reply_to: &str, report: Report) {
        let session = session.to_owned();
        let notice = match report {
            Report::Running => {
                let state = SessionPhase::Connected;
                Notice::Event(SessionEvent {
                    session,
                    state,
                    reason: None,
                    exit: None,
                    progress: None,
                })
            }
            Report::Candidates(candidates) => {
                for candidate in candidates {
                    let session = session.clone();
                    self.tell(reply_to, Notice::Candidate { session, candidate });
                }
                return;
            }
            Report::Ice { new, old } => Notice::Ice { session, new, old },
            _ => return,
        };
        self.tell(reply_to, notice);
    }

    pub(super) fn tell(&self, reply_to: &str, notice: Notice) {
        let notify = self.notify.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = notify
            .as_ref()
            .is_some_and(|notify| notify.send((reply_to.to_owned(), notice)).is_ok());
        if !heard {
            tracing::debug!("nobody takes notices any more");
        }
    }

    fn requests(&self, session: &str) -> Result<mpsc::Sender<Request>, Failure> {
        self.running()
            .get(session)
            .map(|entry| entry.requests.clone())
            .ok_or_else(|| {
                Failure::new(
                    ErrorId::UnknownSession,
                    format!("there is no session `{session}` here"),
                )
            })
    }

    /// Gives the peer's answer to a session.
    pub async fn answer(&self, session: &str, sdp: String) -> Result<(), Failure> {
        let gone = || Failure::new(ErrorId::SessionEnded, "the session has just ended");
        let (done, answered) = oneshot::channel();
        self.requests(session)?
            .send(Request::Answer { sdp, done })
            .await
            .map_err(|_| gone())?;
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Failure::new(
                ErrorId::SessionFailed,
                format!("the answer was not taken within {ANSWER:?}"),
            )),
        }
    }

    pub async fn candidate(&self, session: &str, candidate: IceCandidate) -> Result<(), Failure> {
        let gone = |_| Failure::new(ErrorId::SessionEnded, "the session has just ended");
        self.requests(session)?
            .send(Request::Candidate(candidate))
            .await
            .map_err(gone)
    }

    /// Ends a session and waits until its process is gone.
    pub async fn stop(&self, session: &str, reason: Option<Failure>) -> Result<(), Failure> {
        let (done, stopped) = oneshot::channel();
        if self
            .requests(session)?
            .send(Request::Stop { reason, done })
            .await
            .is_ok()
        {
            // An error means that it ended by itself: as good.
            let _ended = stopped.await;
        }
        Ok(())
    }

    /// Ends every session of an owner that is gone.
    pub async fn stop_sessions_of(&self, owner: &str) {
        let theirs = |entry: &&Entry| entry.reply_to == owner;
        let sessions: Vec<_> = self
            .running()
            .values()
            .filter(theirs)
            .map(|entry| entry.info.session.clone())
            .collect();
        for session in sessions {
            tracing::warn!(session, owner, "the session's owner is gone; it ends");
            if let Err(failure) = self.stop(&session, None).await {
                tracing::debug!(session, %failure, "it had ended");
            }
        }
    }

    /// Takes no more sessions, ends those that run, and returns when the last process is gone and the last notice
    /// is in the channel, which then closes.
    pub async fn stop_all(&self) {
        self.tasks.close();
        let reason = Failure::new(
            ErrorId::ServerStopping,
            "the pipeline launcher is stopping; try again in a moment",
        );
        let sessions: Vec<_> = self.running().keys().cloned().collect();
        let stops = sessions
            .iter()
            .map(|session| self.stop(session, Some(reason.clone())));
        futures_util::future::join_all(stops).await;
        self.tasks.wait().await;
        *self.notify.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
