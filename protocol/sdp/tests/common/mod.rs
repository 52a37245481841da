//! What clients send, and an independent check of what is made of it.
#![allow(dead_code, reason = "each test takes its part")]

use std::collections::HashSet;
use std::net::IpAddr;

use sightline_sdp::{Audio, Flow, Offer, Policy, Refusal};

/// Offers in the shape of real clients, with the flow that each is for.
pub const OFFERS: [(&str, &str, Flow); 8] = [
    (
        "chromium",
        include_str!("../clients/chromium.sdp"),
        Flow::ClientSends,
    ),
    (
        "firefox",
        include_str!("../clients/firefox.sdp"),
        Flow::ClientSends,
    ),
    ("safari", include_str!("../clients/safari.sdp"), Flow::Both),
    ("obs", include_str!("../clients/obs.sdp"), Flow::ClientSends),
    ("aiortc", include_str!("../clients/aiortc.sdp"), Flow::ClientSends),
    (
        "whipclientsink",
        include_str!("../clients/whipclientsink.sdp"),
        Flow::ClientSends,
    ),
    (
        "simple-whip-client",
        include_str!("../clients/simple-whip-client.sdp"),
        Flow::ClientSends,
    ),
    (
        "whep-player",
        include_str!("../clients/whep-player.sdp"),
        Flow::ClientReceives,
    ),
];
pub const OUR_OFFER: &str = include_str!("../clients/our-offer.sdp");
pub const ANSWER: &str = include_str!("../clients/chromium-answer.sdp");
pub const FRAGMENT: &str = include_str!("../clients/trickle.sdpfrag");

pub fn offer(name: &str) -> &'static str {
    OFFERS
        .iter()
        .find(|(known, ..)| *known == name)
        .expect("a client's name")
        .1
}

pub fn policy(flow: Flow) -> Policy {
    Policy {
        flow,
        audio: Audio::Accept,
        video_codecs: ["VP8", "H264"].map(str::to_owned).into(),
        sent_codecs: ["VP8", "H264"].map(str::to_owned).into(),
    }
}

pub fn parse(text: &str) -> Result<Offer, Refusal> {
    Offer::parse(text, &policy(Flow::ClientSends))
}

/// What webrtcbin of GStreamer 1.22 needs; words about the first thing that is missing.
pub fn check(sdp: &str) -> Result<(), String> {
    let ensure = |holds: bool, words: &str| {
        if holds {
            Ok(())
        } else {
            Err(format!("{words}:\n{sdp}"))
        }
    };
    ensure(
        sdp.split_inclusive("\r\n")
            .all(|line| line.ends_with("\r\n") && !line.trim_end().chars().any(char::is_control)),
        "lines end with CRLF and have no other control characters",
    )?;
    let mut sections = sdp.split("\r\nm=");
    let session = sections.next().unwrap_or_default();
    let sections: Vec<Vec<&str>> = sections.map(|section| section.lines().collect()).collect();
    ensure(session.starts_with("v=0\r\no=- "), "v and o come first")?;
    for attribute in ["a=setup", "a=fingerprint", "a=ice-ufrag", "a=mid"] {
        ensure(
            !session.contains(attribute),
            "transports are described by sections",
        )?;
    }
    let values = |section: &[&str], name: &str| -> Vec<String> {
        let prefix = format!("a={name}:");
        section
            .iter()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(str::to_owned)
            .collect()
    };
    let mut live = HashSet::new();
    let mut mids = HashSet::new();
    let mut transports = HashSet::new();
    for section in &sections {
        let mid = values(section, "mid");
        ensure(
            mid.len() == 1 && mids.insert(mid[0].clone()),
            "one unique mid a section",
        )?;
        ensure(
            !values(section, "fingerprint").is_empty(),
            "a fingerprint a section",
        )?;
        for name in ["setup", "ice-ufrag", "ice-pwd"] {
            ensure(
                values(section, name).len() == 1,
                "one setup, ice-ufrag and ice-pwd a section",
            )?;
        }
        let words: Vec<_> = section[0].split(' ').collect();
        let rtp = words[0] != "application";
        let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
        let count = section.iter().filter(|line| directions.contains(line)).count();
        ensure(count == usize::from(rtp), "one direction a section of RTP")?;
        let described = values(section, "rtpmap").len();
        if words[1] != "0" {
            live.insert(mid[0].clone());
            ensure(
                !rtp || (described > 0 && described == words.len() - 3),
                "a rtpmap a payload type",
            )?;
        }
        transports.insert((
            values(section, "ice-ufrag"),
            values(section, "fingerprint"),
            values(section, "setup"),
        ));
        for candidate in values(section, "candidate") {
            let address = candidate.split(' ').nth(4).unwrap_or_default();
            ensure(address.parse::<IpAddr>().is_ok(), "candidates have IP addresses")?;
        }
    }
    ensure(transports.len() == 1, "one transport")?;
    ensure(sdp.matches("a=candidate:").count() <= 20, "20 candidates")?;
    let groups: Vec<_> = session
        .lines()
        .filter_map(|line| line.strip_prefix("a=group:"))
        .collect();
    ensure(groups.len() <= 1, "one group")?;
    match groups.first() {
        None => ensure(live.len() == 1, "several sections are bundled"),
        Some(group) => {
            let mut words = group.split(' ');
            ensure(words.next() == Some("BUNDLE"), "the group is BUNDLE")?;
            let bundled: Vec<_> = words.map(str::to_owned).collect();
            ensure(
                bundled.iter().cloned().collect::<HashSet<_>>() == live && bundled.len() == live.len(),
                "the group names what lives",
            )
        }
    }
}
