//! What the clients of this world send is taken, and made into what webrtcbin takes.

mod common;

use common::{ANSWER, FRAGMENT, OFFERS, OUR_OFFER, check, offer, parse, policy};
use sightline_sdp::{Answer, Direction, Flow, Fragment, Hash, Kind, Offer, Setup};

#[test]
fn every_client_is_taken_and_normalising_again_changes_nothing() {
    for (name, text, flow) in OFFERS {
        let policy = policy(flow);
        let offer = Offer::parse(text, &policy).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        check(offer.text()).unwrap_or_else(|words| panic!("{name}: {words}"));
        let again = Offer::parse(offer.text(), &policy).unwrap();
        assert_eq!(offer.text(), again.text(), "{name}");
        assert_eq!(offer.fingerprints(), again.fingerprints(), "{name}");
        let crlf = Offer::parse(&text.replace('\n', "\r\n"), &policy).unwrap();
        assert_eq!(offer.text(), crlf.text(), "{name}");
    }
}

#[test]
fn a_chromium_offer_is_read() {
    let offer = parse(offer("chromium")).unwrap();
    let [audio, video] = offer.media() else {
        panic!("two sections");
    };
    assert_eq!((audio.kind, audio.mid.as_str()), (Kind::Audio, "0"));
    assert_eq!(
        (video.kind, video.direction, video.refused),
        (Kind::Video, Direction::SendOnly, false)
    );
    let codecs: Vec<_> = video
        .codecs
        .iter()
        .map(|codec| (codec.payload, codec.name.as_str()))
        .collect();
    assert_eq!(codecs, [(96, "VP8"), (103, "H264"), (107, "H264"), (109, "H264")]);
    assert_eq!((offer.ice_ufrag(), offer.setup()), ("Zt5L", Setup::ActPass));
    assert_eq!(offer.fingerprints()[0].hash, Hash::Sha256);
    assert_eq!(offer.fingerprints()[0].bytes.len(), 32);
    assert_eq!((offer.line_of("1"), offer.line_of("2")), (Some(1), None));

    let text = offer.text();
    assert!(
        text.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 107 108 109 114\r\n"),
        "{text}"
    );
    assert!(text.contains("a=fmtp:97 apt=96\r\n"), "{text}");
    assert_eq!(text.matches("a=candidate:").count(), 1, "{text}");
    for gone in [
        "AV1",
        "red",
        "remb",
        "video-orientation",
        "rtp-stream-id",
        ".local",
        "tcptype",
        "a=rtcp:",
        "msid-semantic",
    ] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
}

#[test]
fn what_obs_says_once_for_all_sections_is_said_by_each() {
    let offer = parse(offer("obs")).unwrap();
    let text = offer.text();
    assert_eq!(text.matches("a=setup:actpass\r\n").count(), 2, "{text}");
    assert_eq!(text.matches("a=fingerprint:sha-256 ").count(), 2, "{text}");
    assert_eq!(text.matches("a=group:").count(), 1, "{text}");
    assert!(!text.contains("fe80"), "{text}");
    assert!(text.contains("2001:db8:14::44"), "{text}");
}

#[test]
fn firefox_says_another_ufrag_in_each_section_and_the_first_of_the_bundle_counts() {
    let offer = parse(offer("firefox")).unwrap();
    assert_eq!(offer.ice_ufrag(), "5b0f6f3a");
    assert!(!offer.text().contains("c7d30e91"), "{}", offer.text());
}

#[test]
fn a_bundle_only_section_lives() {
    let offer = parse(offer("simple-whip-client")).unwrap();
    assert!(offer.media().iter().all(|media| !media.refused));
    assert!(offer.text().contains("m=video 9 "), "{}", offer.text());
}

#[test]
fn an_answer_is_read_with_the_offer_that_it_answers() {
    let answer = Answer::parse(ANSWER, OUR_OFFER).unwrap();
    check(answer.text()).unwrap();
    assert_eq!(answer.setup(), Setup::Active);
    assert!(answer.text().contains("198.51.100.23"), "{}", answer.text());
    assert_eq!(
        Answer::parse(answer.text(), OUR_OFFER).unwrap().text(),
        answer.text()
    );

    let without = ANSWER
        .replace("a=mid:video0\n", "")
        .replace("a=group:BUNDLE video0\n", "");
    assert_eq!(
        Answer::parse(&without, OUR_OFFER).unwrap().media()[0].mid,
        "video0"
    );
}

#[test]
fn a_fragment_is_read() {
    let fragment = Fragment::parse(FRAGMENT).unwrap();
    assert_eq!(fragment.candidates.len(), 2, "{fragment:?}");
    assert_eq!(fragment.candidates[1].mid.as_deref(), Some("0"));
    assert_eq!(
        fragment.candidates[1].candidate,
        "candidate:3471623853 1 UDP 2122194687 2001:db8::17 61765 typ host"
    );
    assert!(fragment.end_of_candidates);
    let offer = parse(offer("chromium")).unwrap();
    assert!(!fragment.restarts(offer.ice_ufrag(), offer.ice_pwd()));
    assert!(fragment.restarts("other", offer.ice_pwd()));
}

#[test]
fn each_flow_refuses_the_other_clients() {
    for (name, text, flow) in OFFERS {
        let wrong = if flow == Flow::ClientReceives {
            Flow::ClientSends
        } else {
            Flow::ClientReceives
        };
        if name != "safari" {
            let refusal = Offer::parse(text, &policy(wrong)).unwrap_err();
            assert!(
                refusal.to_string().contains("this pipeline needs"),
                "{name}: {refusal}"
            );
        }
    }
}
