//! What processes and the machine use, as the kernel counts it. Where a file is missing, nothing is known.

use std::path::Path;
use std::time::Duration;

/// Resident and swapped-out bytes of a process.
///
/// A limit on address space would be no use: ONNX Runtime and GPU drivers reserve far more than they use.
pub(super) fn memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| kib_of(&status, name);
    Some((kib("VmRSS:")? + kib("VmSwap:").unwrap_or(0)) * 1024)
}

fn kib_of(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().split(' ').next()?.parse().ok()
}

/// Processor time that a process has used.
pub(super) fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything, up to the last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis((user + system) * 1000 / ticks))
}

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
    fn this_process_has_memory_and_used_processor_time() {
        let me = std::process::id();
        assert!(memory_of(me).unwrap() > 1 << 20);
        assert!(cpu_of(me).is_some());
        assert_eq!(memory_of(u32::MAX), None);
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
