//! Offers and answers.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Deref;

use crate::codec;
use crate::lines::{Line, Lines, MAX_SDP_BYTES, attributes, has};
use crate::media::{self, Direction, Head, Kind, Media};
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::transport::{Fingerprint, Setup, Transport, credentials};

/// What offers and answers have in common, normalised.
#[derive(Debug, Clone)]
pub struct Description {
    text: String,
    media: Vec<Media>,
    transport: Transport,
}

/// A client's offer.
#[derive(Debug, Clone)]
pub struct Offer(Description);

/// A client's answer to our offer.
#[derive(Debug, Clone)]
pub struct Answer(Description);

impl Deref for Offer {
    type Target = Description;

    fn deref(&self) -> &Description {
        &self.0
    }
}

impl Deref for Answer {
    type Target = Description;

    fn deref(&self) -> &Description {
        &self.0
    }
}

impl Description {
    /// The normalised SDP; its lines end with CRLF.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The sections in order.
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// What the certificate of the peer must hash to: at least one.
    pub fn fingerprints(&self) -> &[Fingerprint] {
        &self.transport.fingerprints
    }

    pub fn ice_ufrag(&self) -> &str {
        &self.transport.ufrag
    }

    pub fn ice_pwd(&self) -> &str {
        &self.transport.pwd
    }

    pub fn setup(&self) -> Setup {
        self.transport.setup
    }

    /// Which section, from 0, has this mid.
    pub fn line_of(&self, mid: &str) -> Option<usize> {
        self.media.iter().position(|media| media.mid == mid)
    }
}

impl Offer {
    /// Checks and normalises what a client offers to a pipeline that wants `policy`.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, Refusal> {
        let lines = Lines::split(text, "SDP", MAX_SDP_BYTES)?;
        let draft = Draft::read(&lines, true, |_| None)?;
        policy.check(&draft.media)?;
        let description = draft.finish(|media| match media.kind {
            Kind::Video => policy.codecs(media),
            _ => codec::audio(),
        })?;
        Ok(Self(description))
    }
}

impl Answer {
    /// Checks and normalises what a client answers to our `offer`, an SDP of webrtcbin.
    pub fn parse(text: &str, offer: &str) -> Result<Self, Refusal> {
        let offered = offered(offer).map_err(|error| {
            Refusal::malformed(format!("the offer that this answers cannot be read: {error}"))
        })?;
        let lines = Lines::split(text, "SDP", MAX_SDP_BYTES)?;
        let kinds: Vec<_> = kinds(&lines)?;
        if kinds != offered.iter().map(|section| section.kind).collect::<Vec<_>>() {
            return Err(Refusal::malformed(format!(
                "the answer has the sections [{}]; offered were [{}]",
                list(&kinds),
                list(offered.iter().map(|section| &section.kind))
            )));
        }
        let mut draft = Draft::read(&lines, false, |index| {
            offered.get(index).map(|section| section.mid.clone())
        })?;
        if draft.transport.setup == Setup::ActPass {
            return Err(Refusal::malformed(
                "an answer says `a=setup:active` or `a=setup:passive`",
            ));
        }
        for (media, section) in draft.media.iter_mut().zip(&offered) {
            section.check(media)?;
        }
        if draft.media.first().is_some_and(|media| media.refused) {
            return Err(Refusal::unprocessable(
                "the peer refuses the first section, and the others are bundled with it",
            ));
        }
        let mut codecs = offered.into_iter().map(|section| section.codecs);
        let description = draft.finish(|_| codecs.next().unwrap_or_default())?;
        Ok(Self(description))
    }
}

/// A section of our own offer.
struct Offered {
    kind: Kind,
    mid: String,
    direction: Direction,
    codecs: Vec<String>,
}

impl Offered {
    fn check(&self, answer: &mut Media) -> Result<(), Refusal> {
        if answer.mid != self.mid {
            return Err(Refusal::malformed(format!(
                "the answer names a section `{}` that the offer names `{}`",
                answer.mid, self.mid
            )));
        }
        if self.kind == Kind::Data {
            return Ok(());
        }
        answer.direction = self.direction.answered(answer.direction);
        if self.kind == Kind::Audio {
            return Ok(());
        }
        if answer.refused {
            return Err(Refusal::unprocessable(
                "the peer refuses the video: it has none of the codecs that were offered",
            ));
        }
        let (fits, verb) = match self.direction.receives() {
            true => (answer.direction.sends(), "sends"),
            false => (answer.direction.receives(), "takes"),
        };
        if fits {
            return Ok(());
        }
        Err(Refusal::unprocessable(format!(
            "the peer {verb} no video (mid {})",
            self.mid
        )))
    }
}

