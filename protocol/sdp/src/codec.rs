//! The codecs of a section: payload types, parameters, feedback, retransmission.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::lines::{Line, attributes, is_plain};
use crate::media::Kind;
use crate::refusal::{Refusal, shown};

/// Taken and not looked at; what every client can send. Name, clock rate in Hz, channels.
const AUDIO: [(&str, u32, u8); 4] = [
    ("opus", 48_000, 2),
    ("PCMU", 8_000, 1),
    ("PCMA", 8_000, 1),
    ("G722", 8_000, 1),
];
const VIDEO_CLOCK: u32 = 90_000;
/// Names that are no codec by themselves.
const HELPERS: [&str; 6] = ["rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "CN"];
/// Parameters that the codecs define; GStreamer makes a field of its caps of each, so there are no others.
const PARAMETERS: [&str; 32] = [
    "cbr",
    "interop-constraints",
    "level-asymmetry-allowed",
    "level-id",
    "level-idx",
    "max-br",
    "max-fr",
    "max-fs",
    "max-mbps",
    "maxaveragebitrate",
    "maxplaybackrate",
    "maxptime",
    "minptime",
    "packetization-mode",
    "profile",
    "profile-compatibility-indicator",
    "profile-id",
    "profile-level-id",
    "profile-space",
    "ptime",
    "sprop-maxcapturerate",
    "sprop-max-don-diff",
    "sprop-parameter-sets",
    "sprop-pps",
    "sprop-sps",
    "sprop-stereo",
    "sprop-vps",
    "stereo",
    "tier",
    "tier-flag",
    "tx-mode",
    "useinbandfec",
];
/// Feedback that webrtcbin gives. It knows nothing of REMB: promised, a sender would wait for it.
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];
const MAX_PARAMETER_BYTES: usize = 1024;

/// One codec of a section, with its payload type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    pub payload: u8,
    /// As RTP names it: `VP8`, `H264`, `opus`.
    pub name: String,
    /// In Hz.
    pub clock_rate: u32,
    parameters: Vec<(&'static str, String)>,
    feedback: Vec<&'static str>,
    retransmission: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mapping<'a> {
    name: &'a str,
    clock_rate: u32,
    channels: u8,
}

/// Of the formats of a section those whose names are among `taken`, in the client's order.
pub(crate) fn read(
    kind: Kind,
    formats: &str,
    lines: &[Line],
    taken: &[String],
) -> Result<Vec<Codec>, Refusal> {
    let mappings = mappings(lines)?;
    let mut codecs: Vec<Codec> = Vec::new();
    for payload in payloads(formats)? {
        let Some(mapping) = mappings.get(&payload) else {
            continue;
        };
        let known = taken.iter().find(|name| name.eq_ignore_ascii_case(mapping.name));
        if let Some(name) = known.filter(|_| fits(kind, mapping)) {
            codecs.push(Codec {
                payload,
                name: name.clone(),
                clock_rate: mapping.clock_rate,
                parameters: parameters(payload, lines),
                feedback: feedback(payload, lines),
                retransmission: None,
            });
        }
    }
    for payload in payloads(formats)? {
        let is_rtx = mappings
            .get(&payload)
            .is_some_and(|mapping| mapping.name.eq_ignore_ascii_case("rtx"));
        if let Some(of) = is_rtx.then(|| apt(payload, lines)).flatten()
            && let Some(codec) = codecs.iter_mut().find(|codec| codec.payload == of)
        {
            codec.retransmission.get_or_insert(payload);
        }
    }
    Ok(codecs)
}

/// The codecs that a section names, each once.
pub(crate) fn names(lines: &[Line]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for attribute in attributes(lines, "rtpmap") {
        if let Ok((_, mapping)) = mapping(attribute.number, attribute.value)
            && !HELPERS
                .iter()
                .any(|helper| helper.eq_ignore_ascii_case(mapping.name))
            && !names.iter().any(|name| name.eq_ignore_ascii_case(mapping.name))
        {
            names.push(shown(mapping.name));
        }
    }
    names
}

/// Names of the audio codecs that are taken.
pub(crate) fn audio() -> Vec<String> {
    AUDIO.iter().map(|(name, ..)| (*name).to_owned()).collect()
}

fn fits(kind: Kind, mapping: &Mapping) -> bool {
    match kind {
        Kind::Video => mapping.clock_rate == VIDEO_CLOCK,
        Kind::Audio => AUDIO.iter().any(|(name, clock_rate, channels)| {
            name.eq_ignore_ascii_case(mapping.name)
                && (*clock_rate, *channels) == (mapping.clock_rate, mapping.channels)
        }),
        Kind::Data => false,
    }
}

