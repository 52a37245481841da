use serde_json::{Value, json};

use std::time::SystemTime;

use sightline_ice::{IceServers, Secret};
use sightline_protocol::inventa::ServiceName;

use super::*;
use crate::auth::token::{MAX_LIFE, Verifier, mint};
use crate::auth::{Access, Scope};

const SECOND: Duration = Duration::from_secs(1);

/// A client and a launcher that do what the test says, at the time that it says.
struct Scene {
    session: Session,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let access = Access::Open;
        let caller = access.caller(None, SystemTime::UNIX_EPOCH).ok();
        Self::with(access, caller)
    }

    fn with(access: Access, caller: Option<Caller>) -> Self {
        Self::with_clock(access, caller, || SystemTime::UNIX_EPOCH)
    }

    fn with_clock(access: Access, caller: Option<Caller>, wall_clock: fn() -> SystemTime) -> Self {
        let settings = Arc::new(Settings {
            reply_to: "svc:sgn:test".into(),
            ice_servers: IceServers::new(
                &["stun:a:1", "turn:b:2"],
                Some(Secret::new("north")),
                Duration::from_secs(600),
            )
            .unwrap(),
            access,
            wall_clock,
        });
        let now = Instant::now();
        let mut ids = 0;
        let new_id = move || {
            ids += 1;
            format!("s{ids}")
        };
        let (session, greeting) = Session::new(settings, 7, caller, new_id, now);
        assert_eq!(
            sent(&greeting),
            [json!({"type": "Welcome", "data": {"id": 7, "message": "Welcome!"}})]
        );
        Self { session, now }
    }

    /// A session whose offer is on its way to the client.
    fn offered(protocol: u32) -> Self {
        let mut scene = Self::new();
        scene.join(protocol);
        scene.event(placed("s1", placement()));
        scene.event(offer("s1"));
        scene
    }

    /// A session whose answer was taken.
    fn running(protocol: u32) -> Self {
        let mut scene = Self::offered(protocol);
        scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
        scene.event(accepted("s1"));
        scene
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        self.session.handle(event, self.now)
    }

    fn client(&mut self, message: Value) -> Vec<Action> {
        self.event(Event::Message(message.to_string()))
    }

    fn join(&mut self, protocol: u32) -> Vec<Action> {
        let mut join = json!({"type": "Join", "data": {"tenantId": "defaultTenant"}});
        if protocol > 1 {
            join["data"]["protocol"] = protocol.into();
        }
        self.client(join)
    }

    /// Lets time pass as a runtime would: a tick at each deadline, a living client's pong at each ping.
    fn wait(&mut self, duration: Duration) -> Vec<Action> {
        let end = self.now + duration;
        let mut actions = Vec::new();
        while !self.session.is_closed() && self.session.deadline() <= end {
            self.now = self.session.deadline();
            let done = self.event(Event::Tick);
            if done.contains(&Action::Ping) {
                self.event(Event::Heard);
            }
            actions.extend(done);
        }
        self.now = end;
        actions.retain(|action| *action != Action::Ping);
        actions
    }
}

fn placement() -> Placement {
    Placement {
        launcher: ServiceName::new("mb", "a"),
        v1: false,
    }
}

fn placed(session: &str, placement: Placement) -> Event {
    Event::Placed {
        session: session.into(),
        result: Ok(placement),
    }
}