fn offered(offer: &str) -> Result<Vec<Offered>, Refusal> {
    let lines = Lines::split(offer, "SDP", MAX_SDP_BYTES)?;
    let sections = lines.sections.iter().zip(mids(&lines, |_| None)?);
    let read = |(section, mid): (&Vec<Line>, String)| {
        let head = Head::read(section)?;
        let media = Media::read(&head, mid, head.port == 0, &lines.session, section)?;
        Ok(Offered {
            kind: head.kind,
            mid: media.mid,
            direction: media.direction,
            codecs: codec::names(section),
        })
    };
    sections.map(read).collect()
}

fn kinds(lines: &Lines) -> Result<Vec<Kind>, Refusal> {
    lines
        .sections
        .iter()
        .map(|section| Ok(Head::read(section)?.kind))
        .collect()
}

fn list<T: ToString>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| word.to_string()).collect();
    words.join(", ")
}

/// A description whose codecs have not been chosen yet.
struct Draft<'a, 't> {
    lines: &'a Lines<'t>,
    origin: String,
    lite: bool,
    heads: Vec<Head<'t>>,
    media: Vec<Media>,
    transport: Transport,
    /// Indices of the sections that are not refused: they share the transport.
    live: Vec<usize>,
    /// One section alone may do without a BUNDLE group.
    bundled: bool,
}

impl<'a, 't> Draft<'a, 't> {
    fn read(
        lines: &'a Lines<'t>,
        is_offer: bool,
        missing_mid: impl Fn(usize) -> Option<String>,
    ) -> Result<Self, Refusal> {
        let origin = origin(&lines.session)?;
        let mut heads = Vec::new();
        let mut media = Vec::new();
        for (section, mid) in lines.sections.iter().zip(mids(lines, missing_mid)?) {
            let head = Head::read(section)?;
            // Port 0 in an offer is none where the section lives on another's port.
            let refused = head.port == 0 && !(is_offer && has(section, "bundle-only"));
            // webrtcbin of 1.22 would answer it as if it were offered.
            if is_offer && refused {
                return Err(Refusal::unprocessable(format!(
                    "the {} section (mid {mid}) is offered with port 0: leave it out",
                    head.kind
                )));
            }
            media.push(Media::read(&head, mid, refused, &lines.session, section)?);
            heads.push(head);
        }
        let (bundle, tagged) = bundle(&lines.session, &media)?;
        let transport = transport(lines, &media, &bundle, tagged)?;
        let live = (0..).zip(&media).filter(|(_, media)| !media.refused);
        let live: Vec<_> = live.map(|(index, _)| index).collect();
        let bundled = live.len() > 1 || !bundle.is_empty();
        Ok(Self {
            lines,
            origin,
            lite: has(&lines.session, "ice-lite"),
            heads,
            media,
            transport,
            live,
            bundled,
        })
    }

    fn finish(mut self, mut taken: impl FnMut(&Media) -> Vec<String>) -> Result<Description, Refusal> {
        for (index, media) in self.media.iter_mut().enumerate() {
            let taken = taken(media);
            if media.refused || media.kind == Kind::Data {
                continue;
            }
            let section = &self.lines.sections[index];
            media.codecs = codec::read(media.kind, self.heads[index].formats, section, &taken)?;
            if media.codecs.is_empty() {
                return Err(Refusal::unprocessable(format!(
                    "none of the {} codecs of mid {} is taken here ({}): offer one of {}",
                    media.kind,
                    media.mid,
                    list(codec::names(section)),
                    list(taken)
                )));
            }
        }
        one_meaning_each(&mut self.media)?;
        let mut text = String::new();
        self.write(&mut text)
            .map_err(|_| Refusal::malformed("the SDP cannot be written"))?;
        Ok(Description {
            text,
            media: self.media,
            transport: self.transport,
        })
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        write!(out, "v=0\r\no=- {} IN IP4 127.0.0.1\r\n", self.origin)?;
        out.push_str("s=-\r\nt=0 0\r\n");
        // In the sections' order: webrtcbin answers in that, and aborts if the first of both groups differ.
        if self.bundled {
            let mids = self.live.iter().map(|index| &self.media[*index].mid);
            write!(
                out,
                "a=group:BUNDLE {}\r\n",
                mids.cloned().collect::<Vec<_>>().join(" ")
            )?;
        }
        if self.lite {
            out.push_str("a=ice-lite\r\n");
        }
        for (index, media) in self.media.iter().enumerate() {
            media.write(out, &self.transport, self.live.first() == Some(&index))?;
        }
        Ok(())
    }
}

