//! What this process uses, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// What the threads of one name have used.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Used {
    pub(crate) cpu_ms: f64,
    /// How often they have gone to sleep, and so have been woken.
    pub(crate) wakes: f64,
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ms: self.cpu_ms - before.cpu_ms,
            wakes: self.wakes - before.wakes,
        }
    }
}

/// What has been used so far, by the threads' names.
pub(crate) fn threads() -> Result<BTreeMap<String, Used>> {
    let mut threads: BTreeMap<String, Used> = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task").context("the kernel tells no threads")? {
        let folder = thread?.path();
        let name = fs::read_to_string(folder.join("comm"))?;
        let used = threads.entry(name.trim().to_owned()).or_default();
        used.cpu_ms += cpu_of(&folder)?.as_secs_f64() * 1_000.0;
        used.wakes += number(&folder.join("status"), "voluntary_ctxt_switches:")? as f64;
    }
    Ok(threads)
}

/// User and system time of all threads that run.
pub(crate) fn cpu() -> Result<Duration> {
    let cpu_ms: f64 = threads()?.values().map(|used| used.cpu_ms).sum();
    Ok(Duration::from_secs_f64(cpu_ms / 1_000.0))
}

/// User and system time of the thread that asks.
pub(crate) fn thread_cpu() -> Result<Duration> {
    cpu_of(Path::new("/proc/thread-self"))
}

/// A number of the process.
pub(crate) fn status(name: &str) -> Result<u64> {
    number(Path::new("/proc/self/status"), name)
}

fn cpu_of(thread: &Path) -> Result<Duration> {
    let counted = fs::read_to_string(thread.join("schedstat"));
    let counted = counted.context("the kernel tells no CPU time")?;
    let nanos = counted.split_whitespace().next().unwrap_or_default();
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn number(file: &Path, name: &str) -> Result<u64> {
    let status = fs::read_to_string(file).context("the kernel tells nothing")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| format!("no {name}"))?.parse()?)
}
