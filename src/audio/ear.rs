//! Whether somebody speaks whose sound is followed and never played: the caller, while a change of voice is near.

use crate::{FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENCE_DBFS, Utterance, UtteranceConfig};

/// How long nothing may come of a track until it counts as silent, in samples: a publisher that uses DTX says every 400 ms that
/// it is, one that is muted says nothing.
const NOTHING_SAMPLES: u64 = SAMPLE_RATE_HZ as u64;

/// Follows one voice by its packets. Its methods tell whether somebody speaks, whenever that has changed.
#[derive(Clone, Copy, Debug)]
pub struct Ear {
    utterance: Utterance,
    /// When a packet came last.
    last_48k: u64,
}

impl Ear {
    /// Begins to listen. Somebody counts as speaking until it is known better.
    pub fn new(now_48k: u64) -> Self {
        Self {
            utterance: Utterance::begun(UtteranceConfig::default()),
            last_48k: now_48k,
        }
    }

    /// Takes a packet: its level in dBFS and its length.
    pub fn listen(&mut self, now_48k: u64, dbfs: f32, samples: usize) -> Option<bool> {
        self.last_48k = now_48k;
        let mut changed = false;
        for _ in 0..samples.div_ceil(FRAME_SAMPLES) {
            // Began and ended in one packet is no change.
            changed ^= self.utterance.observe(dbfs).is_some();
        }
        changed.then(|| !self.utterance.is_over())
    }

    /// Takes a packet that says nothing but that there is silence: its encoder has heard none but that for a while.
    pub fn listen_to_silence(&mut self, now_48k: u64) -> Option<bool> {
        let hangover = UtteranceConfig::default().hangover_ms / FRAME_MS;
        self.listen(now_48k, SILENCE_DBFS, hangover as usize * FRAME_SAMPLES)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now_48k: u64) -> Option<bool> {
        let nothing_comes = now_48k.saturating_sub(self.last_48k) >= NOTHING_SAMPLES;
        if !nothing_comes || self.utterance.is_over() {
            return None;
        }
        self.utterance = Utterance::new(UtteranceConfig::default());
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SLOT_SAMPLES;

    const SLOT: u64 = SLOT_SAMPLES as u64;

    #[test]
    fn a_voice_is_followed_over_its_pauses() {
        let mut ear = Ear::new(0);
        let mut told = Vec::new();
        // Half a second of speech, a short pause, speech, half a second of silence, speech.
        for (slot, dbfs) in [-20.0_f32; 25]
            .into_iter()
            .chain([-70.0; 5])
            .chain([-20.0; 5])
            .chain([-70.0; 25])
            .chain([-20.0; 5])
            .enumerate()
        {
            if let Some(speaks) = ear.listen(slot as u64 * SLOT, dbfs, SLOT_SAMPLES) {
                told.push((slot * 20, speaks));
            }
        }
        assert_eq!(told, [(880, false), (1_200, true)]);
    }

    #[test]
    fn one_that_has_not_spoken_since_is_known_to_be_silent_after_the_hangover() {
        let mut ear = Ear::new(0);
        let told: Vec<_> = (0..20)
            .filter_map(|slot| ear.listen(slot * SLOT, -70.0, SLOT_SAMPLES))
            .collect();
        assert_eq!(told, [false]);
    }

    #[test]
    fn a_publishers_word_of_silence_is_taken_at_once() {
        let mut ear = Ear::new(0);
        assert_eq!(ear.listen_to_silence(SLOT), Some(false));
        assert_eq!(ear.listen_to_silence(20 * SLOT), None);
        assert_eq!(ear.listen(21 * SLOT, -20.0, SLOT_SAMPLES), Some(true));
    }

    #[test]
    fn a_track_of_which_nothing_comes_is_silent() {
        let mut ear = Ear::new(5 * SLOT);
        assert_eq!(ear.handle_timeout(54 * SLOT), None);
        assert_eq!(ear.handle_timeout(55 * SLOT), Some(false));
        assert_eq!(ear.handle_timeout(200 * SLOT), None, "once");
        assert_eq!(ear.listen(200 * SLOT, -20.0, SLOT_SAMPLES), Some(true));
        assert_eq!(
            ear.handle_timeout(201 * SLOT),
            None,
            "it has just been heard"
        );
    }
}
