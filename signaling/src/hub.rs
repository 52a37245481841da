//! Which session belongs to which connection, or to which keeper.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::inventa::ServiceName;
use sightline_protocol::rpc::Exit;
use tokio::sync::mpsc;

use crate::book::Book;
use crate::session::Event;

/// Where a connection takes its events from.
pub(crate) type Inbox = mpsc::Sender<Event>;

pub(crate) struct Hub {
    /// Is told of everything that sessions are told.
    book: Arc<Book>,
    sessions: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    inbox: Inbox,
    launcher: ServiceName,
    /// What the loss of its launcher means is its keeper's to say.
    is_source: bool,
}

impl Hub {
    pub(crate) fn new(book: Arc<Book>) -> Self {
        Self {
            book,
            sessions: Mutex::default(),
        }
    }

    pub(crate) fn open(&self, session: String, pipeline: String, launcher: ServiceName, inbox: Inbox) {
        self.book.open(session.clone(), pipeline, launcher.clone());
        self.open_unlisted(session, launcher, inbox);
    }

    /// The same for a source, which may go on with another launcher when its own is lost.
    pub(crate) fn open_source(&self, session: String, pipeline: String, launcher: ServiceName, inbox: Inbox) {
        self.book.open(session.clone(), pipeline, launcher.clone());
        self.insert(session, launcher, inbox, true);
    }

    /// The same for what is no session to the outside: somebody who watches one.
    pub(crate) fn open_unlisted(&self, session: String, launcher: ServiceName, inbox: Inbox) {
        self.insert(session, launcher, inbox, false);
    }

    fn insert(&self, session: String, launcher: ServiceName, inbox: Inbox, is_source: bool) {
        let entry = Entry {
            inbox,
            launcher,
            is_source,
        };
        self.sessions().insert(session, entry);
    }

    /// A session's launcher is another one than was thought.
    pub(crate) fn relocate(&self, session: &str, launcher: ServiceName) {
        if let Some(entry) = self.sessions().get_mut(session) {
            self.book.relocate(session, launcher.clone());
            entry.launcher = launcher;
        }
    }

    pub(crate) fn shut(&self, session: &str) {
        self.sessions().remove(session);
        self.book.close(session);
    }

    /// Gives an event to a session's connection. False if no session here has that id.
    pub(crate) fn deliver(&self, session: &str, event: Event) -> bool {
        let sessions = self.sessions();
        let Some(entry) = sessions.get(session) else {
            return false;
        };
        if !(entry.is_source && event.is_loss()) {
            self.book.note(session, &event);
        }
        // A connection never waits for its client, so a full inbox means that this process is starved: what
        // is newest is lost for this session only.
        if let Err(mpsc::error::TrySendError::Full(_)) = entry.inbox.try_send(event) {
            tracing::warn!(session, "dropped an event: the connection does not keep up");
        }
        true
    }

    /// Writes down how a session's process ended; its connection needs no such detail.
    pub(crate) fn exited(&self, session: &str, exit: Exit) {
        self.book.exited(session, exit);
    }

    /// How many of our sessions run on a launcher.
    pub(crate) fn count(&self, launcher: &ServiceName) -> usize {
        self.sessions()
            .values()
            .filter(|entry| entry.launcher == *launcher)
            .count()
    }

    /// Our sessions that run on a launcher.
    pub(crate) fn of(&self, launcher: &ServiceName) -> Vec<String> {
        let sessions = self.sessions();
        let theirs = sessions.iter().filter(|(_, entry)| entry.launcher == *launcher);
        theirs.map(|(session, _)| session.clone()).collect()
    }

    /// Tells all sessions whose launcher `is_lost`, and gives them with that launcher.
    pub(crate) fn lose(&self, is_lost: impl Fn(&ServiceName) -> bool) -> Vec<(ServiceName, String)> {
        let lost: Vec<(ServiceName, String)> = self
            .sessions()
            .iter()
            .filter(|(_, entry)| is_lost(&entry.launcher))
            .map(|(session, entry)| (entry.launcher.clone(), session.clone()))
            .collect();
        for (_, session) in &lost {
            let event = Event::LauncherLost {
                session: session.clone(),
            };
            self.deliver(session, event);
        }
        lost
    }

    /// True if a session of ours is thought to run there.
    pub(crate) fn runs_on(&self, session: &str, launcher: &ServiceName) -> bool {
        self.sessions()
            .get(session)
            .is_some_and(|entry| entry.launcher == *launcher)
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
