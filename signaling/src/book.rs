//! What is known of each session of this server, for the REST API: its state, its figures, its newest predictions.
//!
//! Sessions of the WebSocket and of REST are all in it. Those that have ended stay for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::inventa::ServiceName;
use sightline_protocol::rest::{SessionState, SessionView, SessionViews};
use sightline_protocol::rpc::{Drops, Exit};
use sightline_protocol::unix_micros;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::auth::Caller;
use crate::hub::About;
use crate::metrics;
use crate::session::Event;

mod record;

use record::Record;
pub(crate) use record::Told;

/// Ended sessions that are kept, and for how long.
const MAX_ENDED: usize = 256;
const KEEP_ENDED_US: u64 = 600 * 1_000_000;
/// News that may wait for one follower; what is older is lost to it, and it is told how much that was.
const MAX_WAITING: usize = 64;

/// A piece of news for a session's followers.
#[derive(Debug, Clone)]
pub(crate) enum News {
    Prediction(Told),
    /// The last one.
    Over,
}

/// What a follower gets: first the past, then the news.
pub(crate) struct Following {
    pub(crate) past: Vec<Told>,
    /// Of a session that is over there is none.
    pub(crate) news: Option<broadcast::Receiver<News>>,
}

#[derive(Default)]
pub(crate) struct Book {
    sessions: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    record: Record,
    tenant: Arc<str>,
    launcher: ServiceName,
    /// None once all is told.
    news: Option<broadcast::Sender<News>>,
}

impl Book {
    /// Takes a session in, which is being started.
    pub(crate) fn open(&self, about: &About, pipeline: String) {
        let now = unix_micros();
        let (news, _) = broadcast::channel(MAX_WAITING);
        let record = Record::new(about, pipeline, now);
        let mut sessions = self.sessions();
        forget_old(&mut sessions, now);
        sessions.insert(
            about.session.clone(),
            Entry {
                record,
                tenant: Arc::clone(&about.tenant),
                launcher: about.launcher.clone(),
                news: Some(news),
            },
        );
    }

    /// A session's launcher is another one than was thought.
    pub(crate) fn relocate(&self, session: &str, launcher: ServiceName) {
        if let Some(entry) = self.sessions().get_mut(session) {
            entry.record.relocate(launcher.to_string());
            entry.launcher = launcher;
        }
    }

    /// What counted a session's frames so far has stopped: the numbers of what follows may be lower.
    pub(crate) fn renew(&self, session: &str) {
        if let Some(entry) = self.sessions().get_mut(session) {
            entry.record.renew();
        }
    }

    /// Forgets a session that was never started.
    pub(crate) fn forget(&self, session: &str) {
        self.sessions().remove(session);
    }

    /// Notes what happens to a session.
    pub(crate) fn note(&self, session: &str, event: &Event) {
        let now = unix_micros();
        let mut sessions = self.sessions();
        let Some(Entry { record, news, .. }) = sessions.get_mut(session) else {
            return;
        };
        match event {
            Event::Phase { phase, reason, .. } => {
                counted(record, |record| record.phase(*phase, reason.clone(), now));
            }
            Event::LauncherLost { .. } => counted(record, |record| record.lost(now)),
            Event::Prediction { header, entry } => {
                let Some(told) = record.prediction(header, entry, now) else {
                    metrics::dropped("late", 1);
                    return;
                };
                if let Some(news) = news {
                    // Nobody may be following.
                    news.send(News::Prediction(told)).ok();
                }
            }
            _ => {}
        }
    }

    /// Notes how a session's process ended, and what it had dropped.
    pub(crate) fn exited(&self, session: &str, exit: Exit, dropped: Drops) {
        if let Some(entry) = self.sessions().get_mut(session) {
            entry.record.exited(exit, dropped);
        }
    }

    /// Notes what a session's process has dropped so far.
    pub(crate) fn dropped(&self, session: &str, dropped: Drops) {
        if let Some(entry) = self.sessions().get_mut(session) {
            entry.record.dropped(dropped);
        }
    }

