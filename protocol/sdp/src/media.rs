//! One media section.

use std::fmt::{self, Write};

use crate::codec::{Codec, number};
use crate::lines::{Line, attributes, has, is_plain, is_token, single};
use crate::refusal::{Refusal, shown};
use crate::transport::Transport;

const MAX_MID_BYTES: usize = 64;
const MAX_MSID_BYTES: usize = 128;
const MAX_SSRCS: usize = 16;
const MAX_CNAME_BYTES: usize = 255;
/// Header extensions that GStreamer knows what to do with. Another that were accepted would be relied on: a phone
/// leaves turning the picture to whoever takes `video-orientation`.
const EXTENSIONS: [&str; 2] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
];
/// Of the range that an SDP may name and an `int` holds.
const MAX_MESSAGE_SIZE: u32 = 1 << 30;
const DEFAULT_MESSAGE_SIZE: u32 = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
    /// Data channels over SCTP.
    Data,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Data => "application",
        })
    }
}

/// As seen by whoever wrote the SDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// What is left of an answer's direction to an offer of this one.
    pub(crate) fn answered(self, answer: Self) -> Self {
        match (
            answer.sends() && self.receives(),
            answer.receives() && self.sends(),
        ) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    fn read(lines: &[Line]) -> Result<Option<Self>, Refusal> {
        let mut found = Self::ALL
            .into_iter()
            .filter(|direction| has(lines, direction.name()));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(Refusal::malformed(format!(
                "a section is both `a={}` and `a={}`",
                one.name(),
                other.name()
            ))),
            (found, _) => Ok(found),
        }
    }
}

/// One media section of a normalised description.
#[derive(Debug, Clone)]
pub struct Media {
    pub kind: Kind,
    pub mid: String,
    /// Of data channels always `SendRecv`.
    pub direction: Direction,
    /// In the client's order of preference; none in a refused section or one of data channels.
    pub codecs: Vec<Codec>,
    /// Answered with port 0; an offer has no such section.
    pub refused: bool,
    reduced_size: bool,
    pub(crate) extensions: Vec<(u8, &'static str)>,
    msid: Option<String>,
    pub(crate) sources: Vec<(u32, String)>,
    retransmitted: Vec<(u32, u32)>,
    sctp: Option<Sctp>,
}

#[derive(Debug, Clone, Copy)]
struct Sctp {
    port: u16,
    max_message_size: u32,
}

/// An `m=` line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub kind: Kind,
    pub port: u16,
    pub formats: &'a str,
}

impl<'a> Head<'a> {
    pub(crate) fn read(lines: &[Line<'a>]) -> Result<Self, Refusal> {
        let Some(line) = lines.first() else {
            return Err(Refusal::malformed("a media section is empty"));
        };
        let mut parts = line.value.splitn(4, ' ');
        let (Some(kind), Some(port), Some(protocol), Some(formats)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad_line(line));
        };
        let port = number(port).ok_or_else(|| bad_line(line))?;
        let (kind, protocols): (_, &[&str]) = match kind {
            "audio" => (Kind::Audio, &RTP),
            "video" => (Kind::Video, &RTP),
            "application" => (Kind::Data, &SCTP),
            other => {
                return Err(Refusal::unprocessable(format!(
                    "line {}: sections of `{}` are not taken: offer video, audio or application",
                    line.number,
                    shown(other)
                )));
            }
        };
        if !protocols.contains(&protocol) {
            return Err(Refusal::unprocessable(format!(
                "line {}: {kind} over `{}` is not taken: offer it over {}",
                line.number,
                shown(protocol),
                protocols[0]
            )));
        }
        if kind == Kind::Data && formats.trim() != DATA_CHANNEL {
            return Err(Refusal::unprocessable(format!(
                "line {}: `{}` is not taken: offer {DATA_CHANNEL}",
                line.number,
                shown(formats)
            )));
        }
        Ok(Self { kind, port, formats })
    }
}

