//! Which frame a buffer holds.

use gst::meta::CustomMeta;
use sightline_protocol::FrameHeader;

const NAME: &str = "SightlineFrameMeta";

/// A frame's identity, attached to its buffer as the custom meta `SightlineFrameMeta`.
///
/// The structure's fields are `participant-id` (string), `timestamp` (uint: RTP), `seq`, `pts`, `captured`,
/// `published`, `expires`, `read-at` (uint64), `width`, `height` (uint), `traceparent`, `stream`, `entry-id` (string) and
/// `v1` (boolean). All are optional but `timestamp`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameMeta {
    /// As on the wire. `participant_id` is empty until `redisstreamsink` publishes the frame.
    pub header: FrameHeader,
    /// The stream entry that the frame was read from.
    pub entry: Option<Entry>,
    /// Unix time in microseconds at which the entry was read.
    pub read_at: Option<u64>,
}

/// Where a frame lies in Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stream: String,
    pub id: String,
    /// The consumer group that must acknowledge it.
    pub group: String,
}

impl FrameMeta {
    /// Attaches the identity to a buffer, in place of one that is there.
    pub fn attach(&self, buffer: &mut gst::BufferRef) -> Result<(), glib::BoolError> {
        crate::register(NAME);
        if let Ok(mut meta) = CustomMeta::from_mut_buffer(buffer, NAME) {
            self.write(meta.mut_structure());
            return Ok(());
        }
        self.write(CustomMeta::add(buffer, NAME)?.mut_structure());
        Ok(())
    }

    /// The identity of a buffer, if it has one.
    pub fn read(buffer: &gst::BufferRef) -> Option<Self> {
        crate::register(NAME);
        let meta = CustomMeta::from_buffer(buffer, NAME).ok()?;
        let structure = meta.structure();
        let text = |name: &str| structure.get::<String>(name).ok();
        let entry = match (text("stream"), text("entry-id"), text("group")) {
            (Some(stream), Some(id), Some(group)) => Some(Entry { stream, id, group }),
            _ => None,
        };
        let header = FrameHeader {
            participant_id: text("participant-id").unwrap_or_default(),
            timestamp: structure.get("timestamp").ok()?,
            seq: structure.get("seq").ok(),
            pts: structure.get("pts").ok(),
            captured: structure.get("captured").ok(),
            published: structure.get("published").ok(),
            expires: structure.get("expires").ok(),
            width: structure.get("width").ok(),
            height: structure.get("height").ok(),
            traceparent: text("traceparent"),
            v1: structure.get("v1").unwrap_or(false),
        };
        Some(Self {
            header,
            entry,
            read_at: structure.get("read-at").ok(),
        })
    }

    fn write(&self, structure: &mut gst::StructureRef) {
        let FrameHeader {
            participant_id,
            timestamp,
            seq,
            pts,
            captured,
            published,
            expires,
            width,
            height,
            traceparent,
            v1,
        } = &self.header;
        structure.set("participant-id", participant_id);
        structure.set("timestamp", timestamp);
        structure.set("v1", v1);
        let numbers = [
            ("seq", *seq),
            ("pts", *pts),
            ("captured", *captured),
            ("published", *published),
            ("expires", *expires),
            ("read-at", self.read_at),
        ];
        for (name, value) in numbers {
            structure.set_if_some(name, value);
        }
        structure.set_if_some("width", *width);
        structure.set_if_some("height", *height);
        structure.set_if_some("traceparent", traceparent.as_deref());
        if let Some(Entry { stream, id, group }) = &self.entry {
            structure.set("stream", stream);
            structure.set("entry-id", id);
            structure.set("group", group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_survives_a_copy_of_the_buffer() {
        gst::init().unwrap();
        let meta = FrameMeta {
            header: FrameHeader {
                participant_id: "abc".into(),
                timestamp: 7,
                seq: Some(1),
                pts: Some(u64::MAX),
                width: Some(640),
                ..Default::default()
            },
            entry: Some(Entry {
                stream: "images".into(),
                id: "1-0".into(),
                group: "cg:images".into(),
            }),
            read_at: Some(3),
        };
        let mut buffer = gst::Buffer::with_size(4).unwrap();
        meta.attach(buffer.get_mut().unwrap()).unwrap();
        assert_eq!(FrameMeta::read(&buffer.copy()), Some(meta.clone()));

        let second = FrameMeta {
            read_at: Some(4),
            ..meta
        };
        second.attach(buffer.make_mut()).unwrap();
        assert_eq!(FrameMeta::read(&buffer), Some(second));
    }
}
