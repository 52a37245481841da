//! Which frames are being worked on, and for how long: every push from pad to pad is seen by a tracer.
//!
//! A thread that waits for work is in no push. One that is in a push and neither comes back nor goes deeper is
//! inside the element behind the pad.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

/// Where one streaming thread is.
#[derive(Debug, Default)]
struct Slot {
    /// Address of the pad whose push is the innermost; 0: in none. Only ever compared.
    pad: AtomicUsize,
    /// Milliseconds since the tracer began.
    since: AtomicU64,
}

impl Slot {
    fn set(&self, pad: usize) {
        self.pad.store(pad, Ordering::Relaxed);
        self.since.store(now_ms(), Ordering::Relaxed);
    }
}

/// The pushes that a thread is in, outermost first.
struct Thread {
    slot: Arc<Slot>,
    pads: Vec<usize>,
}

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::new(Thread::register());
}

static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());

fn slots() -> MutexGuard<'static, Vec<Weak<Slot>>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let elapsed = BEGUN.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

impl Thread {
    fn register() -> Self {
        let slot = Arc::new(Slot::default());
        let mut slots = slots();
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        Self {
            slot,
            pads: Vec::with_capacity(32),
        }
    }
}

fn enter(pad: &gst::Pad) {
    let pad = pad.as_ptr() as usize;
    // A thread that is ending has no such storage any more, and pushes nothing that matters.
    let _ending = THREAD.try_with(|thread| {
        let mut thread = thread.borrow_mut();
        thread.pads.push(pad);
        thread.slot.set(pad);
    });
}

fn leave() {
    let _ending = THREAD.try_with(|thread| {
        let mut thread = thread.borrow_mut();
        thread.pads.pop();
        let outer = thread.pads.last().copied().unwrap_or(0);
        thread.slot.set(outer);
    });
}

/// Begins to watch all pads of this process, for good.
pub(super) fn watch() {
    static TRACER: OnceLock<PushTracer> = OnceLock::new();
    TRACER.get_or_init(glib::Object::new);
}

/// The address of each pad that a thread has been pushing on for `least` or longer, and for how long.
pub(super) fn pushing(least: Duration) -> Vec<(usize, Duration)> {
    let now = now_ms();
    let slots = slots();
    let of = |slot: Arc<Slot>| {
        let since = slot.since.load(Ordering::Relaxed);
        let pad = slot.pad.load(Ordering::Relaxed);
        (pad, Duration::from_millis(now.saturating_sub(since)))
    };
    slots
        .iter()
        .filter_map(Weak::upgrade)
        .map(of)
        .filter(|(pad, time)| *pad != 0 && *time >= least)
        .collect()
}

glib::wrapper! {
    pub struct PushTracer(ObjectSubclass<imp::PushTracer>) @extends gst::Tracer, gst::Object;
}

pub mod imp {
    use super::*;

    #[derive(Debug, Default)]
    pub struct PushTracer;

    #[glib::object_subclass]
    impl ObjectSubclass for PushTracer {
        const NAME: &'static str = "SightlinePushTracer";
        type Type = super::PushTracer;
        type ParentType = gst::Tracer;
    }

    impl ObjectImpl for PushTracer {
        fn constructed(&self) {
            self.parent_constructed();
            for hook in [
                TracerHook::PadPushPre,
                TracerHook::PadPushPost,
                TracerHook::PadPushListPre,
                TracerHook::PadPushListPost,
            ] {
                self.register_hook(hook);
            }
        }
    }

    impl GstObjectImpl for PushTracer {}

    impl TracerImpl for PushTracer {
        fn pad_push_pre(&self, _ts: u64, pad: &gst::Pad, _buffer: &gst::Buffer) {
            enter(pad);
        }

        fn pad_push_post(
            &self,
            _ts: u64,
            _pad: &gst::Pad,
            _result: Result<gst::FlowSuccess, gst::FlowError>,
        ) {
            leave();
        }

        fn pad_push_list_pre(&self, _ts: u64, pad: &gst::Pad, _list: &gst::BufferList) {
            enter(pad);
        }

        fn pad_push_list_post(
            &self,
            _ts: u64,
            _pad: &gst::Pad,
            _result: Result<gst::FlowSuccess, gst::FlowError>,
        ) {
            leave();
        }
    }
}
