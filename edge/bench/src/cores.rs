//! Which core the server and the generator run on. A child inherits the affinity of the thread that starts
//! it, so the generator steps onto the server's core for that moment.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of a run. `None`: both sides run where the kernel puts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores(Option<Pair>);

#[derive(Clone, Copy, Debug)]
struct Pair {
    server: usize,
    generator: usize,
}

impl Cores {
    /// The two cores, if this process may use both and they differ; else none, and a warning.
    ///
    /// # Errors
    /// The kernel does not tell the affinity.
    pub(crate) fn choose(server: usize, generator: usize) -> Result<Self> {
        let allowed = sched_getaffinity(None).context("affinity of this process")?;
        let usable = |core| core < CpuSet::MAX_CPU && allowed.is_set(core);
        if server != generator && usable(server) && usable(generator) {
            return Ok(Self(Some(Pair { server, generator })));
        }
        eprintln!(
            "bench: cores {server} and {generator} are not both usable: nothing is pinned, figures are not comparable"
        );
        Ok(Self(None))
    }

    /// Puts the calling thread onto the server's core.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn as_server(self) -> Result<()> {
        self.0.map_or(Ok(()), |pair| pin(pair.server))
    }

    /// Puts the calling thread onto the generator's core.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn as_generator(self) -> Result<()> {
        self.0.map_or(Ok(()), |pair| pin(pair.generator))
    }

    /// As the report names them.
    pub(crate) fn describe(self) -> String {
        self.0.map_or_else(
            || "not pinned".to_owned(),
            |pair| format!("server {}, generator {}", pair.server, pair.generator),
        )
    }
}

fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("affinity to core {core}"))
}