    /// Somebody asks for the session's end: when it comes, it is no completion.
    pub(crate) fn stopping(&self, session: &str) {
        if let Some(entry) = self.sessions().get_mut(session) {
            entry.record.stopping();
        }
    }

    /// Its launcher has stopped it.
    pub(crate) fn abort(&self, session: &str) {
        if let Some(entry) = self.sessions().get_mut(session) {
            counted(&mut entry.record, |record| record.abort(unix_micros()));
        }
    }

    /// No more will come: followers are told that it is over.
    pub(crate) fn close(&self, session: &str) {
        if let Some(entry) = self.sessions().get_mut(session) {
            counted(&mut entry.record, |record| record.close(unix_micros()));
            if let Some(news) = entry.news.take() {
                news.send(News::Over).ok();
            }
        }
    }

    /// Waits until no more will come of a session.
    pub(crate) async fn ended(&self, session: &str) {
        let news = {
            let sessions = self.sessions();
            let news = sessions.get(session).and_then(|entry| entry.news.as_ref());
            news.map(broadcast::Sender::subscribe)
        };
        let Some(mut news) = news else { return };
        loop {
            match news.recv().await {
                Ok(News::Over) | Err(RecvError::Closed) => return,
                Ok(News::Prediction(_)) | Err(RecvError::Lagged(_)) => {}
            }
        }
    }

    /// A session as its caller may see it: those of other tenants are not there.
    pub(crate) fn view(&self, caller: &Caller, session: &str) -> Option<SessionView> {
        let now = unix_micros();
        let mut sessions = self.sessions();
        forget_old(&mut sessions, now);
        let entry = sessions.get(session)?;
        caller.sees(&entry.tenant).then(|| entry.record.view(now))
    }

    pub(crate) fn is_over(&self, session: &str) -> bool {
        let sessions = self.sessions();
        sessions
            .get(session)
            .is_none_or(|entry| entry.record.state().is_final())
    }

    pub(crate) fn launcher(&self, session: &str) -> Option<ServiceName> {
        self.sessions().get(session).map(|entry| entry.launcher.clone())
    }

    /// All sessions that the caller may see, the newest first.
    pub(crate) fn views(&self, caller: &Caller) -> SessionViews {
        let now = unix_micros();
        let mut known = self.sessions();
        forget_old(&mut known, now);
        let mut sessions: Vec<_> = known
            .values()
            .filter(|entry| caller.sees(&entry.tenant))
            .map(|entry| entry.record.view(now))
            .collect();
        sessions.sort_by(|a, b| b.created_us.cmp(&a.created_us).then_with(|| a.id.cmp(&b.id)));
        SessionViews { sessions }
    }

    /// The session's predictions: of the past those after the one with number `after`, if that is given.
    pub(crate) fn follow(&self, caller: &Caller, session: &str, after: Option<u64>) -> Option<Following> {
        let sessions = self.sessions();
        let entry = sessions.get(session).filter(|entry| caller.sees(&entry.tenant))?;
        Some(Following {
            past: entry.record.past(after),
            news: entry.news.as_ref().map(broadcast::Sender::subscribe),
        })
    }

