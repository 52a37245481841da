//! What both ends of an encoded picture must agree on.
//!
//! | module | what |
//! |---|---|
//! | `caps` | the form of the data, as text and back |
//! | `continuity` | which frame may follow which |
//! | `wishes` | when an encoder is asked for a keyframe |

pub(crate) mod caps;
mod continuity;
mod wishes;

pub(crate) use continuity::Continuity;
pub(crate) use wishes::{WISH_INTERVAL, Wishes};
