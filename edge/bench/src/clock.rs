//! Clocks in nanoseconds: the monotonic one, which dates payloads, and the processor time of a thread.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds, of a clock or of a difference.
pub(crate) type Nanos = u64;

/// Nanoseconds in a second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// Nanoseconds in a millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000_000;

/// The monotonic clock.
pub(crate) fn now() -> Nanos {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Processor time of the calling thread, user and system.
pub(crate) fn thread_cpu() -> Nanos {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// Processor time of this process, user and system.
pub(crate) fn process_cpu() -> Nanos {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

fn nanos(time: Timespec) -> Nanos {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * SECOND + part(time.tv_nsec)
}
