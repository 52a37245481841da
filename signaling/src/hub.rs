//! Which session belongs to which connection, or to which keeper.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sightline_protocol::inventa::ServiceName;
use sightline_protocol::rpc::{Drops, Exit};
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

/// Which session, whose, and where.
pub(crate) struct About {
    pub(crate) session: String,
    pub(crate) tenant: Arc<str>,
    pub(crate) launcher: ServiceName,
}

struct Entry {
    inbox: Inbox,
    tenant: Arc<str>,
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

    pub(crate) fn open(&self, about: About, pipeline: String, inbox: Inbox) {
        self.book.open(&about, pipeline);
        self.open_unlisted(about, inbox);
    }

    /// The same for a source, which may go on with another launcher when its own is lost.
    pub(crate) fn open_source(&self, about: About, pipeline: String, inbox: Inbox) {
        self.book.open(&about, pipeline);
        self.insert(about, inbox, true);
    }

    /// The same for what is no session to the outside: somebody who watches one.
    pub(crate) fn open_unlisted(&self, about: About, inbox: Inbox) {
        self.insert(about, inbox, false);
    }

    fn insert(&self, about: About, inbox: Inbox, is_source: bool) {
        let entry = Entry {
            inbox,
            tenant: about.tenant,
            launcher: about.launcher,
            is_source,
        };
        self.sessions().insert(about.session, entry);
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

    /// Writes down how a session's process ended, and what it had dropped; its connection needs no such detail.
    pub(crate) fn exited(&self, session: &str, exit: Exit, dropped: Drops) {
        self.book.exited(session, exit, dropped);
    }

    /// Writes down what a session's process has dropped so far.
    pub(crate) fn dropped(&self, session: &str, dropped: Drops) {
        self.book.dropped(session, dropped);
    }

    /// Where our sessions run, each launcher once.
    pub(crate) fn launchers(&self) -> HashSet<ServiceName> {
        self.sessions()
            .values()
            .map(|entry| entry.launcher.clone())
            .collect()
    }

    /// How many of our sessions run on a launcher.
    pub(crate) fn count(&self, launcher: &ServiceName) -> usize {
        self.sessions()
            .values()
            .filter(|entry| entry.launcher == *launcher)
            .count()
    }

    /// How many sessions a tenant has now.
    pub(crate) fn count_of(&self, tenant: &str) -> usize {
        let sessions = self.sessions();
        sessions.values().filter(|entry| *entry.tenant == *tenant).count()
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