/// The first is what is written; over ICE all mean the same.
const RTP: [&str; 3] = ["UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"];
const SCTP: [&str; 2] = ["UDP/DTLS/SCTP", "TCP/DTLS/SCTP"];
const DATA_CHANNEL: &str = "webrtc-datachannel";

fn bad_line(line: &Line) -> Refusal {
    Refusal::malformed(format!(
        "line {} is not of the form `m=video 9 UDP/TLS/RTP/SAVPF 96`: `m={}`",
        line.number,
        shown(line.value)
    ))
}

/// The section's mid, if it has one.
pub(crate) fn mid<'a>(lines: &[Line<'a>]) -> Result<Option<&'a str>, Refusal> {
    match single(lines, "mid")? {
        Some(mid) if !is_token(mid) || mid.len() > MAX_MID_BYTES => Err(Refusal::malformed(format!(
            "`a=mid:{}` is no token of at most {MAX_MID_BYTES} characters",
            shown(mid)
        ))),
        found => Ok(found),
    }
}

impl Media {
    /// All but the codecs.
    pub(crate) fn read(
        head: &Head,
        mid: String,
        refused: bool,
        session: &[Line],
        lines: &[Line],
    ) -> Result<Self, Refusal> {
        let mut media = Self {
            kind: head.kind,
            mid,
            direction: Direction::SendRecv,
            codecs: Vec::new(),
            refused,
            reduced_size: has(lines, "rtcp-rsize"),
            extensions: Vec::new(),
            msid: None,
            sources: Vec::new(),
            retransmitted: Vec::new(),
            sctp: None,
        };
        if head.kind == Kind::Data {
            media.sctp = Some(Sctp::read(&media, lines)?);
        } else {
            media.read_rtp(session, lines)?;
        }
        Ok(media)
    }

