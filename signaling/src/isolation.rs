//! A hundred thousand random operations of several tenants on all that knows of sessions: no message of one reaches
//! another. (`tests/isolation.rs` does some of them at the real server.)

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use sightline_protocol::inventa::ServiceName;
use sightline_protocol::prediction::PredictionHeader;
use sightline_protocol::rpc::SessionPhase;
use tokio::sync::{broadcast, mpsc};

use crate::auth::token::{MAX_LIFE, Verifier, mint};
use crate::auth::{Access, Caller, Scope};
use crate::book::{Book, News};
use crate::hub::{About, Hub};
use crate::session::Event;

const TENANTS: usize = 4;
const SECRET: &[u8] = b"a secret of tests that is long enough";
/// Runs, and operations in each: a hundred thousand.
const RUNS: u32 = 200;
const LENGTH: usize = 500;

#[derive(Debug, Clone)]
enum Operation {
    Open,
    See(usize),
    List,
    Follow(usize),
    Predict(usize),
    End(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let which = || 0..64_usize;
    prop_oneof![
        2 => Just(Operation::Open),
        6 => which().prop_map(Operation::See),
        1 => Just(Operation::List),
        3 => which().prop_map(Operation::Follow),
        8 => which().prop_map(Operation::Predict),
        1 => which().prop_map(Operation::End),
    ]
}

/// Those who ask: one of each tenant, as their tokens say.
fn callers() -> Vec<Caller> {
    let now = SystemTime::now();
    let (algorithm, key) = (
        jsonwebtoken::Algorithm::HS256,
        jsonwebtoken::EncodingKey::from_secret(SECRET),
    );
    let reading = jsonwebtoken::DecodingKey::from_secret(SECRET);
    let access = Access::Tokens(Arc::new(Verifier::new(algorithm, reading, "a")));
    let caller = |tenant: usize| {
        let key = (algorithm, &key);
        let token = mint(key, "a", &format!("t{tenant}"), Scope::Publish, MAX_LIFE, now).unwrap();
        access.caller(Some(&token), now).unwrap()
    };
    (0..TENANTS).map(caller).collect()
}

/// What a session's connection and followers have got is all its own.
struct World {
    book: Arc<Book>,
    hub: Hub,
    sessions: Vec<(String, usize)>,
    inboxes: HashMap<String, mpsc::Receiver<Event>>,
    followers: Vec<(usize, broadcast::Receiver<News>)>,
    heard: usize,
}

impl World {
    fn new() -> Self {
        let book = Arc::new(Book::default());
        Self {
            hub: Hub::new(Arc::clone(&book)),
            book,
            sessions: Vec::new(),
            inboxes: HashMap::new(),
            followers: Vec::new(),
            heard: 0,
        }
    }

    fn perform(&mut self, number: usize, who: usize, caller: &Caller, operation: &Operation) {
        let any = |which: usize| self.sessions.get(which % self.sessions.len().max(1)).cloned();
        match *operation {
            Operation::Open => {
                let session = format!("s{number}");
                let (inbox, events) = mpsc::channel(256);
                let about = About {
                    session: session.clone(),
                    tenant: Arc::clone(caller.tenant()),
                    launcher: ServiceName::new("mb", "a"),
                };
                self.hub.open(about, "webrtc-detect".into(), inbox);
                self.inboxes.insert(session.clone(), events);
                self.sessions.push((session, who));
            }
            Operation::See(which) => {
                let Some((session, owner)) = any(which) else {
                    return;
                };
                let seen = self.book.view(caller, &session);
                assert_eq!(seen.is_some(), who == owner);
            }
            Operation::List => {
                let seen = self.book.views(caller).sessions;
                assert!(seen.iter().all(|view| view.tenant == format!("t{who}")));
                let own = self.sessions.iter().filter(|(_, owner)| *owner == who);
                assert_eq!(seen.len(), own.count());
            }
            Operation::Follow(which) => {
                let Some((session, owner)) = any(which) else {
                    return;
                };
                let following = self.book.follow(caller, &session, Some(0));
                assert_eq!(following.is_some(), who == owner);
                let news = following.and_then(|following| following.news);
                self.followers.extend(news.map(|news| (who, news)));
            }
            Operation::Predict(which) => {
                let Some((session, owner)) = any(which) else {
                    return;
                };
                self.predict(&session, owner, number as u64);
            }
            Operation::End(which) => {
                let Some((session, _)) = any(which) else { return };
                let ended = Event::Phase {
                    session: session.clone(),
                    phase: SessionPhase::Ended,
                    reason: None,
                };
                self.hub.deliver(&session, ended);
                self.hub.shut(&session);
            }
        }
    }

    fn predict(&self, session: &str, owner: usize, seq: u64) {
        let header = PredictionHeader {
            participant_id: session.to_owned(),
            timestamp: 0,
            seq: Some(seq),
            captured: None,
            v1: false,
        };
        let entry = json!({"participantId": session, "owner": owner});
        self.hub.deliver(session, Event::Prediction { header, entry });
    }

    /// Reads all that has come.
    fn hear(&mut self) {
        for (session, inbox) in &mut self.inboxes {
            while let Ok(event) = inbox.try_recv() {
                if let Event::Prediction { entry, .. } = event {
                    assert_eq!(entry["participantId"], session.as_str());
                }
            }
        }
        for (who, news) in &mut self.followers {
            loop {
                match news.try_recv() {
                    Ok(News::Prediction(told)) => {
                        assert!(told.json.contains(&format!("\"owner\":{who}")), "{}", told.json);
                        self.heard += 1;
                    }
                    Ok(News::Over) | Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                    Err(_) => break,
                }
            }
        }
    }
}

#[test]
fn no_message_of_one_tenant_reaches_another() {
    let callers = callers();
    let config = Config {
        cases: RUNS,
        ..Config::default()
    };
    let operations = prop::collection::vec((0..TENANTS, operation()), LENGTH);
    let heard = std::cell::Cell::new(0);
    let ran = TestRunner::new(config).run(&operations, |operations| {
        let mut world = World::new();
        for (number, (who, operation)) in operations.iter().enumerate() {
            world.perform(number, *who, &callers[*who], operation);
        }
        world.hear();
        heard.set(heard.get() + world.heard);
        Ok(())
    });
    ran.unwrap();
    assert!(heard.get() > 1000, "followers heard {} only", heard.get());
}
