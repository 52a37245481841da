//! What is refused, in which words, and what is mended.

mod common;

use common::{ANSWER, FRAGMENT, OUR_OFFER, check, offer, parse, policy};
use sightline_protocol::{ErrorId, Failure};
use sightline_sdp::{Answer, Audio, Flow, Fragment, Offer, Refusal};

const SECOND_VIDEO: &str =
    "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:2\na=sendonly\na=rtcp-mux\na=rtpmap:96 VP8/90000\n";

fn edited(client: &str, from: &str, to: &str) -> String {
    let text = offer(client);
    assert!(text.contains(from), "{from} in {client}");
    text.replace(from, to)
}

#[test]
fn offers_that_cannot_be_read_are_malformed() {
    let long = format!("a=x:{}\n", "y".repeat(5000));
    for (client, from, to, words) in [
        ("safari", "v=0", "v=1", "does not start with `v=0`"),
        ("safari", "s=-\n", "", "no `s=` line"),
        ("safari", "o=-", "o=- x", "line 2 is not of the form `o=- 1 1"),
        ("safari", "a=mid:0\n", "a=mid:0 1\n", "`a=mid:0 1` is no token"),
        ("safari", "a=mid:0\n", "a=mid:0\na=mid:1\n", "contradicts line"),
        (
            "chromium",
            "a=mid:1\n",
            "a=mid:0\n",
            "two sections have the mid `0`",
        ),
        ("safari", "a=ice-ufrag:u9Qa", "a=ice-ufrag:u9", "4 to 256"),
        ("safari", "a=ice-pwd:", "a=x:", "stand together"),
        (
            "safari",
            "a=fingerprint:sha-256 ",
            "a=fingerprint:sha-256 0",
            "has 32 pairs",
        ),
        ("safari", "a=fingerprint:", "a=x:", "no `a=fingerprint`"),
        ("safari", "a=setup:actpass", "a=setup:holdconn", "none of actpass"),
        ("safari", "a=setup:actpass\n", "", "no `a=setup`"),
        (
            "safari",
            "a=sendrecv",
            "a=sendonly\na=recvonly",
            "both `a=sendonly` and `a=recvonly`",
        ),
        (
            "safari",
            "a=rtpmap:96 H264/90000",
            "a=rtpmap:96 H264",
            "is not of the form `96 VP8/90000`",
        ),
        (
            "safari",
            "a=rtpmap:98",
            "a=rtpmap:96 VP8/90000\na=rtpmap:98",
            "two `a=rtpmap` that differ",
        ),
        ("safari", " 96 97 98", " 96 300 98", "`300` is no payload type"),
        (
            "safari",
            "m=video 9 ",
            "m=video nine ",
            "is not of the form `m=video",
        ),
        ("safari", "c=IN", "nonsense\nc=IN", "is not of the form `a=…`"),
        ("safari", "a=mid", &long, "4096 are allowed"),
        ("aiortc", "a=sctp-port:5000\n", "", "no `a=sctp-port`"),
        ("aiortc", "a=sctp-port:5000\n", "a=sctp-port:0\n", "is no port"),
    ] {
        let refusal = parse(&edited(client, from, to)).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Malformed(said) if said.contains(words)),
            "{words}: {refusal}"
        );
    }
    let sections = format!("{}{}", offer("safari"), "m=audio 0 RTP/SAVPF 0\n".repeat(16));
    assert!(
        parse(&sections)
            .unwrap_err()
            .to_string()
            .contains("16 media sections")
    );
    let large = format!("{}{}", offer("safari"), "a=x\n".repeat(20_000));
    assert!(
        parse(&large)
            .unwrap_err()
            .to_string()
            .contains("65536 are allowed")
    );
    assert_eq!(Failure::from(parse("").unwrap_err()).id, ErrorId::BadSdp);
}

