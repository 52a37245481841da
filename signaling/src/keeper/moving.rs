//! A source whose launcher is lost, or stops, goes on with another one: of a camera what comes from then on, a file anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_protocol::rpc::{SessionPhase, SessionStart};
use sightline_protocol::{ErrorId, Failure};

use super::{Wanted, start_at, stop};
use crate::Services;
use crate::session::{Event, Placement};

/// Moves of one source within that time: one that takes its launchers down must not get them all.
const MAX_MOVES: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);

/// When a source was moved.
#[derive(Debug, Default)]
pub(super) struct Moves(VecDeque<Instant>);

impl Moves {
    /// Counts one; false if it is one too many.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        while self.0.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let allowed = self.0.len() < MAX_MOVES;
        if allowed {
            self.0.push_back(now);
        }
        allowed
    }
}

/// Starts it on another launcher, if its pipeline is one that is started again and another launcher takes it.
pub(super) async fn move_on(
    services: &Arc<Services>,
    wanted: &Wanted,
    start: &SessionStart,
    from: &Placement,
) -> Option<Placement> {
    let session = &start.session;
    if !services.launchers.restarts(&start.pipeline).await {
        return None;
    }
    let next = services.launchers.place(wanted.need()).await.ok()?;
    let words = format!(
        "the launcher `{}` that ran this session is gone; another one starts it again",
        from.launcher
    );
    let again = Event::Phase {
        session: session.clone(),
        phase: SessionPhase::Starting,
        reason: Some(Failure::new(ErrorId::NoLauncher, words)),
    };
    services.book.note(session, &again);
    services.hub.relocate(session, next.launcher.clone());
    match start_at(services, wanted.need(), start, next).await {
        // Somebody asked for its end meanwhile, and neither launcher had it.
        Ok((placement, _)) if services.book.is_over(session) => {
            stop(services, session, &placement).await;
            None
        }
        Ok((placement, _)) => {
            tracing::warn!(session, from = %from.launcher, to = %placement.launcher, "moved");
            Some(placement)
        }
        Err(failure) => {
            tracing::warn!(session, from = %from.launcher, %failure, "not moved");
            services.hub.relocate(session, from.launcher.clone());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_bounded_within_a_window() {
        let begun = Instant::now();
        let mut moves = Moves::default();
        assert!((0..MAX_MOVES).all(|_| moves.take(begun)));
        assert!(!moves.take(begun + WINDOW / 2));
        assert!(moves.take(begun + WINDOW));
    }
}
