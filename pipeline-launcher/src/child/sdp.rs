//! What of an SDP is changed or refused before GStreamer sees it. Pure text.

use std::net::IpAddr;

/// A browser's answer fits many times.
const MAX_BYTES: usize = 64 * 1024;
/// More candidates than this help nobody.
const MAX_CANDIDATES: usize = 20;

/// Checks an answer to our offer of one video section; returns it without the candidates that we cannot use.
pub(super) fn clean_answer(sdp: &str) -> Result<String, String> {
    if sdp.len() > MAX_BYTES {
        return Err(format!(
            "the SDP has {} bytes; {MAX_BYTES} are allowed",
            sdp.len()
        ));
    }
    if !sdp.starts_with("v=0") {
        return Err("the SDP does not start with `v=0`".into());
    }
    let lines: Vec<_> = sdp
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    let media: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("m=")).collect();
    let mids: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .collect();
    match media[..] {
        [video] if video.starts_with("video 0 ") => {
            return Err("the peer refuses the video: it has none of the codecs that were offered".into());
        }
        [video] if video.starts_with("video ") => {}
        _ => {
            return Err(format!(
                "the answer has {} media sections; one of video was offered",
                media.len()
            ));
        }
    }
    if mids.len() != 1 {
        return Err("the answer's video section has no `a=mid`".into());
    }
    for attribute in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
        if !lines.iter().any(|line| line.starts_with(attribute)) {
            return Err(format!("the answer has no `{attribute}`"));
        }
    }
    let mut candidates = 0;
    let mut clean = String::with_capacity(sdp.len());
    for line in lines {
        if let Some(candidate) = line.strip_prefix("a=")
            && candidate.starts_with("candidate:")
        {
            candidates += 1;
            if candidates > MAX_CANDIDATES || !is_usable(candidate) {
                continue;
            }
        }
        // webrtcbin aborts on a group that names a section which is not there.
        if let Some(group) = line.strip_prefix("a=group:BUNDLE")
            && group.split_whitespace().any(|mid| !mids.contains(&mid))
        {
            continue;
        }
        clean.push_str(line);
        clean.push_str("\r\n");
    }
    Ok(clean)
}

/// True for a candidate whose address is an IP address: a name (`.local`) would have to be resolved.
pub(super) fn is_usable(candidate: &str) -> bool {
    let mut parts = candidate.split_ascii_whitespace();
    candidate.len() < 512
        && parts
            .next()
            .is_some_and(|foundation| foundation.starts_with("candidate:"))
        && parts
            .nth(3)
            .is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

/// Our candidate as it is told to the peer: with the public address in place of the host's own.
///
/// One of the same family is taken; a candidate of another family, or not of type host, stays.
pub(super) fn advertise(candidate: &str, public: &[IpAddr]) -> String {
    let mut parts: Vec<_> = candidate.split(' ').map(str::to_owned).collect();
    let own = parts.get(4).and_then(|address| address.parse::<IpAddr>().ok());
    let is_host = parts.windows(2).any(|pair| pair == ["typ", "host"]);
    if let Some(own) = own.filter(|_| is_host)
        && let Some(public) = public.iter().find(|public| public.is_ipv4() == own.is_ipv4())
    {
        parts[4] = public.to_string();
    }
    parts.join(" ")
}

/// Our offer as it is told to the peer.
pub(super) fn advertise_offer(sdp: &str, public: &[IpAddr]) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut offer = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let line = match line.strip_prefix("a=") {
            Some(candidate) if candidate.starts_with("candidate:") => {
                format!("a={}", advertise(candidate, public))
            }
            _ => line.to_owned(),
        };
        // Several addresses of the host may have become one.
        if line.starts_with("a=candidate:") && !seen.insert(line.clone()) {
            continue;
        }
        offer.push_str(&line);
        offer.push_str("\r\n");
    }
    offer
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE video0\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n\
        a=fingerprint:sha-256 00\r\na=mid:video0\r\n\
        a=candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host\r\n\
        a=candidate:2 1 udp 2113937151 8cf3.local 50001 typ host\r\n";

    #[test]
    fn names_are_not_resolved() {
        let clean = clean_answer(ANSWER).unwrap();
        assert!(
            clean.contains("192.0.2.7") && !clean.contains(".local"),
            "{clean}"
        );
    }

    #[test]
    fn answers_that_would_hurt_are_refused_or_mended() {
        for (from, to, words) in [
            ("v=0", "v=1", "does not start with `v=0`"),
            ("m=video 9", "m=video 0", "none of the codecs"),
            ("m=video 9", "m=audio 9", "one of video was offered"),
            ("a=mid:video0\r\n", "", "no `a=mid`"),
            ("a=fingerprint:sha-256 00\r\n", "", "no `a=fingerprint:`"),
        ] {
            let error = clean_answer(&ANSWER.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let clean = clean_answer(&ANSWER.replace("BUNDLE video0", "BUNDLE video0 nobody")).unwrap();
        assert!(!clean.contains("BUNDLE"), "{clean}");
        assert!(clean_answer(&format!("{ANSWER}a={}\r\n", "x".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn candidates_are_capped() {
        let many = "a=candidate:1 1 udp 1 192.0.2.7 5 typ host\r\n".repeat(100);
        let clean = clean_answer(&format!("{ANSWER}{many}")).unwrap();
        assert!(clean.matches("a=candidate:").count() <= MAX_CANDIDATES);
    }

    #[test]
    fn the_public_address_replaces_the_hosts() {
        let public: [IpAddr; 1] = ["203.0.113.9".parse().unwrap()];
        let host = "candidate:1 1 UDP 2015363327 10.0.0.5 12000 typ host";
        assert_eq!(
            advertise(host, &public),
            "candidate:1 1 UDP 2015363327 203.0.113.9 12000 typ host"
        );
        for same in [
            "candidate:1 1 UDP 1 fd00::2 12000 typ host",
            "candidate:1 1 UDP 1 198.51.100.1 12000 typ srflx raddr 10.0.0.5 rport 1",
        ] {
            assert_eq!(advertise(same, &public), same);
        }
        let offer = format!(
            "v=0\r\na={host}\r\na={}\r\n",
            host.replace("10.0.0.5", "10.0.0.6")
        );
        assert_eq!(advertise_offer(&offer, &public).matches("203.0.113.9").count(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(sdp in "\\PC*", cut in 0..600usize) {
            drop(clean_answer(&sdp));
            drop(clean_answer(&ANSWER.chars().take(cut).collect::<String>()));
            drop((is_usable(&sdp), advertise(&sdp, &["203.0.113.9".parse().unwrap()]), advertise_offer(&sdp, &[])));
        }
    }
}