#[test]
fn offers_of_what_is_not_done_here_are_unprocessable() {
    let sha1 = "a=fingerprint:sha-1 00:11\na=x:";
    for (client, from, to, words) in [
        (
            "safari",
            "a=fingerprint:",
            sha1,
            "fingerprints by `sha-1` are not trusted",
        ),
        (
            "safari",
            "a=sendrecv",
            "a=recvonly",
            "the video section (mid 0) is recvonly",
        ),
        ("safari", "a=sendrecv", "a=inactive", "needs sendonly or sendrecv"),
        ("safari", "a=rtcp-mux\n", "", "no `a=rtcp-mux`"),
        (
            "safari",
            "UDP/TLS/RTP/SAVPF",
            "RTP/AVP",
            "offer it over UDP/TLS/RTP/SAVPF",
        ),
        (
            "safari",
            "m=video 9",
            "m=video 0",
            "(mid 0) is offered with port 0: leave it out",
        ),
        ("safari", "m=video", "m=audio", "no video is offered"),
        ("safari", "m=video", "m=text", "sections of `text` are not taken"),
        (
            "obs",
            "H264/90000",
            "H263/90000",
            "(H263, H265, AV1): offer one of VP8, H264",
        ),
        ("obs", "opus", "speex", "none of the audio codecs of mid 0"),
        ("firefox", "BUNDLE 0 1", "BUNDLE 0", "has a transport of its own"),
        ("aiortc", "webrtc-datachannel", "5000", "offer webrtc-datachannel"),
    ] {
        let refusal = parse(&edited(client, from, to)).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Unprocessable(said) if said.contains(words)),
            "{words}: {refusal}"
        );
        assert_eq!(refusal.id(), ErrorId::UnsupportedMedia);
    }
    let two = format!("{}{SECOND_VIDEO}", offer("chromium"));
    let refusal = parse(&two).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "send one camera; 2 video sections were offered: mids 1, 2"
    );
}

#[test]
fn audio_is_taken_or_refused_as_the_pipeline_says() {
    let refusing = |flow| {
        let mut policy = policy(flow);
        policy.audio = Audio::Refuse;
        policy
    };
    let refusal = Offer::parse(offer("obs"), &refusing(Flow::ClientSends)).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("leave out the audio section (mid 0)"),
        "{refusal}"
    );
    assert!(Offer::parse(offer("safari"), &refusing(Flow::ClientSends)).is_ok());
    assert!(Offer::parse(offer("whep-player"), &refusing(Flow::ClientReceives)).is_ok());
}

#[test]
fn what_can_be_mended_is_mended() {
    for (client, from, to, present) in [
        (
            "chromium",
            "BUNDLE 0 1",
            "BUNDLE 1 nobody 1 0",
            "a=group:BUNDLE 0 1\r\n",
        ),
        (
            "chromium",
            "a=group:BUNDLE",
            "a=group:LS 0 1\na=group:BUNDLE",
            "t=0 0\r\na=group:BUNDLE 0 1\r\n",
        ),
        ("chromium", "a=group:BUNDLE 0 1\n", "", "a=group:BUNDLE 0 1\r\n"),
        ("chromium", "a=mid:0\n", "", "a=mid:0\r\n"),
        (
            "chromium",
            "a=group:BUNDLE 0 1",
            "a=group:BUNDLE",
            "a=group:BUNDLE 0 1\r\n",
        ),
        (
            "safari",
            "a=setup:actpass",
            "a=setup:active",
            "a=setup:active\r\n",
        ),
        ("safari", "a=sendrecv\n", "", "a=sendrecv\r\n"),
        ("safari", " 96 97", " 96 96 72 97", "SAVPF 96 97 98 99\r\n"),
        ("safari", "RTP/SAVPF 96", "RTP/SAVPF 80 96", "SAVPF 96 97"),
    ] {
        let offer = parse(&edited(client, from, to)).unwrap_or_else(|refusal| panic!("{to}: {refusal}"));
        check(offer.text()).unwrap();
        assert!(offer.text().contains(present), "{to}: {}", offer.text());
    }
    let simulcast =
        "a=rid:h send\na=rid:l send\na=simulcast:send h;l\na=ssrc-group:SIM 1 2\na=crypto:1 x\na=mid:0";
    let hidden = "a=x:\0\na=mid:0";
    for added in [simulcast, hidden] {
        let text = parse(&edited("safari", "a=mid:0", added))
            .unwrap()
            .text()
            .to_owned();
        assert_eq!(text, parse(offer("safari")).unwrap().text());
    }
}