    /// How many sessions are in that state.
    pub(crate) fn count(&self, state: SessionState) -> usize {
        let sessions = self.sessions();
        sessions
            .values()
            .filter(|entry| entry.record.state() == state)
            .count()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes a record; if that ends the session, the end is counted.
fn counted(record: &mut Record, change: impl FnOnce(&mut Record)) {
    let before = record.state();
    change(record);
    if !before.is_final() && record.state().is_final() {
        metrics::ended(record.state());
    }
}

/// Forgets what ended long ago, and the oldest of what are too many.
fn forget_old(sessions: &mut HashMap<String, Entry>, now: u64) {
    sessions.retain(|_, entry| {
        let ended = entry.record.ended_us();
        entry.news.is_some() || ended.is_none_or(|at| now.saturating_sub(at) < KEEP_ENDED_US)
    });
    let mut ended: Vec<(u64, String)> = sessions
        .iter()
        .filter(|(_, entry)| entry.news.is_none())
        .map(|(id, entry)| (entry.record.ended_us().unwrap_or_default(), id.clone()))
        .collect();
    let surplus = ended.len().saturating_sub(MAX_ENDED);
    ended.sort_unstable();
    for (_, id) in ended.drain(..surplus) {
        sessions.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use sightline_protocol::rpc::SessionPhase;

    use super::*;

    fn open(book: &Book, session: &str) {
        let about = About {
            session: session.into(),
            tenant: "a".into(),
            launcher: ServiceName::new("mb", "a"),
        };
        book.open(&about, "uri-detect".into());
    }

    fn anybody() -> Caller {
        let open = crate::auth::Access::Open;
        open.caller(None, std::time::SystemTime::now()).unwrap()
    }

    fn prediction(session: &str, seq: u64) -> Event {
        let header = sightline_protocol::prediction::PredictionHeader {
            participant_id: session.into(),
            timestamp: 0,
            seq: Some(seq),
            captured: None,
            v1: false,
        };
        Event::Prediction {
            header,
            entry: serde_json::json!({"seq": seq.to_string()}),
        }
    }

    #[test]
    fn followers_get_the_past_and_then_the_news() {
        let book = Book::default();
        open(&book, "a");
        for seq in 0..3 {
            book.note("a", &prediction("a", seq));
        }
        let mut following = book.follow(&anybody(), "a", Some(1)).unwrap();
        let numbers: Vec<_> = following.past.iter().map(|told| told.number).collect();
        assert_eq!(numbers, [2, 3]);
        // An old one is no news.
        book.note("a", &prediction("a", 1));
        book.note("a", &prediction("a", 7));
        book.close("a");
        let news = following.news.as_mut().unwrap();
        assert!(matches!(news.try_recv(), Ok(News::Prediction(told)) if told.number == 4));
        assert!(matches!(news.try_recv(), Ok(News::Over)));
        let late = book.follow(&anybody(), "a", None).unwrap();
        assert!(late.news.is_none() && late.past.is_empty());
        assert!(book.follow(&anybody(), "b", None).is_none());
    }

    #[tokio::test]
    async fn an_end_is_waited_for_however_it_comes() {
        let book = Book::default();
        book.ended("never there").await;
        for leave in [Book::close, Book::forget] {
            open(&book, "a");
            let ended = book.ended("a");
            tokio::pin!(ended);
            assert!(futures_util::FutureExt::now_or_never(&mut ended).is_none());
            leave(&book, "a");
            ended.await;
        }
    }

    #[test]
    fn a_slow_follower_loses_the_oldest_only() {
        let book = Book::default();
        open(&book, "a");
        let mut news = book.follow(&anybody(), "a", None).unwrap().news.unwrap();
        for seq in 0..MAX_WAITING as u64 + 5 {
            book.note("a", &prediction("a", seq));
        }
        assert!(matches!(
            news.try_recv(),
            Err(broadcast::error::TryRecvError::Lagged(5))
        ));
        assert!(matches!(news.try_recv(), Ok(News::Prediction(told)) if told.number == 6));
    }

    #[test]
    fn ended_sessions_are_kept_in_a_bounded_number() {
        let book = Book::default();
        for number in 0..MAX_ENDED + 3 {
            let id = format!("{number:04}");
            open(&book, &id);
            let (session, phase, reason) = (id.clone(), SessionPhase::Ended, None);
            book.note(
                &id,
                &Event::Phase {
                    session,
                    phase,
                    reason,
                },
            );
            book.close(&id);
        }
        open(&book, "live");
        let views = book.views(&anybody()).sessions;
        assert_eq!(views.len(), MAX_ENDED + 1);
        assert_eq!(book.view(&anybody(), "live").unwrap().state, SessionState::Queued);
        assert!(book.view(&anybody(), "0000").is_none());
    }
}
