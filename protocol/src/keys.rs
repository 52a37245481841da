//! Names of Redis keys and channels.

/// Stream of frames: sessions write, workers read.
pub const IMAGES: &str = "images";
/// Consumer group of the workers on [`IMAGES`].
pub const IMAGES_GROUP: &str = "cg:images";
/// Stream of frames that could not be processed (their description, never the picture).
pub const IMAGES_DEAD: &str = "images:dead";
/// Stream of predictions: workers write, integrators and signaling's bridge task read.
pub const PREDICTIONS: &str = "predictions";
/// Consumer group of signaling's bridge task, which hands on the predictions of v1 workers.
pub const BRIDGE_GROUP: &str = "cg:bridge";
/// Hash of tenants, id → name.
pub const TENANTS: &str = "TENANTS";

/// The Pub/Sub channel on which one session's predictions are published.
pub fn predictions_channel(session: &str) -> String {
    format!("predictions:{session}")
}

/// Pattern of all channels made by [`predictions_channel`].
pub const PREDICTIONS_PATTERN: &str = "predictions:*";

/// Stream of a session's encoded picture: its process writes, each of those who watch reads all of it.
pub fn video_stream(session: &str) -> String {
    format!("video:{session}")
}

/// The Pub/Sub channel on which those who watch a session ask for a keyframe.
pub fn video_keyframe_channel(session: &str) -> String {
    format!("video:{session}:keyframe")
}

/// The hash beside a service's liveness key: capacity, load, version, host.
pub fn service_info(service: &str) -> String {
    format!("info:{service}")
}

/// The Pub/Sub channel on which a service hears RPC messages.
pub fn service_channel(service: &str) -> String {
    format!("ch:{service}")
}
