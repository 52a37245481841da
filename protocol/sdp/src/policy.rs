//! What a pipeline wants of a client's offer.

use crate::media::{Direction, Kind, Media};
use crate::refusal::Refusal;

/// Which way the video goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// WHIP: the client sends its camera.
    ClientSends,
    /// WHEP: the client watches.
    ClientReceives,
    /// The client sends its camera, and the picture comes back on the same connection if the client takes one.
    Both,
}

/// What becomes of a client's microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    /// Taken, and nobody listens.
    Accept,
    /// An offer with it is refused as a whole, as RFC 9725 wants it.
    Refuse,
}

/// What a pipeline wants of a client's offer.
#[derive(Debug, Clone)]
pub struct Policy {
    pub flow: Flow,
    pub audio: Audio,
    /// Names of the codecs that are taken, as RTP has them: `VP8`, `H264`, `VP9`, `AV1`.
    pub video_codecs: Vec<String>,
    /// Those that are sent to a client that takes a picture: in one section both directions have one codec.
    pub sent_codecs: Vec<String>,
}

impl Policy {
    /// Tracks and directions; codecs are looked at later.
    pub(crate) fn check(&self, media: &[Media]) -> Result<(), Refusal> {
        let live = |kind| {
            media
                .iter()
                .filter(move |media| media.kind == kind && !media.refused)
        };
        let video: Vec<_> = live(Kind::Video).collect();
        for (kind, wanted) in [
            (Kind::Video, "send one camera"),
            (Kind::Audio, "send one microphone"),
            (Kind::Data, "open one section for data channels"),
        ] {
            let mids: Vec<_> = live(kind).map(|media| media.mid.as_str()).collect();
            if mids.len() > 1 {
                return Err(Refusal::unprocessable(format!(
                    "{wanted}; {} {kind} sections were offered: mids {}",
                    mids.len(),
                    mids.join(", ")
                )));
            }
        }
        if video.is_empty() {
            return Err(Refusal::unprocessable(
                "no video is offered: offer one video section",
            ));
        }
        for media in video.into_iter().chain(live(Kind::Audio)) {
            self.check_direction(media)?;
        }
        Ok(())
    }

    /// The codecs that a section of video may have.
    pub(crate) fn codecs(&self, video: &Media) -> Vec<String> {
        let (taken, sent) = (&self.video_codecs, &self.sent_codecs);
        match (self.flow, video.direction) {
            (Flow::ClientReceives, _) => sent.clone(),
            (Flow::Both, Direction::SendRecv) => {
                taken.iter().filter(|name| sent.contains(name)).cloned().collect()
            }
            _ => taken.clone(),
        }
    }

    fn check_direction(&self, media: &Media) -> Result<(), Refusal> {
        let direction = media.direction;
        if media.kind == Kind::Audio && self.audio == Audio::Refuse && direction.sends() {
            return Err(Refusal::unprocessable(format!(
                "this pipeline takes no audio: leave out the audio section (mid {})",
                media.mid
            )));
        }
        let (fits, wanted) = match self.flow {
            Flow::ClientSends | Flow::Both => (direction.sends(), "sendonly or sendrecv"),
            Flow::ClientReceives => (direction.receives(), "recvonly or sendrecv"),
        };
        if fits {
            return Ok(());
        }
        Err(Refusal::unprocessable(format!(
            "the {} section (mid {}) is {}; this pipeline needs {wanted}",
            media.kind,
            media.mid,
            direction.name()
        )))
    }
}
