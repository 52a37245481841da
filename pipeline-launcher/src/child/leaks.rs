//! What leaky queues gave up for newer frames: they do not say it themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::progress::count_at;
use crate::control::Stats;

/// The leaky queues of a pipeline.
#[derive(Clone, Default)]
pub(super) struct Leaks(Arc<Mutex<Vec<Leak>>>);

struct Leak {
    queue: gst::Element,
    entered: Arc<AtomicU64>,
    left: Arc<AtomicU64>,
}

impl Leaks {
    /// Counts at the element's pads, if it is a queue that leaks.
    pub(super) fn watch(&self, element: &gst::Element) {
        let is_queue = element.factory().is_some_and(|factory| factory.name() == "queue");
        if !is_queue || enum_nick(element, "leaky").is_none_or(|leaky| leaky == "no") {
            return;
        }
        let count = |direction| {
            let counter = Arc::default();
            for pad in element.pads() {
                count_at(&pad, direction, &counter);
            }
            counter
        };
        let leak = Leak {
            queue: element.clone(),
            entered: count(gst::PadDirection::Sink),
            left: count(gst::PadDirection::Src),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(leak);
    }

    /// As our own elements say what they dropped, by the queue's name.
    pub(super) fn stats(&self) -> BTreeMap<String, Stats> {
        let leaks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        leaks
            .iter()
            .map(|leak| {
                // What is inside is read last: a frame that enters meanwhile is no leak.
                let gone = leak
                    .entered
                    .load(Ordering::Relaxed)
                    .saturating_sub(leak.left.load(Ordering::Relaxed));
                let inside = leak.queue.property::<u32>("current-level-buffers");
                let leaked = gone.saturating_sub(inside.into());
                let stats = Stats::from([("leaked".to_owned(), leaked.into())]);
                (leak.queue.name().to_string(), stats)
            })
            .collect()
    }
}

fn enum_nick(element: &gst::Element, property: &str) -> Option<String> {
    let value = element
        .find_property(property)
        .map(|_| element.property_value(property))?;
    glib::EnumValue::from_value(&value).map(|(_, value)| value.nick().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaky_queue_s_losses_are_counted() {
        gst::init().unwrap();
        let launch = "fakesrc num-buffers=20 ! queue name=tight leaky=downstream max-size-buffers=1 ! \
                      identity sleep-time=20000 ! queue name=wide ! fakesink sync=false";
        let pipeline = gst::parse::launch(launch).unwrap();
        let bin = pipeline.clone().downcast::<gst::Bin>().unwrap();
        let leaks = Leaks::default();
        for element in bin.children() {
            leaks.watch(&element);
        }
        let out = Arc::default();
        let wide = bin.by_name("wide").unwrap().static_pad("sink").unwrap();
        count_at(&wide, gst::PadDirection::Sink, &out);
        pipeline.set_state(gst::State::Playing).unwrap();
        let end = pipeline.bus().unwrap().timed_pop_filtered(
            gst::ClockTime::from_seconds(30),
            &[gst::MessageType::Eos, gst::MessageType::Error],
        );
        assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
        let stats = leaks.stats();
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(stats.keys().collect::<Vec<_>>(), ["tight"]);
        let leaked = stats["tight"]["leaked"].as_u64().unwrap();
        assert_eq!(leaked + out.load(Ordering::Relaxed), 20);
        assert!(leaked > 0, "twenty buffers at once are too many for one place");
    }
}