    fn read_rtp(&mut self, session: &[Line], lines: &[Line]) -> Result<(), Refusal> {
        self.direction = match Direction::read(lines)? {
            None => Direction::read(session)?.unwrap_or(Direction::SendRecv),
            Some(found) => found,
        };
        if self.refused {
            return Ok(());
        }
        if !has(lines, "rtcp-mux") {
            return Err(Refusal::unprocessable(format!(
                "the {} section (mid {}) has no `a=rtcp-mux`: RTP and RTCP share one port here",
                self.kind, self.mid
            )));
        }
        self.extensions = extensions(lines);
        let msid = attributes(lines, "msid").map(|msid| msid.value);
        self.msid = msid
            .filter(|msid| msid.len() <= MAX_MSID_BYTES && msid.split(' ').all(is_token))
            .map(str::to_owned)
            .next();
        for attribute in attributes(lines, "ssrc") {
            if let Some(source) = source(attribute.value)
                && self.sources.len() < MAX_SSRCS
                && !self.sources.iter().any(|(ssrc, _)| *ssrc == source.0)
            {
                self.sources.push(source);
            }
        }
        for attribute in attributes(lines, "ssrc-group") {
            if let Some(pair) = retransmitted(attribute.value)
                && self.retransmitted.len() < MAX_SSRCS
                && !self.retransmitted.contains(&pair)
            {
                self.retransmitted.push(pair);
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut String, transport: &Transport, tagged: bool) -> fmt::Result {
        let port = if self.refused { 0 } else { 9 };
        let payloads: Vec<_> = self
            .codecs
            .iter()
            .flat_map(Codec::payloads)
            .map(|payload| payload.to_string())
            .collect();
        let (protocol, formats) = match self.kind {
            Kind::Data => (SCTP[0], DATA_CHANNEL.to_owned()),
            _ if payloads.is_empty() => (RTP[0], "0".to_owned()),
            _ => (RTP[0], payloads.join(" ")),
        };
        write!(out, "m={} {port} {protocol} {formats}\r\n", self.kind)?;
        write!(out, "c=IN IP4 0.0.0.0\r\na=mid:{}\r\n", self.mid)?;
        match self.sctp {
            Some(sctp) => sctp.write(out)?,
            None => self.write_rtp(out)?,
        }
        transport.write(out, tagged)
    }

    fn write_rtp(&self, out: &mut String) -> fmt::Result {
        write!(out, "a={}\r\na=rtcp-mux\r\n", self.direction.name())?;
        if self.reduced_size {
            out.push_str("a=rtcp-rsize\r\n");
        }
        for (id, uri) in &self.extensions {
            write!(out, "a=extmap:{id} {uri}\r\n")?;
        }
        for codec in &self.codecs {
            codec.write(out)?;
        }
        if let Some(msid) = &self.msid {
            write!(out, "a=msid:{msid}\r\n")?;
        }
        let told = |ssrc| self.sources.iter().any(|(told, _)| *told == ssrc);
        for (first, second) in &self.retransmitted {
            if told(*first) && told(*second) {
                write!(out, "a=ssrc-group:FID {first} {second}\r\n")?;
            }
        }
        for (ssrc, cname) in &self.sources {
            write!(out, "a=ssrc:{ssrc} cname:{cname}\r\n")?;
        }
        Ok(())
    }
}

impl Sctp {
    fn read(media: &Media, lines: &[Line]) -> Result<Self, Refusal> {
        let port = match single(lines, "sctp-port")? {
            None if media.refused => 5000,
            None => {
                return Err(Refusal::malformed(format!(
                    "the application section (mid {}) has no `a=sctp-port`",
                    media.mid
                )));
            }
            Some(port) => number(port).filter(|port| *port != 0).ok_or_else(|| {
                Refusal::malformed(format!("`a=sctp-port:{}` is no port (1 to 65535)", shown(port)))
            })?,
        };
        let max_message_size = match single(lines, "max-message-size")? {
            None => DEFAULT_MESSAGE_SIZE,
            Some(size) => number::<u64>(size)
                .and_then(|size| u32::try_from(size.min(u64::from(MAX_MESSAGE_SIZE))).ok())
                .ok_or_else(|| {
                    Refusal::malformed(format!(
                        "`a=max-message-size:{}` is no number of bytes",
                        shown(size)
                    ))
                })?,
        };
        Ok(Self {
            port,
            max_message_size,
        })
    }

    fn write(self, out: &mut String) -> fmt::Result {
        write!(out, "a=sctp-port:{}\r\n", self.port)?;
        write!(out, "a=max-message-size:{}\r\n", self.max_message_size)
    }
}

/// `3/sendonly urn:…`: the known ones, each id and each URI once.
fn extensions(lines: &[Line]) -> Vec<(u8, &'static str)> {
    let mut extensions: Vec<(u8, &str)> = Vec::new();
    for attribute in attributes(lines, "extmap") {
        let mut parts = attribute.value.split_ascii_whitespace();
        let id = parts
            .next()
            .and_then(|id| number(id.split('/').next()?))
            .filter(|id| (1..=14).contains(id));
        let uri = parts
            .next()
            .and_then(|uri| EXTENSIONS.into_iter().find(|known| *known == uri));
        if let (Some(id), Some(uri)) = (id, uri)
            && !extensions.iter().any(|known| known.0 == id || known.1 == uri)
        {
            extensions.push((id, uri));
        }
    }
    extensions
}

/// `1234 cname:name`; a source's other attributes are said by the section.
fn source(value: &str) -> Option<(u32, String)> {
    let (ssrc, attribute) = value.split_once(' ')?;
    let ssrc = number(ssrc).filter(|ssrc| *ssrc != 0)?;
    let cname = attribute.trim().strip_prefix("cname:")?.trim();
    (is_plain(cname) && cname.len() <= MAX_CNAME_BYTES).then(|| (ssrc, cname.to_owned()))
}

/// `FID 1 2`: the second repeats what the first has sent. Simulcast's groups are left out with simulcast.
fn retransmitted(value: &str) -> Option<(u32, u32)> {
    let mut parts = value.strip_prefix("FID ")?.split_ascii_whitespace();
    let pair = (number(parts.next()?)?, number(parts.next()?)?);
    (pair.0 != pair.1 && parts.next().is_none()).then_some(pair)
}