#[test]
fn on_one_transport_a_number_has_one_meaning() {
    let refusal = parse(&offer("obs").replace("111", "96")).unwrap_err();
    assert!(
        refusal
            .to_string()
            .contains("payload type 96 is OPUS in one section and H264 in another"),
        "{refusal}"
    );
    let text = edited(
        "chromium",
        "a=extmap:14 urn:ietf:params:rtp-hdrext:toffset",
        "a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid",
    );
    let offer = parse(&text).unwrap();
    assert_eq!(offer.text().matches("sdes:mid").count(), 1, "{}", offer.text());
}

#[test]
fn candidates_are_capped() {
    let many: String = (1..200)
        .map(|port| format!("a=candidate:1 1 udp 1 192.0.2.7 {port} typ host\n"))
        .collect();
    let offer = parse(&format!("{}{many}", offer("safari"))).unwrap();
    assert_eq!(offer.text().matches("a=candidate:").count(), 20);
    let fragment = Fragment::parse(&format!("{FRAGMENT}{many}")).unwrap();
    assert_eq!(fragment.candidates.len(), 20);
}

#[test]
fn answers_that_would_hurt_are_refused() {
    for (from, to, words) in [
        ("v=0", "v=1", "does not start with `v=0`"),
        ("m=video 9", "m=video 0", "every section"),
        (
            "m=video 9",
            "m=audio 9",
            "the answer has the sections [audio]; offered were [video]",
        ),
        (
            "a=mid:video0",
            "a=mid:video1",
            "names a section `video1` that the offer names `video0`",
        ),
        ("a=setup:active", "a=setup:actpass", "an answer says"),
        ("a=sendonly", "a=inactive", "the peer sends no video"),
        ("a=sendonly", "a=recvonly", "the peer sends no video"),
        ("a=fingerprint:", "a=x:", "no `a=fingerprint`"),
        ("90000", "80000", "none of the video codecs"),
    ] {
        let refusal = Answer::parse(&ANSWER.replace(from, to), OUR_OFFER).unwrap_err();
        assert!(refusal.to_string().contains(words), "{refusal}");
    }
    let refusal = Answer::parse(ANSWER, "nonsense").unwrap_err();
    assert!(
        refusal.to_string().contains("the offer that this answers"),
        "{refusal}"
    );
}

#[test]
fn a_part_of_an_offer_may_be_refused() {
    let audio =
        "m=audio 9 UDP/TLS/RTP/SAVPF 100\na=mid:audio1\na=rtcp-mux\na=recvonly\na=rtpmap:100 OPUS/48000/2\n";
    let offer = format!("{OUR_OFFER}{audio}");
    let answer = format!("{ANSWER}{}", audio.replace("audio 9", "audio 0"));
    let answer = Answer::parse(&answer, &offer).unwrap();
    check(answer.text()).unwrap();
    assert!(answer.media()[1].refused && answer.media()[1].codecs.is_empty());
}

#[test]
fn fragments_that_cannot_be_read_are_refused() {
    let large = format!("{FRAGMENT}{}", "a=x\n".repeat(5000));
    let other = format!(
        "{FRAGMENT}m=video 9 RTP/AVP 0\na=mid:1\na=ice-ufrag:abcd\na=ice-pwd:{}\n",
        "p".repeat(22)
    );
    for (text, words) in [
        (FRAGMENT.replace("a=ice-ufrag", "a=x"), "stand together"),
        (FRAGMENT.replace("a=ice-", "a=x-"), "send those of your offer"),
        (FRAGMENT.replace("a=mid:0", "a=mid:"), "is no token"),
        (large, "16384 are allowed"),
        (other, "that differ"),
        (String::new(), "send those of your offer"),
    ] {
        let refusal = Fragment::parse(&text).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Malformed(said) if said.contains(words)),
            "{refusal}"
        );
    }
}

#[test]
fn words_about_a_refusal_are_short_and_printable() {
    let text = format!("v=0\r\no={}\u{1b}[31m\r\n", "\u{202e}".repeat(3000));
    for text in [
        text.as_str(),
        &"\u{1b}".repeat(3000),
        "v=0\ns=-\nt=0 0\no=\u{85}x",
    ] {
        let words = parse(text).unwrap_err().to_string();
        assert!(
            words.len() < 500 && !words.chars().any(char::is_control),
            "{words:?}"
        );
    }
}
