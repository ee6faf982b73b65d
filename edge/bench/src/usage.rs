//! What a process and the machine used, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// Processor time in microseconds. The kernel splits user and system by its own sampling; the sum is exact to
/// 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// In the program.
    pub(crate) user: f64,
    /// In the kernel on its behalf.
    pub(crate) system: f64,
}

impl Cpu {
    /// Of a process so far, all threads.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = read(&format!("/proc/{pid}/stat"))?;
        cpu(&stat).with_context(|| format!("/proc/{pid}/stat: {stat}"))
    }

    /// Both kinds.
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Memory {
    /// Everything, the program's own pages included.
    pub(crate) resident: f64,
    /// Heap and stacks.
    pub(crate) anonymous: f64,
}

impl Memory {
    /// Of a process now.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let text = read(&format!("/proc/{pid}/smaps_rollup"))?;
        memory(&text).with_context(|| format!("/proc/{pid}/smaps_rollup: {text}"))
    }
}

/// Processor time of the whole machine in microseconds, all cores, work of the hypervisor's other guests
/// included.
///
/// # Errors
/// The kernel does not tell.
pub(crate) fn machine_busy() -> Result<f64> {
    let stat = read("/proc/stat")?;
    busy(&stat).context("/proc/stat has no line of all processors")
}

/// The processor's model.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.to_owned())
}

fn microseconds(ticks: u64) -> f64 {
    ticks as f64 * 1e6 / rustix::param::clock_ticks_per_second() as f64
}

fn cpu(stat: &str) -> Option<Cpu> {
    // The name in parentheses may have spaces; the state is the first field behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse().ok().map(microseconds);
    Some(Cpu {
        user: ticks()?,
        system: ticks()?,
    })
}

fn memory(rollup: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024.0)
    };
    Some(Memory {
        resident: bytes("Rss:")?,
        anonymous: bytes("Anonymous:")?,
    })
}

fn busy(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal guest guest_nice; guests are part of user.
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().take(8).sum();
    Some(microseconds(all - idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_a_name_with_spaces_and_parentheses() {
        let stat = "12 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4";
        let cpu = cpu(stat).unwrap();
        assert_eq!((cpu.user, cpu.system), (2.5e6, 0.5e6));
    }

    #[test]
    fn memory_is_in_bytes() {
        let rollup = "00400000-7fff [rollup]\nRss:     2048 kB\nPss:  1 kB\nAnonymous:   1024 kB\n";
        let memory = memory(rollup).unwrap();
        assert_eq!(
            (memory.resident, memory.anonymous),
            (2048.0 * 1024.0, 1024.0 * 1024.0)
        );
    }

    #[test]
    fn idle_and_waiting_processors_are_not_busy() {
        assert_eq!(
            busy("cpu  100 0 50 1000 500 0 25 25 7 0\ncpu0 1"),
            Some(2e6)
        );
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(Memory::of(pid).unwrap().resident > 0.0);
        assert!(Cpu::of(pid).unwrap().total() >= 0.0);
        assert!(machine_busy().unwrap() > 0.0);
    }
}
