//! Which versions run here, and what is known to be wrong with them.

/// A version of GStreamer from which on a weakness is mended, and which one, by a name under which it can be looked up.
/// Sources: the advisories at <https://gstreamer.freedesktop.org/security/>, and the CVE list.
const MENDED: [((u32, u32, u32), &str); 1] = [(
    (1, 24, 10),
    "CVE-2024-47546 and its relatives in qtdemux and other parsers: files and addresses of strangers can crash a pipeline, \
     or worse",
)];

/// Says it once, at the start.
pub fn report() {
    let (major, minor, micro, _) = gst::version();
    tracing::info!(sightline = env!("CARGO_PKG_VERSION"), gstreamer = %gst::version_string(), "versions");
    for weakness in weaknesses((major, minor, micro)) {
        // Distributions mend old versions without changing their numbers.
        tracing::warn!(
            "this GStreamer has {weakness}; unless your distribution has mended it (keep it up to date), take a newer one"
        );
    }
}

fn weaknesses(version: (u32, u32, u32)) -> impl Iterator<Item = &'static str> {
    let open = MENDED.into_iter().filter(move |(mended, _)| version < *mended);
    open.map(|(_, weakness)| weakness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_of() {
        assert_eq!(weaknesses((1, 22, 0)).count(), 1);
        assert_eq!(weaknesses((1, 24, 9)).count(), 1);
        assert_eq!(weaknesses((1, 24, 10)).count(), 0);
        assert_eq!(weaknesses((1, 26, 0)).count(), 0);
    }
}