fn offer(session: &str) -> Event {
    Event::Offer {
        session: session.into(),
        placement: placement(),
        result: Ok(r#"{"sdp":"v=0\r\n"}"#.into()),
    }
}

fn accepted(session: &str) -> Event {
    Event::Accepted {
        session: session.into(),
        result: Ok(()),
    }
}

fn phase(session: &str, phase: SessionPhase) -> Event {
    Event::Phase {
        session: session.into(),
        phase,
        reason: None,
    }
}

fn prediction(session: &str, seq: u64) -> Event {
    Event::Prediction {
        header: PredictionHeader {
            participant_id: session.into(),
            timestamp: 90 * seq as u32,
            seq: Some(seq),
            captured: None,
            v1: false,
        },
        entry: json!({"seq": seq.to_string()}),
    }
}

fn candidate(text: &str) -> Value {
    json!({"type": "IceCandidate", "data": {"candidate": text, "sdpMLineIndex": 0}})
}

fn failure(id: ErrorId) -> Failure {
    Failure::new(id, "words")
}

fn stop() -> Action {
    Action::Stop {
        placement: placement(),
        session: "s1".into(),
    }
}

fn shut() -> Action {
    Action::Shut { session: "s1".into() }
}

/// What the client gets, as JSON.
fn sent(actions: &[Action]) -> Vec<Value> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(message) => Some(serde_json::to_value(message).unwrap()),
            _ => None,
        })
        .collect()
}

/// Type and, where there is one, error id or state of what the client gets.
fn kinds(actions: &[Action]) -> Vec<String> {
    let word = |message: &Value| {
        let data = &message["data"];
        let detail = [&data["id"], &data["state"]].into_iter().find_map(Value::as_str);
        let kind = message["type"].as_str().unwrap_or_default().to_owned();
        detail.map_or(kind.clone(), |detail| format!("{kind} {detail}"))
    };
    sent(actions).iter().map(word).collect()
}

