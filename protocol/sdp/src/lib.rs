//! SDP from outside, checked and normalised before signaling or GStreamer sees it. Pure text; no IO.
//!
//! A text is read into types and written again from them, so what comes out is well formed by construction: one
//! transport for all sections (BUNDLE, rtcp-mux), unique mids, one direction each, only the attributes and codecs that
//! `webrtcbin` of GStreamer 1.22 understands, and only candidates with an IP address. Whatever cannot be mended is
//! refused in words. Normalising a normalised text changes nothing.

pub mod candidate;
mod codec;
mod description;
mod fragment;
mod lines;
mod media;
mod policy;
mod refusal;
mod transport;

pub use codec::Codec;
pub use description::{Answer, Description, Offer};
pub use fragment::{Fragment, Trickled};
pub use lines::{MAX_FRAGMENT_BYTES, MAX_SDP_BYTES};
pub use media::{Direction, Kind, Media};
pub use policy::{Audio, Flow, Policy};
pub use refusal::Refusal;
pub use transport::{Fingerprint, Hash, Setup};
