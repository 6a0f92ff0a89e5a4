//! The load that a worker reports: a share of its slots, never CPU.

/// The load from which on a LiveKit server offers a worker nothing (`agents.target_load`).
///
/// The server's affinity for a worker is this figure minus the reported load, and a job for which
/// no worker has an affinity is dropped. So the load stays below it until the last slot is taken.
pub const TARGET_LOAD: f32 = 0.7;

/// The load that is reported to the server for `active` of `max_jobs` slots, from 0 to 0.7.
pub fn reported_load(active: u32, max_jobs: u32) -> f32 {
    if active >= max_jobs {
        return TARGET_LOAD;
    }
    // In f64, so that one free slot in 100,000 still gives less than the target after rounding.
    (f64::from(active) / f64::from(max_jobs) * 0.7) as f32
}

/// The same for a worker that is to be offered jobs beyond its slots, to turn them away: above that of any free slot, and below 0.7.
///
/// A server draws among its workers by chance, each with the weight of 1 minus its load: this one is drawn beside others that have a free
/// slot.
pub fn overflow_load(max_jobs: u32) -> f32 {
    let last = (f64::from(max_jobs) - 0.5) / f64::from(max_jobs);
    (last * 0.7) as f32
}

/// The share of the slots that is taken, from 0 to 1.
pub fn unscaled_load(active: u32, max_jobs: u32) -> f32 {
    if active >= max_jobs {
        return 1.0;
    }
    (f64::from(active) / f64::from(max_jobs)) as f32
}
