//! What reached a caller and when, before its own buffers: the part of a change of voice that is not the caller's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use kit::probe::{self, Expected};
use livekit::webrtc::encoded::ReceivedFrame;
use opus::{Channels, Decoder};

use crate::journal::now_us;

const SAMPLE_RATE_HZ: u32 = 48_000;
/// Samples of a packet at most: 120 ms.
const PACKET_SAMPLES_MAX: usize = 5_760;
/// An hour of two tracks: a run that takes longer is stopped from growing.
const ARRIVALS_MAX: usize = 2 * 3_600 * 50;

/// A packet that has reached the caller.
#[derive(Clone, Debug)]
struct Arrival {
    /// Microseconds since the Unix epoch.
    at_us: u64,
    track: Arc<str>,
    payload: Bytes,
}

/// The packets of all tracks in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrivals(Vec<Arrival>);

impl Arrivals {
    /// Notes a packet of a track.
    pub(crate) fn push(&mut self, track: &Arc<str>, frame: ReceivedFrame) {
        if self.0.len() < ARRIVALS_MAX {
            let waited = Instant::now().saturating_duration_since(frame.arrived);
            self.0.push(Arrival {
                at_us: now_us().saturating_sub(waited.as_micros() as u64),
                track: track.clone(),
                payload: frame.payload,
            });
        }
    }

    /// For each change of voice after `from_us`, when the first packet came in which the new one is heard, in microseconds since
    /// the Unix epoch.
    ///
    /// # Errors
    /// When the changes cannot be found, or a packet cannot be decoded.
    pub(crate) fn of_changes(&self, from_us: u64, expected: &Expected) -> Result<Vec<u64>> {
        let mut decoders: BTreeMap<&str, Decoder> = BTreeMap::new();
        let (mut samples, mut came_us) = (Vec::new(), Vec::new());
        let mut pcm = vec![0; PACKET_SAMPLES_MAX];
        let window = (u64::from(SAMPLE_RATE_HZ) * probe::WINDOW_MS / 1_000) as usize;
        for arrival in self.0.iter().filter(|arrival| arrival.at_us >= from_us) {
            let decoder = match decoders.entry(&arrival.track) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(Decoder::new(SAMPLE_RATE_HZ, Channels::Mono)?)
                }
            };
            let length = decoder
                .decode(&arrival.payload, &mut pcm, false)
                .context("a packet that reached the caller")?;
            samples.extend_from_slice(&pcm[..length]);
            came_us.resize(samples.len() / window, arrival.at_us);
        }
        let verdict = probe::judge(&samples, SAMPLE_RATE_HZ, expected)
            .context("what reached the caller cannot be judged")?;
        let when = |at_ms: u64| came_us.get((at_ms / probe::WINDOW_MS) as usize).copied();
        let changes = verdict.changes.iter();
        Ok(changes
            .filter_map(|change| when(change.audible_at_ms))
            .collect())
    }
}