/// Each once, without those that cannot be told from RTCP on the same port (RFC 5761).
fn payloads(formats: &str) -> Result<Vec<u8>, Refusal> {
    let mut payloads = Vec::new();
    for format in formats.split_ascii_whitespace() {
        let payload: u8 = number(format).filter(|payload| *payload < 128).ok_or_else(|| {
            Refusal::malformed(format!("`{}` is no payload type (0 to 127)", shown(format)))
        })?;
        if !(64..96).contains(&payload) && !payloads.contains(&payload) {
            payloads.push(payload);
        }
    }
    Ok(payloads)
}

/// Digits only: Rust's parser would take a sign too.
pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn mappings<'a>(lines: &[Line<'a>]) -> Result<BTreeMap<u8, Mapping<'a>>, Refusal> {
    let mut mappings = BTreeMap::new();
    for attribute in attributes(lines, "rtpmap") {
        let (payload, mapping) = mapping(attribute.number, attribute.value)?;
        if *mappings.entry(payload).or_insert(mapping) != mapping {
            return Err(Refusal::malformed(format!(
                "line {}: payload type {payload} has two `a=rtpmap` that differ",
                attribute.number
            )));
        }
    }
    Ok(mappings)
}

fn mapping(line: usize, value: &str) -> Result<(u8, Mapping<'_>), Refusal> {
    let read = || {
        let (payload, encoding) = value.split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        let name = parts.next().filter(|name| crate::lines::is_token(name))?;
        let clock_rate = number(parts.next()?).filter(|rate| (1..=1_000_000).contains(rate))?;
        let channels = parts.next().map_or(Some(1), number)?;
        let mapping = Mapping {
            name,
            clock_rate,
            channels,
        };
        Some((number(payload).filter(|payload| *payload < 128)?, mapping))
    };
    read().ok_or_else(|| {
        Refusal::malformed(format!(
            "line {line}: `a=rtpmap:{}` is not of the form `96 VP8/90000`",
            shown(value)
        ))
    })
}

/// What `a=<name>:<payload> …` says of this payload type.
fn said<'a, 'l>(
    name: &'l str,
    payload: u8,
    lines: &'l [Line<'a>],
) -> impl Iterator<Item = &'a str> + use<'a, 'l> {
    attributes(lines, name).filter_map(move |attribute| {
        let (of, rest) = attribute.value.split_once(' ')?;
        (of == "*" || number(of) == Some(payload)).then_some(rest.trim())
    })
}

fn parameters(payload: u8, lines: &[Line]) -> Vec<(&'static str, String)> {
    let mut parameters: Vec<(&str, String)> = Vec::new();
    for parameter in said("fmtp", payload, lines).flat_map(|all| all.split(';')) {
        let Some((name, value)) = parameter.trim().split_once('=') else {
            continue;
        };
        let value = value.trim();
        let known = PARAMETERS
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        if let Some(name) = known.filter(|_| is_plain(value) && value.len() <= MAX_PARAMETER_BYTES)
            && !parameters.iter().any(|(set, _)| *set == name)
        {
            parameters.push((name, value.to_owned()));
        }
    }
    parameters
}

fn feedback(payload: u8, lines: &[Line]) -> Vec<&'static str> {
    let asked: Vec<_> = said("rtcp-fb", payload, lines).collect();
    FEEDBACK
        .into_iter()
        .filter(|known| asked.contains(known))
        .collect()
}

/// Whose packets a retransmission repeats.
fn apt(payload: u8, lines: &[Line]) -> Option<u8> {
    said("fmtp", payload, lines)
        .flat_map(|all| all.split(';'))
        .find_map(|parameter| number(parameter.trim().strip_prefix("apt=")?))
}

impl Codec {
    /// Every payload type, with what it stands for: in one bundle each has one meaning.
    pub(crate) fn meanings(&self) -> impl Iterator<Item = (u8, String)> + '_ {
        let own = (self.payload, self.name.to_ascii_uppercase());
        let rtx = self
            .retransmission
            .map(|rtx| (rtx, format!("rtx of {}", self.payload)));
        [Some(own), rtx].into_iter().flatten()
    }

    /// For the `m=` line.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = u8> {
        [Some(self.payload), self.retransmission].into_iter().flatten()
    }

    pub(crate) fn write(&self, out: &mut String) -> fmt::Result {
        let Self {
            payload,
            name,
            clock_rate,
            ..
        } = self;
        let channels = if name == AUDIO[0].0 { "/2" } else { "" };
        write!(out, "a=rtpmap:{payload} {name}/{clock_rate}{channels}\r\n")?;
        for feedback in &self.feedback {
            write!(out, "a=rtcp-fb:{payload} {feedback}\r\n")?;
        }
        let parameters: Vec<_> = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !parameters.is_empty() {
            write!(out, "a=fmtp:{payload} {}\r\n", parameters.join(";"))?;
        }
        if let Some(rtx) = self.retransmission {
            write!(
                out,
                "a=rtpmap:{rtx} rtx/{clock_rate}\r\na=fmtp:{rtx} apt={payload}\r\n"
            )?;
        }
        Ok(())
    }
}
