//! Looks after a session that no connection does: until its end, and a little longer for its last predictions.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::Services;
use crate::session::{Event, Placement};

/// Predictions come on another connection than the word of the end, and so perhaps after it.
const LAST_PREDICTIONS: Duration = Duration::from_millis(250);

pub(super) async fn keep(
    services: Arc<Services>,
    session: String,
    placement: Placement,
    mut events: mpsc::Receiver<Event>,
) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = services.shutdown.cancelled() => {
                if let Err(failure) = services.launchers.stop(&placement, session.clone()).await {
                    tracing::debug!(session, %failure, "not stopped");
                }
                None
            }
        };
        match event {
            Some(Event::Phase { phase, .. }) if !phase.is_final() => {}
            Some(Event::Phase { .. } | Event::LauncherLost { .. }) => {
                tokio::time::sleep(LAST_PREDICTIONS).await;
                break;
            }
            Some(_) => {}
            None => break,
        }
    }
    tracing::info!(session, "session ended");
    shut(&services, &session);
}

/// Hears no more of it.
pub(super) fn shut(services: &Services, session: &str) {
    services.hub.shut(session);
    services.predictions.unsubscribe(session);
}
