//! One session that runs: its requests go to its process, its process's reports to its owner.

use sightline_protocol::rpc::{SessionEvent, SessionPhase, SessionProgress};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::{mpsc, oneshot};

use super::exits::Role;
use super::process::{Ending, Exit, Next, Process};
use super::sessions::{Request, Sessions};
use super::tally;
use crate::control::{Command, Progress, Report};

pub(super) struct Session<'a> {
    pub(super) id: &'a str,
    pub(super) reply_to: &'a str,
    pub(super) sessions: &'a Sessions,
}

/// Whoever waits until the peer's answer is taken or refused.
type Answering = Option<oneshot::Sender<Result<(), Failure>>>;

impl Session<'_> {
    /// Serves the session until its process is gone; then says how it ended.
    pub(super) async fn look_after(
        &self,
        mut process: Process,
        requests: &mut mpsc::Receiver<Request>,
    ) -> SessionEvent {
        let mut answering: Answering = None;
        loop {
            tokio::select! {
                Some(request) = requests.recv() => {
                    let command = match request {
                        Request::Answer { sdp, done } => {
                            answering = Some(done);
                            Command::Answer { sdp }
                        }
                        Request::Candidate(candidate) => Command::Candidate(candidate),
                        Request::Stop { reason, done } => {
                            let exit = process.stop().await;
                            // Whoever waited may have gone.
                            let _unheard = done.send(());
                            return self.ended(SessionPhase::Ended, exit, reason);
                        }
                    };
                    if let Err(error) = process.send(&command).await {
                        tracing::debug!(session = self.id, %error, "the process does not listen");
                    }
                }
                next = process.next() => match next {
                    Next::Report(report) => self.take(report, process.memory(), &mut answering),
                    Next::Over(ending) => return self.over(ending),
                }
            }
        }
    }

    fn take(&self, report: Report, memory: u64, answering: &mut Answering) {
        match report {
            Report::AnswerTaken => {
                self.set_phase(SessionPhase::Connecting);
                answering.take().map(|done| done.send(Ok(())));
            }
            Report::AnswerRefused(failure) => {
                answering.take().map(|done| done.send(Err(failure)));
            }
            Report::Progress(progress) => self.note(progress, memory),
            report => {
                if report == Report::Running {
                    self.set_phase(SessionPhase::Connected);
                }
                self.sessions.pass_on(self.id, self.reply_to, report);
            }
        }
    }

    fn set_phase(&self, phase: SessionPhase) {
        self.sessions.note(self.id, |info| info.state = phase);
    }

    fn note(&self, progress: Progress, memory_bytes: u64) {
        self.sessions.note_queue(self.id, &progress);
        let progress = SessionProgress {
            frames: progress.frames_out,
            frame_rate: progress.rate,
            waiting: progress.waiting,
            memory_bytes,
            dropped: tally::drops(&progress),
        };
        self.sessions.note(self.id, |info| info.progress = Some(progress));
    }

    fn over(&self, Ending { exit, reason }: Ending) -> SessionEvent {
        if exit == Exit::Success {
            let by_itself = || Failure::new(ErrorId::SessionEnded, "the stream ended");
            return self.ended(SessionPhase::Ended, exit, Some(reason.unwrap_or_else(by_itself)));
        }
        self.ended(SessionPhase::Failed, exit, reason)
    }

    fn ended(&self, state: SessionPhase, exit: Exit, reason: Option<Failure>) -> SessionEvent {
        self.sessions.workshop.exits.count(Role::Session, exit);
        let mut progress = None;
        self.sessions
            .note(self.id, |info| progress.clone_from(&info.progress));
        SessionEvent {
            session: self.id.to_owned(),
            state,
            reason,
            exit: Some(exit),
            progress,
        }
    }
}
