//! What the machine has, as the kernel counts it. Where a file is missing, nothing is known.

use std::path::Path;

use sightline_service::usage::kib_of;

/// Cores that this launcher and what it starts may use: the machine's, or the container's share of them.
pub(super) fn cores() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let quota = std::fs::read_to_string(own_cgroup("cpu.max")).ok();
    quota
        .and_then(|quota| quota_of(&quota))
        .map_or(cores, |quota| quota.min(cores))
}

/// Bytes that can still be used before something has to be ended, or none if that is not known.
pub(super) fn memory_left() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = kib_of(&meminfo, "MemAvailable:")? * 1024;
    let number = |file: &str| {
        let text = std::fs::read_to_string(own_cgroup(file)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let container = number("memory.max").zip(number("memory.current"));
    let left = container.map(|(max, current)| max.saturating_sub(current));
    Some(left.map_or(machine, |left| left.min(machine)))
}

/// A file of our own group in version 2's hierarchy; in a container that is its root.
fn own_cgroup(file: &str) -> std::path::PathBuf {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    Path::new("/sys/fs/cgroup").join(own).join(file)
}

/// `cpu.max`: microseconds per period, or `max`.
fn quota_of(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_cores_and_memory() {
        assert!(cores() > 0.0 && memory_left().unwrap() > 0);
    }

    #[test]
    fn a_containers_share_is_read() {
        assert_eq!(quota_of("150000 100000\n"), Some(1.5));
        for text in ["max 100000", "", "1", "0 100000", "1 0"] {
            assert_eq!(quota_of(text), None, "{text}");
        }
    }
}
