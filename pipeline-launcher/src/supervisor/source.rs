//! A session without a peer: a source that ran and then broke is started again, as the description wants it that it
//! began with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_protocol::rpc::{SessionEvent, SessionPhase, SessionStart};
use sightline_protocol::{ErrorId, Failure};
use tokio::sync::mpsc;

use super::exits::Role;
use super::process::{Exit, Process};
use super::session::Session;
use super::sessions::{Notice, Request};
use super::workers::budget::{Budget, Verdict};
use crate::description::Description;
use crate::metrics;

impl Session<'_> {
    /// Runs it until it ends, is stopped or may not be started again; then says how it ended.
    pub(super) async fn keep_running(
        &self,
        mut process: Process,
        requests: &mut mpsc::Receiver<Request>,
        request: &SessionStart,
        description: Arc<Description>,
    ) -> SessionEvent {
        let mut budget = Budget::new(description.restart);
        let mut has_run = false;
        loop {
            let started = Instant::now();
            let mut ended = self.look_after(process, requests).await;
            has_run |= self.gave_frames();
            // One that never gave a frame has a wrong address: its client wants to know at once.
            if !has_run {
                if let Some(Exit::Failed { .. }) = ended.exit {
                    ended.reason = ended.reason.map(with_advice);
                }
                return ended;
            }
            let by_itself = ended
                .reason
                .as_ref()
                .is_some_and(|reason| reason.id == ErrorId::SessionEnded);
            let in_order = match ended.state {
                SessionPhase::Failed => false,
                _ if by_itself => true,
                // Stopped.
                _ => return ended,
            };
            let Verdict::RestartAfter(pause) = budget.after(in_order, started, Instant::now()) else {
                return ended;
            };
            tracing::warn!(session = self.id, reason = ?ended.reason, ?pause, "the source is started again");
            self.tell_of_restart(&ended);
            metrics::restarted(Role::Session, ended.exit.unwrap_or(Exit::Unknown));
            let again = self.start_again(pause, requests, request, Arc::clone(&description));
            process = match again.await {
                Ok(process) => process,
                Err(Some(stopped)) => return stopped,
                Err(None) => return ended,
            };
        }
    }

    /// The next process after the pause. An error is the session's end: by request, or as the last process ended.
    async fn start_again(
        &self,
        pause: Duration,
        requests: &mut mpsc::Receiver<Request>,
        request: &SessionStart,
        description: Arc<Description>,
    ) -> Result<Process, Option<SessionEvent>> {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            let asked = tokio::select! {
                () = &mut over => break,
                Some(asked) = requests.recv() => asked,
            };
            // Answers and candidates have no place here.
            let Request::Stop { reason, done } = asked else {
                continue;
            };
            // Whoever waited may have gone.
            let _unheard = done.send(());
            return Err(Some(SessionEvent {
                session: self.id.to_owned(),
                state: SessionPhase::Ended,
                reason,
                exit: None,
                progress: None,
            }));
        }
        match self.sessions.start_process(request, description).await {
            Ok(started) => {
                let process = started.process;
                self.sessions.note(self.id, |info| info.pid = process.pid());
                Ok(process)
            }
            Err(failure) => {
                tracing::warn!(session = self.id, %failure, "the source does not start again");
                Err(None)
            }
        }
    }

    /// True if a frame came through its process.
    fn gave_frames(&self) -> bool {
        let mut frames = 0;
        self.sessions.note(self.id, |info| {
            frames = info.progress.as_ref().map_or(0, |progress| progress.frames);
        });
        frames > 0
    }

    fn tell_of_restart(&self, ended: &SessionEvent) {
        self.sessions.note(self.id, |info| {
            info.state = SessionPhase::Starting;
            info.progress = None;
        });
        let event = SessionEvent {
            state: SessionPhase::Starting,
            ..ended.clone()
        };
        self.sessions.tell(self.reply_to, Notice::Event(event));
    }
}

fn with_advice(reason: Failure) -> Failure {
    match reason.id {
        ErrorId::SessionFailed => Failure::new(
            reason.id,
            format!(
                "{}; is the address right, and does it answer with a video?",
                reason.message
            ),
        ),
        _ => reason,
    }
}
