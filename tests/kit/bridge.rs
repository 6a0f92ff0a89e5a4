//! The mixer of LiveKit's SIP bridge, as far as a caller can hear it.
//!
//! Every 20 ms it adds up what its inputs have, at unity gain. An input starts when 3 frames are
//! buffered, holds at most 5, and starts over when it has run dry. Pure: the caller ticks.

use std::collections::{BTreeMap, VecDeque};

/// Samples of a tick: 20 ms at 48 kHz.
pub const TICK_SAMPLES: usize = 960;
/// Milliseconds of a tick.
pub const TICK_MS: u64 = 20;

const START_FRAMES: usize = 3;
const HELD_FRAMES: usize = 5;
/// Above this a sample is somebody's voice: -24 dBFS. A decoder that is given silence after a voice was torn off makes less.
const SOUNDING_MIN: u16 = 2_000;
/// More tracks than this in one room are not heard.
const INPUTS_MAX: usize = 32;

/// Adds up the tracks of a room for one caller.
#[derive(Clone, Debug, Default)]
pub struct BridgeMixer {
    inputs: BTreeMap<String, BridgeInput>,
    starved: u64,
    overrun_samples: u64,
    sounding: usize,
}

#[derive(Clone, Debug)]
struct BridgeInput {
    samples: VecDeque<i16>,
    buffering: bool,
}

impl BridgeMixer {
    /// A mixer without inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends 48 kHz mono samples of a track; the track becomes an input with its first samples.
    pub fn push(&mut self, track: &str, samples: &[i16]) {
        if !self.inputs.contains_key(track) {
            if self.inputs.len() >= INPUTS_MAX {
                return;
            }
            let input = BridgeInput {
                samples: VecDeque::new(),
                buffering: true,
            };
            self.inputs.insert(track.to_owned(), input);
        }
        let Some(input) = self.inputs.get_mut(track) else {
            return;
        };
        input.samples.extend(samples);
        let excess = input
            .samples
            .len()
            .saturating_sub(HELD_FRAMES * TICK_SAMPLES);
        input.samples.drain(..excess);
        self.overrun_samples += excess as u64;
    }

    /// Forgets a track and what it had buffered.
    pub fn remove(&mut self, track: &str) {
        self.inputs.remove(track);
    }

    /// Writes the next 20 ms.
    pub fn tick(&mut self, out: &mut [i16; TICK_SAMPLES]) {
        let mut sum = [0_i32; TICK_SAMPLES];
        self.sounding = 0;
        for input in self.inputs.values_mut() {
            if input.buffering && input.samples.len() < START_FRAMES * TICK_SAMPLES {
                continue;
            }
            input.buffering = false;
            if input.samples.is_empty() {
                input.buffering = true;
                self.starved += 1;
                continue;
            }
            let taken = input.samples.len().min(TICK_SAMPLES);
            let mut heard = input.samples.iter().take(taken);
            self.sounding += usize::from(heard.any(|sample| sample.unsigned_abs() > SOUNDING_MIN));
            for (sum, sample) in sum.iter_mut().zip(input.samples.drain(..taken)) {
                *sum += i32::from(sample);
            }
        }
        for (out, sum) in out.iter_mut().zip(sum) {
            *out = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
    }

    /// How many inputs sounded in the last tick.
    pub fn sounding(&self) -> usize {
        self.sounding
    }

    /// Times an input has run dry.
    pub fn starved(&self) -> u64 {
        self.starved
    }

    /// Samples thrown away because an input held too many.
    pub fn overrun_samples(&self) -> u64 {
        self.overrun_samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(mixer: &mut BridgeMixer) -> i16 {
        let mut out = [7; TICK_SAMPLES];
        mixer.tick(&mut out);
        out[0]
    }

    #[test]
    fn an_input_starts_at_three_frames() {
        let mut mixer = BridgeMixer::new();
        for _ in 0..2 {
            mixer.push("a", &[10; TICK_SAMPLES]);
            assert_eq!(tick(&mut mixer), 0);
        }
        mixer.push("a", &[10; TICK_SAMPLES]);
        for _ in 0..3 {
            assert_eq!(tick(&mut mixer), 10);
        }
    }

    #[test]
    fn an_input_that_ran_dry_buffers_again() {
        let mut mixer = BridgeMixer::new();
        mixer.push("a", &[10; 3 * TICK_SAMPLES]);
        for _ in 0..3 {
            assert_eq!(tick(&mut mixer), 10);
        }
        assert_eq!(tick(&mut mixer), 0);
        assert_eq!(mixer.starved(), 1);
        mixer.push("a", &[10; 2 * TICK_SAMPLES]);
        assert_eq!(tick(&mut mixer), 0, "two frames are not enough");
        mixer.push("a", &[10; TICK_SAMPLES]);
        assert_eq!(tick(&mut mixer), 10);
    }

    #[test]
    fn an_input_holds_five_frames_and_drops_the_oldest() {
        let mut mixer = BridgeMixer::new();
        for value in 1..=7 {
            mixer.push("a", &[value; TICK_SAMPLES]);
        }
        assert_eq!(mixer.overrun_samples(), 2 * TICK_SAMPLES as u64);
        let heard: Vec<i16> = (0..6).map(|_| tick(&mut mixer)).collect();
        assert_eq!(heard, [3, 4, 5, 6, 7, 0]);
    }

    #[test]
    fn inputs_add_up_at_unity_and_clip() {
        let mut mixer = BridgeMixer::new();
        mixer.push("a", &[20_000; 3 * TICK_SAMPLES]);
        mixer.push("b", &[10_000; 3 * TICK_SAMPLES]);
        assert_eq!(tick(&mut mixer), 30_000);
        mixer.push("c", &[10_000; 3 * TICK_SAMPLES]);
        assert_eq!(tick(&mut mixer), i16::MAX);
        mixer.remove("a");
        assert_eq!(tick(&mut mixer), 20_000);
    }
}