/// Session id and version of the `o=` line; `v=`, `s=` and `t=` have to be there.
fn origin(session: &[Line]) -> Result<String, Refusal> {
    match session.first() {
        Some(line) if line.kind == b'v' && line.value == "0" => {}
        _ => return Err(Refusal::malformed("the SDP does not start with `v=0`")),
    }
    let line = |kind: u8| {
        session
            .iter()
            .find(|line| line.kind == kind)
            .ok_or_else(|| Refusal::malformed(format!("the SDP has no `{}=` line", char::from(kind))))
    };
    line(b's')?;
    line(b't')?;
    let origin = line(b'o')?;
    let parts: Vec<_> = origin.value.split_ascii_whitespace().collect();
    match parts[..] {
        [_, id, version, "IN", _, _] if [id, version].iter().all(|part| is_counter(part)) => {
            Ok(format!("{id} {version}"))
        }
        _ => Err(Refusal::malformed(format!(
            "line {} is not of the form `o=- 1 1 IN IP4 127.0.0.1`",
            origin.number
        ))),
    }
}

fn is_counter(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The mid of each section: its own, or else `missing`'s, or else a number that no other has.
fn mids(lines: &Lines, missing: impl Fn(usize) -> Option<String>) -> Result<Vec<String>, Refusal> {
    let own = lines.sections.iter().map(|section| media::mid(section));
    let own: Vec<Option<&str>> = own.collect::<Result<_, _>>()?;
    let mut mids: Vec<String> = Vec::new();
    for (index, mid) in own.iter().enumerate() {
        let mid = match mid {
            Some(mid) if mids.iter().any(|other| other == mid) => {
                return Err(Refusal::malformed(format!("two sections have the mid `{mid}`")));
            }
            Some(mid) => (*mid).to_owned(),
            None => missing(index).unwrap_or_else(|| {
                let free = (index..)
                    .map(|number| number.to_string())
                    .find(|free| !own.contains(&Some(free)) && !mids.contains(free));
                free.unwrap_or_default()
            }),
        };
        mids.push(mid);
    }
    Ok(mids)
}

/// The sections that a BUNDLE group names and that live, and the section that describes their transport.
fn bundle(session: &[Line], media: &[Media]) -> Result<(Vec<usize>, usize), Refusal> {
    let mut bundle = Vec::new();
    let groups = attributes(session, "group").filter_map(|group| group.value.strip_prefix("BUNDLE"));
    for mid in groups.take(1).flat_map(str::split_ascii_whitespace) {
        let live = media.iter().position(|media| media.mid == mid && !media.refused);
        if let Some(index) = live.filter(|index| !bundle.contains(index)) {
            bundle.push(index);
        }
    }
    let first = bundle.first().copied();
    match first.or_else(|| media.iter().position(|media| !media.refused)) {
        Some(tagged) => Ok((bundle, tagged)),
        None if media.is_empty() => Err(Refusal::malformed("the SDP has no media section")),
        None => Err(Refusal::unprocessable(
            "every section of the SDP is refused (port 0)",
        )),
    }
}

/// What the tagged section says is true for the others of its group (RFC 9143); those outside must say the same.
fn transport(lines: &Lines, media: &[Media], bundle: &[usize], tagged: usize) -> Result<Transport, Refusal> {
    let mut transport = Transport::read(&lines.session, &lines.sections[tagged])?;
    let live = (0..)
        .zip(media)
        .filter(|(index, media)| !media.refused && *index != tagged);
    for (index, media) in live {
        let section = &lines.sections[index];
        let same = match credentials(&lines.session, section)? {
            Some(own) => own == (transport.ufrag.as_str(), transport.pwd.as_str()),
            None => true,
        };
        if same {
            transport.add_candidates(section);
        } else if !bundle.contains(&index) {
            return Err(Refusal::unprocessable(format!(
                "the {} section (mid {}) has a transport of its own: put all sections into one `a=group:BUNDLE`",
                media.kind, media.mid
            )));
        }
    }
    Ok(transport)
}

/// On one transport a payload type, an extension's number and a source mean one thing.
fn one_meaning_each(media: &mut [Media]) -> Result<(), Refusal> {
    let mut payloads: BTreeMap<u8, String> = BTreeMap::new();
    let mut extensions: Vec<(u8, &str)> = Vec::new();
    let mut sources = Vec::new();
    for media in media {
        for (payload, meaning) in media.codecs.iter().flat_map(codec::Codec::meanings) {
            let known = payloads.entry(payload).or_insert_with(|| meaning.clone());
            if *known != meaning {
                return Err(Refusal::malformed(format!(
                    "payload type {payload} is {known} in one section and {meaning} in another: on one transport it \
                     can be one of them"
                )));
            }
        }
        media.extensions.retain(|new| {
            !extensions
                .iter()
                .any(|known| known != new && (known.0 == new.0 || known.1 == new.1))
        });
        extensions.extend(&media.extensions);
        media.sources.retain(|(ssrc, _)| !sources.contains(ssrc));
        sources.extend(media.sources.iter().map(|(ssrc, _)| *ssrc));
    }
    Ok(())
}
