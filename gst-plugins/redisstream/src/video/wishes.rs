//! Wishes for a keyframe: a keyframe is large, so many wishes become one, and not too often.

use std::time::Duration;

use tokio::sync::watch;

/// An encoder is asked at most this often.
pub(crate) const WISH_INTERVAL: Duration = Duration::from_millis(500);

pub(crate) struct Wishes(watch::Sender<bool>);

impl Default for Wishes {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Wishes {
    pub(crate) fn add(&self) {
        self.0.send_replace(true);
    }

    /// A keyframe came: who wished for one before has it.
    pub(crate) fn fulfilled(&self) {
        self.0.send_replace(false);
    }

    /// Waits for a wish, which is then nobody else's. Who grants it pauses for [`WISH_INTERVAL`] before the next.
    pub(crate) async fn next(&self) {
        let mut wished = self.0.subscribe();
        // It cannot be closed: the sender is in `self`.
        drop(wished.wait_for(|wished| *wished).await);
        self.fulfilled();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn many_wishes_are_one_and_a_keyframe_ends_them() {
        let wishes = Wishes::default();
        let granted = || wishes.next().now_or_never().is_some();
        assert!(!granted());
        wishes.add();
        wishes.add();
        assert!(granted());
        assert!(!granted());
        wishes.add();
        wishes.fulfilled();
        assert!(!granted());
    }
}