#[test]
fn a_v1_client_sees_v1_messages_only() {
    let mut scene = Scene::new();
    let actions = scene.join(1);
    assert_eq!(
        actions,
        [Action::Place {
            session: "s1".into(),
            tenant: "defaultTenant".into(),
            pipeline: DEFAULT_PIPELINE.into(),
            client_offers: false,
        }]
    );
    let actions = scene.event(placed("s1", placement()));
    let [Action::Open { session, .. }, Action::Start { start, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(session, "s1");
    assert_eq!(start.reply_to, "svc:sgn:test");
    assert!(!start.trickle);

    let actions = scene.event(offer("s1"));
    // The data is a string that holds JSON.
    let expected = json!({"type": "SdpOffer", "data": "{\"sdp\":\"v=0\\r\\n\"}"});
    assert_eq!(sent(&actions), [expected]);

    let actions = scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0 answer"}}));
    assert_eq!(
        actions,
        [Action::Accept {
            placement: placement(),
            session: "s1".into(),
            sdp: "v=0 answer".into(),
        }]
    );
    assert!(scene.event(accepted("s1")).is_empty());
    assert!(scene.event(phase("s1", SessionPhase::Connected)).is_empty());
    assert_eq!(
        sent(&scene.event(prediction("s1", 0))),
        [json!({"type": "Prediction", "data": {"seq": "0"}})]
    );
    assert_eq!(scene.event(Event::Gone), [shut(), stop()]);
    assert!(scene.session.is_closed());
}

#[test]
fn a_client_of_protocol_2_is_told_each_state_once() {
    let mut scene = Scene::new();
    scene.client(json!({"type": "Join", "data": {
        "tenantId": "t", "pipeline": "webrtc-local", "params": {"fps": 15}, "protocol": 2}}));
    let actions = scene.event(placed("s1", placement()));
    assert_eq!(
        sent(&actions),
        [json!({"type": "SessionState", "data": {
            "session": "s1", "state": "starting", "ice_servers": [
                {"urls": ["stun:a:1"]},
                {"urls": ["turn:b:2"], "username": "600:s1", "credential": "FERFLYlMKXjHUwTWqZxAlK6Zw5I="}]}})]
    );
    let Some(Action::Start { start, .. }) = actions.last() else {
        panic!("{actions:?}")
    };
    assert!(start.trickle);
    assert_eq!(
        (start.pipeline.as_str(), &start.params["fps"]),
        ("webrtc-local", &json!(15))
    );

    scene.event(offer("s1"));
    scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert_eq!(kinds(&scene.event(accepted("s1"))), ["SessionState connecting"]);
    assert!(scene.event(phase("s1", SessionPhase::Connecting)).is_empty());
    assert_eq!(
        kinds(&scene.event(phase("s1", SessionPhase::Connected))),
        ["SessionState connected"]
    );
    assert!(scene.event(phase("s1", SessionPhase::Connected)).is_empty());
    assert!(scene.event(phase("s1", SessionPhase::Connecting)).is_empty());

    let ended = scene.event(phase("s1", SessionPhase::Ended));
    assert_eq!(kinds(&ended), ["SessionState ended"]);
    // The launcher said so itself: it needs no stop.
    assert_eq!(ended.last(), Some(&shut()));
}

#[test]
fn connected_may_come_before_the_answers_receipt() {
    let mut scene = Scene::offered(2);
    scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    let connected = scene.event(phase("s1", SessionPhase::Connected));
    assert_eq!(kinds(&connected), ["SessionState connected"]);
    assert!(scene.event(accepted("s1")).is_empty());
}

#[test]
fn a_refused_join_leaves_the_connection_open() {
    let refuse = |scene: &mut Scene| {
        scene.event(Event::Placed {
            session: "s1".into(),
            result: Err(failure(ErrorId::UnknownTenant)),
        })
    };
    let mut scene = Scene::new();
    scene.join(1);
    assert_eq!(
        sent(&refuse(&mut scene)),
        [json!({"type": "JoinError", "data": "words"})]
    );
    assert_eq!(scene.join(1).len(), 1, "a second Join is taken");

    let mut scene = Scene::new();
    scene.join(2);
    assert_eq!(kinds(&refuse(&mut scene)), ["JoinError unknown-tenant"]);
}

#[test]
fn a_failed_start_is_told_in_each_protocols_words() {
    for (protocol, expected) in [(1, "JoinError"), (2, "SessionState failed")] {
        let mut scene = Scene::new();
        scene.join(protocol);
        scene.event(placed("s1", placement()));
        let actions = scene.event(Event::Offer {
            session: "s1".into(),
            placement: placement(),
            result: Err(failure(ErrorId::TooManySessions)),
        });
        assert_eq!(kinds(&actions), [expected]);
        assert!(actions.contains(&shut()));
    }
}

#[test]
fn a_session_belongs_to_the_launcher_that_took_it() {
    let mut scene = Scene::new();
    scene.join(2);
    scene.event(placed("s1", placement()));
    let other = Placement {
        launcher: ServiceName::new("mb", "b"),
        v1: false,
    };
    scene.event(Event::Offer {
        session: "s1".into(),
        placement: other.clone(),
        result: Ok(r#"{"sdp":"v=0\r\n"}"#.into()),
    });
    let actions = scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    let accepts = |action: &Action| matches!(action, Action::Accept { placement, .. } if *placement == other);
    assert!(actions.iter().any(accepts), "{actions:?}");
}

#[test]
fn a_lost_launcher_ends_its_sessions() {
    for (protocol, expected) in [(1, "Error"), (2, "SessionState failed")] {
        let mut scene = Scene::running(protocol);
        let actions = scene.event(Event::LauncherLost { session: "s1".into() });
        assert_eq!(kinds(&actions), [expected]);
        let words = sent(&actions)[0].to_string();
        assert!(words.contains("`svc:mb:a`"), "names the launcher");
        assert_eq!(words.contains("no-launcher"), protocol == 2, "{words}");
        assert!(!actions.contains(&stop()), "there is nobody to stop it");
        assert!(!scene.session.is_closed());
    }
}

#[test]
fn candidates_wait_for_the_answer() {
    let mut scene = Scene::new();
    assert_eq!(kinds(&scene.client(candidate("candidate:0"))), ["Error"]);
    let mut scene = Scene::offered(2);
    assert!(scene.client(candidate("candidate:1")).is_empty());
    scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert!(scene.client(candidate("candidate:2")).is_empty());
    let handed_on: Vec<_> = scene
        .event(accepted("s1"))
        .into_iter()
        .chain(scene.client(candidate("candidate:3")))
        .filter_map(|action| match action {
            Action::Candidate { candidate, .. } => Some(candidate.candidate),
            _ => None,
        })
        .collect();
    assert_eq!(handed_on, ["candidate:1", "candidate:2", "candidate:3"]);
}

#[test]
fn early_candidates_are_bounded() {
    let mut scene = Scene::offered(2);
    for _ in 0..20 {
        assert!(scene.client(candidate("candidate:x")).is_empty());
    }
    scene.now += 20 * SECOND;
    let answers: Vec<_> = (0..20)
        .flat_map(|_| scene.client(candidate("candidate:y")))
        .collect();
    assert_eq!(kinds(&answers), vec!["Error bad-message"; 8]);
}

#[test]
fn strange_candidates_are_refused() {
    let mut scene = Scene::running(2);
    for text in ["candidate:1\r\na=evil", &"x".repeat(MAX_CANDIDATE_BYTES + 1)] {
        assert_eq!(kinds(&scene.client(candidate(text))), ["Error bad-message"]);
    }
    // The end of candidates.
    assert_eq!(scene.client(candidate("")).len(), 1);
}

#[test]
fn candidates_of_the_launcher_reach_protocol_2_only() {
    let event = || Event::Candidate {
        session: "s1".into(),
        candidate: IceCandidate {
            candidate: "candidate:1".into(),
            sdp_m_line_index: Some(0),
            sdp_mid: None,
        },
    };
    assert_eq!(kinds(&Scene::offered(2).event(event())), ["IceCandidate"]);
    assert!(Scene::offered(1).event(event()).is_empty());

    // Never before the offer.
    let mut scene = Scene::new();
    scene.join(2);
    scene.event(placed("s1", placement()));
    assert!(scene.event(event()).is_empty());
    assert_eq!(kinds(&scene.event(offer("s1"))), ["SdpOffer", "IceCandidate"]);
}

#[test]
fn a_v1_bridge_gets_no_candidates() {
    let mut scene = Scene::new();
    scene.join(2);
    let bridge = Placement {
        v1: true,
        ..placement()
    };
    scene.event(placed("s1", bridge.clone()));
    scene.event(Event::Offer {
        session: "s1".into(),
        placement: bridge,
        result: Ok("{}".into()),
    });
    scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert!(scene.client(candidate("candidate:1")).is_empty());
    assert_eq!(kinds(&scene.event(accepted("s1"))), ["SessionState connecting"]);
    assert!(scene.client(candidate("candidate:2")).is_empty());
}

#[test]
fn wrong_messages_are_answered_and_forgiven() {
    let mut scene = Scene::offered(2);
    let wrong = [
        "",
        "{}",
        "[1]",
        r#"{"type":"Join"}"#,
        r#"{"type":"SdpOfferAnswer","data":{}}"#,
        r#"{"type":"SdpOfferAnswer","data":{"sdp":" "}}"#,
        // There is a session already.
        r#"{"type":"Join","data":{"tenantId":"t"}}"#,
    ];
    for text in wrong {
        let actions = scene.event(Event::Message(text.into()));
        assert_eq!(kinds(&actions), ["Error bad-message"], "{text}");
    }
    assert_eq!(kinds(&scene.event(Event::NotText)), ["Error bad-message"]);
    let unknown = scene.event(Event::Message(r#"{"type":"Dance","data":{}}"#.into()));
    assert!(
        unknown.is_empty(),
        "a message of an unknown type is ignored: {unknown:?}"
    );
    let answer = scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert!(matches!(answer[..], [Action::Accept { .. }]), "{answer:?}");
    let again = scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert_eq!(kinds(&again), ["Error bad-message"]);
}

#[test]
fn a_flood_ends_the_connection() {
    let mut scene = Scene::running(2);
    let mut passed = 0;
    let end = loop {
        let actions = scene.client(json!({"type": "Stats", "data": {"t0": 1.5}}));
        if !matches!(actions[..], [Action::SendClock { t0: 1.5 }]) {
            break actions;
        }
        passed += 1;
    };
    // Two of the thirty were Join and the answer.
    assert_eq!(passed, 28);
    assert_eq!(kinds(&end), ["Error rate-limited"]);
    assert!(end.contains(&stop()));
    assert!(matches!(
        end.last(),
        Some(Action::Close {
            code: close::POLICY,
            ..
        })
    ));
    assert!(scene.session.is_closed());
}

#[test]
fn an_ice_burst_is_no_flood() {
    let mut scene = Scene::running(2);
    for _ in 0..25 {
        assert!(matches!(
            scene.client(candidate("candidate:1"))[..],
            [Action::Candidate { .. }]
        ));
    }
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let too_long = "x".repeat(MAX_MESSAGE_BYTES + 1);
    for event in [Event::TooLong, Event::Message(too_long)] {
        let mut scene = Scene::running(2);
        let actions = scene.event(event);
        assert_eq!(kinds(&actions), ["Error bad-message"]);
        assert!(matches!(
            actions.last(),
            Some(Action::Close {
                code: close::TOO_BIG,
                ..
            })
        ));
    }
}

#[test]
fn stale_and_foreign_predictions_are_dropped() {
    let mut scene = Scene::running(1);
    let delivered: Vec<_> = [0, 2, 1, 2, 3]
        .into_iter()
        .flat_map(|seq| sent(&scene.event(prediction("s1", seq))))
        .map(|message| message["data"]["seq"].clone())
        .collect();
    assert_eq!(delivered, ["0", "2", "3"]);
    assert!(scene.event(prediction("s2", 9)).is_empty());
}

#[test]
fn what_does_not_come_in_time_ends_with_words() {
    // No Join.
    let mut scene = Scene::new();
    let actions = scene.wait(9 * SECOND);
    assert!(actions.is_empty());
    let actions = scene.wait(2 * SECOND);
    assert_eq!(kinds(&actions), ["Error"]);
    assert!(scene.session.is_closed());

    // No offer.
    let mut scene = Scene::new();
    scene.join(2);
    scene.event(placed("s1", placement()));
    let actions = scene.wait(10 * SECOND);
    assert_eq!(kinds(&actions), ["SessionState failed"]);
    assert!(actions.contains(&stop()));
    // The offer that comes after all is not the client's any more.
    assert_eq!(scene.event(offer("s1")), [stop()]);

    // No answer of the client.
    let mut scene = Scene::offered(2);
    assert!(scene.wait(29 * SECOND).is_empty());
    let actions = scene.wait(SECOND);
    assert_eq!(kinds(&actions), ["SessionState failed"]);
    assert!(actions.contains(&stop()));
}

#[test]
fn a_session_that_runs_has_no_end_while_its_client_lives() {
    let mut scene = Scene::running(2);
    assert!(scene.wait(24 * 3600 * SECOND).is_empty());
}

#[test]
fn a_silent_client_is_pinged_and_dropped() {
    let mut scene = Scene::running(2);
    let (mut pings, mut end) = (0, Vec::new());
    let begun = scene.now;
    while !scene.session.is_closed() {
        scene.now = scene.session.deadline();
        end = scene.event(Event::Tick);
        pings += end.iter().filter(|action| **action == Action::Ping).count();
    }
    assert_eq!(scene.now - begun, SILENCE);
    assert_eq!(pings, 2);
    assert_eq!(end[..2], [shut(), stop()]);
}

#[test]
fn the_servers_end_is_told() {
    let mut scene = Scene::running(2);
    let actions = scene.event(Event::Shutdown);
    assert_eq!(
        sent(&actions)[0]["data"]["reason"]["id"],
        json!("server-stopping")
    );
    assert_eq!(kinds(&actions), ["SessionState ended"]);
    assert_eq!(actions[1..3], [shut(), stop()]);
    assert!(matches!(
        actions[3],
        Action::Close {
            code: close::GOING_AWAY,
            ..
        }
    ));
}

#[test]
fn what_belongs_to_an_earlier_session_is_not_mixed_up() {
    let mut scene = Scene::running(2);
    scene.event(phase("s1", SessionPhase::Ended));
    scene.join(2);
    for event in [
        placed("s1", placement()),
        accepted("s1"),
        phase("s1", SessionPhase::Failed),
        Event::LauncherLost { session: "s1".into() },
        prediction("s1", 100),
    ] {
        assert!(scene.event(event).is_empty());
    }
    assert_eq!(
        kinds(&scene.event(placed("s2", placement()))),
        ["SessionState starting"]
    );
}

#[test]
fn a_pipeline_that_starts_for_a_client_that_left_is_stopped() {
    let mut scene = Scene::new();
    scene.join(1);
    scene.event(placed("s1", placement()));
    assert_eq!(scene.event(Event::Gone), [shut(), stop()]);
    assert_eq!(scene.event(offer("s1")), [stop()]);
    assert!(scene.event(Event::Tick).is_empty());
}

/// A client's own offer.
fn client_offer() -> String {
    let fingerprint = ["DA"; 32].join(":");
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
         c=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\na=ice-ufrag:EsAw\r\n\
         a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
         a=rtpmap:96 VP8/90000\r\n"
    )
}

fn join_with(sdp: &str, protocol: u32) -> Value {
    json!({"type": "Join", "data": {"tenantId": "defaultTenant", "protocol": protocol, "sdp": sdp}})
}

#[test]
fn a_client_may_offer_itself() {
    let mut scene = Scene::new();
    let actions = scene.client(join_with(&client_offer(), 2));
    assert!(
        matches!(
            &actions[..],
            [Action::Place {
                client_offers: true,
                ..
            }]
        ),
        "{actions:?}"
    );
    // Browsers trickle at once.
    assert!(scene.client(candidate("candidate:a")).is_empty());
    let actions = scene.event(placed("s1", placement()));
    let Some(Action::Start { start, .. }) = actions.last() else {
        panic!("{actions:?}")
    };
    assert!(
        start.trickle
            && start
                .offer
                .as_ref()
                .is_some_and(|offer| offer.contains("m=video"))
    );
    assert!(scene.client(candidate("candidate:b")).is_empty());
    let early = IceCandidate {
        candidate: "candidate:c".into(),
        sdp_m_line_index: Some(0),
        sdp_mid: None,
    };
    let overtaking = Event::Candidate {
        session: "s1".into(),
        candidate: early,
    };
    assert!(scene.event(overtaking).is_empty());

    let actions = scene.event(offer("s1"));
    assert_eq!(
        kinds(&actions),
        ["SdpAnswer", "IceCandidate", "SessionState connecting"]
    );
    assert_eq!(sent(&actions)[0]["data"], json!({"sdp": "v=0\r\n"}));
    let handed_on: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Candidate { candidate, .. } => Some(candidate.candidate.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(handed_on, ["candidate:a", "candidate:b"]);
    // There is nothing left to answer, and nothing that is waited for.
    let actions = scene.client(json!({"type": "SdpOfferAnswer", "data": {"sdp": "v=0"}}));
    assert_eq!(kinds(&actions), ["Error bad-message"]);
    assert!(scene.wait(120 * SECOND).is_empty());
    let actions = scene.event(phase("s1", SessionPhase::Connected));
    assert_eq!(kinds(&actions), ["SessionState connected"]);
}

#[test]
fn an_offer_that_cannot_be_taken_starts_nothing() {
    let mut scene = Scene::new();
    for (bad, kind) in [
        (String::new(), "JoinError bad-sdp"),
        ("v=0".into(), "JoinError bad-sdp"),
        (
            client_offer().replace("sendonly", "recvonly"),
            "JoinError unsupported-media",
        ),
    ] {
        let actions = scene.client(join_with(&bad, 2));
        assert_eq!(kinds(&actions), [kind], "{bad}");
        assert_eq!(actions.len(), 1);
    }
    let actions = scene.client(join_with(&client_offer(), 2));
    assert!(matches!(actions[..], [Action::Place { .. }]), "{actions:?}");
}

#[test]
fn a_launcher_that_refuses_an_offer_or_garbles_its_answer_ends_the_session() {
    for (result, kind) in [
        (Err(failure(ErrorId::UnsupportedMedia)), "unsupported-media"),
        (Ok("{}".to_owned()), "internal"),
    ] {
        let mut scene = Scene::new();
        scene.client(join_with(&client_offer(), 2));
        scene.event(placed("s1", placement()));
        let actions = scene.event(Event::Offer {
            session: "s1".into(),
            placement: placement(),
            result,
        });
        assert_eq!(kinds(&actions), ["SessionState failed"]);
        assert_eq!(sent(&actions)[0]["data"]["reason"]["id"], kind);
        assert_eq!(actions[1..], [shut(), stop()]);
    }
}

#[test]
fn an_offer_without_protocol_2_is_not_looked_at() {
    let mut scene = Scene::new();
    let actions = scene.client(join_with("hello", 1));
    assert!(
        matches!(
            actions[..],
            [Action::Place {
                client_offers: false,
                ..
            }]
        ),
        "{actions:?}"
    );
}

const SECRET: &[u8] = b"a secret of tests that is long enough";

/// The scene's clock stands at the beginning of time.
fn token(tenant: &str, scope: Scope) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET);
    let key = (jsonwebtoken::Algorithm::HS256, &key);
    mint(key, "sightline", tenant, scope, MAX_LIFE, SystemTime::UNIX_EPOCH).unwrap()
}

fn guarded() -> Access {
    let key = jsonwebtoken::DecodingKey::from_secret(SECRET);
    Access::Tokens(Arc::new(Verifier::new(
        jsonwebtoken::Algorithm::HS256,
        key,
        "sightline",
    )))
}

fn join(tenant: &str, token: Option<String>) -> Value {
    json!({"type": "Join", "data": {"tenantId": tenant, "token": token, "protocol": 2}})
}

#[test]
fn a_client_without_a_token_is_turned_away() {
    let mut scene = Scene::with(guarded(), None);
    let actions = scene.client(join("a", None));
    assert_eq!(sent(&actions)[0]["data"]["id"], "unauthenticated");
    assert!(matches!(actions[1], Action::Close { code: 1008, .. }));

    // Or says nothing, within three seconds.
    let mut scene = Scene::with(guarded(), None);
    assert!(scene.wait(Duration::from_millis(2900)).is_empty());
    scene.wait(Duration::from_millis(200));
    assert!(scene.session.is_closed());
}

#[test]
fn a_token_opens_its_own_tenant_only() {
    for (tenant, scope, wanted, placed) in [
        ("a", Scope::Publish, "a", Some("a")),
        ("a", Scope::Publish, "", Some("a")),
        ("a", Scope::Publish, "b", None),
        ("a", Scope::View, "a", None),
        ("a", Scope::Admin, "b", Some("b")),
    ] {
        let caller = guarded()
            .caller(Some(&token(tenant, scope)), SystemTime::UNIX_EPOCH)
            .ok();
        for mut scene in [Scene::with(guarded(), None), Scene::with(guarded(), caller)] {
            let shown = scene.session.caller.is_none().then(|| token(tenant, scope));
            let actions = scene.client(join(wanted, shown));
            match (placed, &actions[..]) {
                (Some(expected), [Action::Place { tenant, .. }]) => assert_eq!(**tenant, *expected),
                (None, [Action::Send(_)]) => assert_eq!(sent(&actions)[0]["data"]["id"], "forbidden"),
                _ => panic!("{scope:?} of {tenant} for {wanted}: {actions:?}"),
            }
        }
    }
}

#[test]
fn a_later_session_needs_a_token_that_is_still_good() {
    let token = token("a", Scope::Publish);
    let caller = guarded().caller(Some(&token), SystemTime::UNIX_EPOCH).ok();
    let mut scene = Scene::with_clock(guarded(), caller, || SystemTime::UNIX_EPOCH + 2 * MAX_LIFE);
    let actions = scene.client(join("a", None));
    assert_eq!(sent(&actions)[0]["data"]["id"], "unauthenticated");
    assert!(scene.session.is_closed());
}
