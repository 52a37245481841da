//! ICE fragments: `application/trickle-ice-sdpfrag` (RFC 8840, as RFC 9725 uses it).

use crate::candidate::{Candidate, MAX_CANDIDATES};
use crate::lines::{Lines, MAX_FRAGMENT_BYTES, has};
use crate::media;
use crate::refusal::Refusal;
use crate::transport::credentials;

/// What a client says of its ICE after its offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    pub ice_ufrag: String,
    pub ice_pwd: String,
    /// Those that can be used, each once, [`MAX_CANDIDATES`] at most; the others are left out silently.
    pub candidates: Vec<Trickled>,
    pub end_of_candidates: bool,
}

/// One candidate of a fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trickled {
    /// The section that it belongs to; [`crate::Description::line_of`] knows which that is.
    pub mid: Option<String>,
    /// `candidate:…`
    pub candidate: String,
}

impl Fragment {
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let lines = Lines::split(text, "fragment", MAX_FRAGMENT_BYTES)?;
        let mut known = credentials(&lines.session, &[])?;
        let mut fragment = Self {
            ice_ufrag: String::new(),
            ice_pwd: String::new(),
            candidates: Vec::new(),
            end_of_candidates: false,
        };
        for section in std::iter::once(&lines.session).chain(&lines.sections) {
            let own = credentials(&[], section)?;
            if own.is_some() && known.is_some() && own != known {
                return Err(Refusal::malformed(
                    "the fragment has two `a=ice-ufrag` or `a=ice-pwd` that differ",
                ));
            }
            known = known.or(own);
            let mid = media::mid(section)?;
            for line in section.iter().filter(|line| line.kind == b'a') {
                if let Some(candidate) = Candidate::parse(line.value) {
                    fragment.add(mid, &candidate);
                }
            }
            fragment.end_of_candidates |= has(section, "end-of-candidates");
        }
        let (ufrag, pwd) = known.ok_or_else(|| {
            Refusal::malformed(
                "the fragment has no `a=ice-ufrag` and `a=ice-pwd`: send those of your offer with it",
            )
        })?;
        fragment.ice_ufrag = ufrag.to_owned();
        fragment.ice_pwd = pwd.to_owned();
        Ok(fragment)
    }

    fn add(&mut self, mid: Option<&str>, candidate: &Candidate) {
        let candidate = candidate.to_string();
        let known = self.candidates.iter().any(|known| known.candidate == candidate);
        if !known && self.candidates.len() < MAX_CANDIDATES {
            let mid = mid.map(str::to_owned);
            self.candidates.push(Trickled { mid, candidate });
        }
    }

    /// True when this asks for an ICE restart of a session that was offered with these.
    pub fn restarts(&self, ice_ufrag: &str, ice_pwd: &str) -> bool {
        (self.ice_ufrag.as_str(), self.ice_pwd.as_str()) != (ice_ufrag, ice_pwd)
    }
}
