//! The one transport under all sections: ICE and DTLS.

use std::fmt::{self, Write};

use crate::candidate::{Candidate, MAX_CANDIDATES, is_ice};
use crate::lines::{Line, attributes, has, single};
use crate::refusal::{Refusal, shown};

/// A certificate has one, perhaps by two hashes.
const MAX_FINGERPRINTS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [(Self, &str, usize); 3] = [
        (Self::Sha256, "sha-256", 32),
        (Self::Sha384, "sha-384", 48),
        (Self::Sha512, "sha-512", 64),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// What the peer's DTLS certificate must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    pub hash: Hash,
    /// The digest: 32, 48 or 64 bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{}", self.hash.name())?;
        for (index, byte) in self.bytes.iter().enumerate() {
            write!(out, "{}{byte:02X}", if index == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// Who begins the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
    Passive,
}

impl Setup {
    pub fn name(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub ufrag: String,
    pub pwd: String,
    pub setup: Setup,
    pub fingerprints: Vec<Fingerprint>,
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
    pub trickle: bool,
}

impl Transport {
    /// As the section says, or else the session.
    pub(crate) fn read(session: &[Line], section: &[Line]) -> Result<Self, Refusal> {
        let (ufrag, pwd) = credentials(session, section)?
            .ok_or_else(|| Refusal::malformed("the SDP has no `a=ice-ufrag` and `a=ice-pwd`"))?;
        let fingerprints = match fingerprints(section)? {
            found if found.is_empty() => fingerprints(session)?,
            found => found,
        };
        if fingerprints.is_empty() {
            return Err(Refusal::malformed(
                "the SDP has no `a=fingerprint`: media is taken over DTLS only",
            ));
        }
        let trickle = |lines| {
            attributes(lines, "ice-options").any(|options| {
                options
                    .value
                    .split_ascii_whitespace()
                    .any(|option| option == "trickle")
            })
        };
        let mut transport = Self {
            ufrag: ufrag.to_owned(),
            pwd: pwd.to_owned(),
            setup: setup(session, section)?,
            fingerprints,
            candidates: Vec::new(),
            end_of_candidates: has(section, "end-of-candidates") || has(session, "end-of-candidates"),
            trickle: trickle(section) || trickle(session),
        };
        transport.add_candidates(section);
        Ok(transport)
    }

    /// Those that can be used and are not known yet, up to the limit.
    pub(crate) fn add_candidates(&mut self, section: &[Line]) {
        for line in section.iter().filter(|line| line.kind == b'a') {
            if self.candidates.len() == MAX_CANDIDATES {
                return;
            }
            if let Some(candidate) = Candidate::parse(line.value)
                && !self.candidates.contains(&candidate)
            {
                self.candidates.push(candidate);
            }
        }
    }
}

/// ICE's user fragment and password: the section's, or else the session's.
pub(crate) fn credentials<'a>(
    session: &[Line<'a>],
    section: &[Line<'a>],
) -> Result<Option<(&'a str, &'a str)>, Refusal> {
    for lines in [section, session] {
        match (single(lines, "ice-ufrag")?, single(lines, "ice-pwd")?) {
            (Some(ufrag), Some(pwd)) if is_ice(ufrag, 4..=256) && is_ice(pwd, 22..=256) => {
                return Ok(Some((ufrag, pwd)));
            }
            (Some(_), Some(_)) => {
                return Err(Refusal::malformed(
                    "`a=ice-ufrag` has 4 to 256 and `a=ice-pwd` 22 to 256 letters, digits, `+` or `/`",
                ));
            }
            (None, None) => {}
            _ => {
                return Err(Refusal::malformed(
                    "`a=ice-ufrag` and `a=ice-pwd` stand together, or neither does",
                ));
            }
        }
    }
    Ok(None)
}

fn setup(session: &[Line], section: &[Line]) -> Result<Setup, Refusal> {
    let value = match single(section, "setup")? {
        None => single(session, "setup")?,
        found => found,
    };
    match value {
        Some("actpass") => Ok(Setup::ActPass),
        Some("active") => Ok(Setup::Active),
        Some("passive") => Ok(Setup::Passive),
        Some(other) => Err(Refusal::malformed(format!(
            "`a=setup:{}` is none of actpass, active and passive",
            shown(other)
        ))),
        None => Err(Refusal::malformed("the SDP has no `a=setup`")),
    }
}

fn fingerprints(lines: &[Line]) -> Result<Vec<Fingerprint>, Refusal> {
    let mut found = Vec::new();
    let mut weak = None;
    for attribute in attributes(lines, "fingerprint") {
        let (name, digest) = attribute.value.split_once(' ').unwrap_or((attribute.value, ""));
        let known = Hash::ALL
            .into_iter()
            .find(|(_, known, _)| known.eq_ignore_ascii_case(name));
        let Some((hash, _, length)) = known else {
            weak = Some(name);
            continue;
        };
        let bytes = hex(digest.trim()).filter(|bytes| bytes.len() == length);
        let bytes = bytes.ok_or_else(|| {
            Refusal::malformed(format!(
                "line {}: a {} fingerprint has {length} pairs of hexadecimal digits with `:` between them",
                attribute.number,
                hash.name()
            ))
        })?;
        let fingerprint = Fingerprint { hash, bytes };
        if found.len() < MAX_FINGERPRINTS && !found.contains(&fingerprint) {
            found.push(fingerprint);
        }
    }
    match weak {
        Some(name) if found.is_empty() => Err(Refusal::unprocessable(format!(
            "fingerprints by `{}` are not trusted: use sha-256, sha-384 or sha-512",
            shown(name)
        ))),
        _ => Ok(found),
    }
}

fn hex(digest: &str) -> Option<Vec<u8>> {
    digest
        .split(':')
        .map(|pair| {
            let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(pair, 16).ok())?
        })
        .collect()
}

impl Transport {
    /// Each section says it; the candidates stand in the tagged one.
    pub(crate) fn write(&self, out: &mut String, tagged: bool) -> fmt::Result {
        let Self { ufrag, pwd, .. } = self;
        write!(out, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n")?;
        if self.trickle {
            out.push_str("a=ice-options:trickle\r\n");
        }
        for fingerprint in &self.fingerprints {
            write!(out, "a=fingerprint:{fingerprint}\r\n")?;
        }
        write!(out, "a=setup:{}\r\n", self.setup.name())?;
        if !tagged {
            return Ok(());
        }
        for candidate in &self.candidates {
            write!(out, "a={candidate}\r\n")?;
        }
        if self.end_of_candidates {
            out.push_str("a=end-of-candidates\r\n");
        }
        Ok(())
    }
}
