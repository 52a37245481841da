//! Which versions run here, and what is known to be wrong with them.

type Version = (u32, u32, u32);

/// What strangers can do to a GStreamer that is too old.
struct Weakness {
    /// The first release that is mended, of each series that was; later series all are.
    mended: &'static [Version],
    /// By the names under which it can be looked up.
    what: &'static str,
}

/// Of what pipelines here load, in order. Sources: the advisories at <https://gstreamer.freedesktop.org/security/>, the CVE list, and
/// the announcements of 1.26.11, 1.28.1 and 1.28.2 on oss-security (16 March and 1 May 2026).
const WEAKNESSES: [Weakness; 5] = [
    Weakness {
        mended: &[(1, 24, 10)],
        what: "GStreamer-SA-2024-0005 to -0030 (CVE-2024-47546 and others) in the MP4, Matroska and Ogg demuxers, Opus and JPEG decoders",
    },
    Weakness {
        mended: &[(1, 26, 2)],
        what: "GStreamer-SA-2025-0001 to -0006 (CVE-2025-3887, CVE-2025-47219 and others) in the H.265 parser and the MP4 demuxer",
    },
    Weakness {
        mended: &[(1, 26, 11), (1, 28, 1)],
        what: "GStreamer-SA-2026-0001 to -0012 (CVE-2026-3082 and others) in the JPEG, H.265 and H.266 parsers and the MP4 demuxer",
    },
    Weakness {
        mended: &[(1, 28, 2)],
        what: "GStreamer-SA-2026-0013 to -0023 (CVE-2026-5056 and others) in the MP4 and Matroska demuxers, H.264 and AV1 parsers",
    },
    Weakness {
        mended: &[(1, 28, 7)],
        what: "CVE-2026-85150: an RTSP server, such as a camera, can crash who reads it",
    },
];

/// Says it once, at the start.
pub fn report() {
    let (major, minor, micro, _) = gst::version();
    tracing::info!(sightline = env!("CARGO_PKG_VERSION"), gstreamer = %gst::version_string(), "versions");
    let open: Vec<_> = weaknesses((major, minor, micro)).collect();
    if !open.is_empty() {
        // Distributions mend old versions without changing their numbers.
        tracing::warn!(
            "by its number this GStreamer has weaknesses through which files, cameras and clients can crash a pipeline, or \
             worse; if your distribution has not mended them (its security tracker says so), take a newer one: {}",
            open.join("; ")
        );
    }
}

fn weaknesses(version: Version) -> impl Iterator<Item = &'static str> {
    let open = WEAKNESSES
        .iter()
        .filter(move |weakness| !weakness.is_mended_in(version));
    open.map(|weakness| weakness.what)
}

impl Weakness {
    fn is_mended_in(&self, version: Version) -> bool {
        let series = |(major, minor, _): Version| (major, minor);
        let in_its_series = |mended: &&Version| series(**mended) == series(version);
        match self.mended.iter().find(in_its_series).or(self.mended.last()) {
            Some(mended) => version >= *mended,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_of() {
        for (version, count) in [
            ((1, 22, 0), 5),
            ((1, 24, 9), 5),
            ((1, 24, 10), 4),
            ((1, 26, 1), 4),
            ((1, 26, 2), 3),
            ((1, 26, 11), 2),
            // Begun before 1.26.11 was, and without what that has.
            ((1, 28, 0), 3),
            ((1, 28, 1), 2),
            ((1, 28, 2), 1),
            ((1, 28, 7), 0),
            ((1, 30, 0), 0),
        ] {
            assert_eq!(weaknesses(version).count(), count, "{version:?}");
        }
    }

    #[test]
    fn each_has_a_name_to_look_up_and_comes_after_those_before() {
        for weakness in &WEAKNESSES {
            assert!(weakness.what.contains("CVE-20"), "{}", weakness.what);
            assert!(weakness.mended.is_sorted() && !weakness.mended.is_empty());
        }
        assert!(WEAKNESSES.is_sorted_by_key(|weakness| weakness.mended.last()));
    }
}
