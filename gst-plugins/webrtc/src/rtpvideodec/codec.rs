//! Which elements decode which RTP encoding.

use gst::prelude::*;

/// An element and its properties as text, set where the installed version has them.
pub struct Stage {
    /// The first of these that is installed is taken.
    pub factories: &'static [&'static str],
    pub properties: &'static [(&'static str, &'static str)],
}

/// Frames that lost packets are not shown: the depayloader waits for a keyframe and asks for one.
const DEPAY: &[(&str, &str)] = &[("request-keyframe", "true"), ("wait-for-keyframe", "true")];
/// One thread for each decoder: many sessions share the cores, and frame threads would add delay.
const DECODER: &[(&str, &str)] = &[
    ("threads", "1"),
    ("max-threads", "1"),
    ("automatic-request-sync-points", "true"),
    ("discard-corrupted-frames", "true"),
];

const CODECS: &[(&str, &[Stage])] = &[
    (
        "VP8",
        &[
            Stage {
                factories: &["rtpvp8depay"],
                properties: DEPAY,
            },
            Stage {
                factories: &["vp8dec", "avdec_vp8"],
                properties: DECODER,
            },
            // VP8 knows no other (RFC 6386 §9.2); without it, large pictures would be taken for BT.709.
            Stage {
                factories: &["capssetter"],
                properties: &[("caps", "video/x-raw,colorimetry=bt601")],
            },
        ],
    ),
    (
        "VP9",
        &[
            Stage {
                factories: &["rtpvp9depay"],
                properties: DEPAY,
            },
            Stage {
                factories: &["vp9dec", "avdec_vp9"],
                properties: DECODER,
            },
        ],
    ),
    (
        "H264",
        &[
            Stage {
                factories: &["rtph264depay"],
                properties: DEPAY,
            },
            Stage {
                factories: &["h264parse"],
                properties: &[],
            },
            Stage {
                factories: &["avdec_h264", "openh264dec"],
                properties: DECODER,
            },
        ],
    ),
    (
        "AV1",
        &[
            Stage {
                factories: &["rtpav1depay"],
                properties: DEPAY,
            },
            Stage {
                factories: &["av1parse"],
                properties: &[],
            },
            Stage {
                factories: &["dav1ddec", "av1dec"],
                properties: DECODER,
            },
        ],
    ),
];

/// The stages that decode an RTP `encoding-name`, or what to say.
pub fn stages(encoding: &str) -> Result<&'static [Stage], String> {
    CODECS
        .iter()
        .find(|(name, _)| *name == encoding)
        .map(|(_, stages)| *stages)
        .ok_or_else(|| {
            let known: Vec<_> = CODECS.iter().map(|(name, _)| *name).collect();
            format!(
                "{encoding} video cannot be decoded here; send {}",
                known.join(" or ")
            )
        })
}

/// True if all that decodes an RTP `encoding-name` is installed.
pub fn can_decode(encoding: &str) -> bool {
    stages(encoding).is_ok_and(|stages| stages.iter().all(|stage| stage.factory().is_some()))
}

impl Stage {
    fn factory(&self) -> Option<gst::ElementFactory> {
        self.factories
            .iter()
            .find_map(|name| gst::ElementFactory::find(name))
    }

    pub fn make(&self) -> Result<gst::Element, String> {
        let Some(factory) = self.factory() else {
            return Err(format!(
                "none of the elements {} is installed",
                self.factories.join(", ")
            ));
        };
        let element = factory.create().build().map_err(|error| error.to_string())?;
        for (name, value) in self.properties {
            if element.has_property(name) {
                element.set_property_from_str(name, value);
            }
        }
        Ok(element)
    }
}
