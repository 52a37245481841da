//! What a process uses, as the kernel counts it. Where a file is missing, nothing is known.

use std::time::Duration;

/// Resident and swapped-out bytes of a process.
///
/// A limit on address space would be no use: ONNX Runtime and GPU drivers reserve far more than they use.
pub fn memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| kib_of(&status, name);
    Some((kib("VmRSS:")? + kib("VmSwap:").unwrap_or(0)) * 1024)
}

/// A number of KiB in a text of lines like `VmRSS:   1234 kB`.
pub fn kib_of(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().split(' ').next()?.parse().ok()
}

/// Processor time that a process has used.
pub fn cpu_of(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name may hold anything, up to the last bracket.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis((user + system) * 1000 / ticks))
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
    }
}
