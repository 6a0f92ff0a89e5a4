//! A prepared sound that is heard once.

use std::io::Cursor;

use audio::{
    Announcement, AnnouncementError, DeadAir, Made, Playout, PlayoutConfig, SAMPLE_RATE_HZ,
    SLOT_SAMPLES, Slot, WatchdogConfig,
};

/// A WAV file of a tone at -12 dBFS.
fn file(ms: usize, amplitude: f32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a form of WAV");
    for index in 0..ms * 48 {
        let sample = (index as f32 * 0.06).sin() * amplitude;
        writer.write_sample(sample as i16).expect("memory");
    }
    writer.finalize().expect("memory");
    bytes.into_inner()
}

fn slots(playout: &mut Playout, now: &mut u64, count: usize) -> Vec<Slot> {
    (0..count)
        .map(|_| {
            *now += SLOT_SAMPLES as u64;
            playout.poll(*now).expect("every slot gets its packet")
        })
        .collect()
}

fn level(slot: &Slot) -> f32 {
    let levels = slot.levels.iter().flatten();
    levels.copied().fold(f32::NEG_INFINITY, f32::max)
}

#[test]
fn it_is_heard_from_the_next_slot_once_and_its_end_is_told() {
    let mut playout = Playout::new(PlayoutConfig::default()).expect("an encoder");
    playout.guard(
        WatchdogConfig {
            silence_samples: 10 * SLOT_SAMPLES,
            false_start_samples: SLOT_SAMPLES,
        },
        None,
    );
    playout.expect_voice(true);
    let mut now = 0;
    assert!(playout.poll(now).is_some());
    let sound = Announcement::read(&file(1_000, 8_192.0)).expect("a sound");
    playout.announce(sound);
    let heard = slots(&mut playout, &mut now, 100);
    let last = heard.iter().position(|slot| slot.announced);
    assert_eq!(last, Some(49), "a second of it");
    for (place, slot) in heard.iter().enumerate() {
        assert_eq!(slot.made, Made::Mixed);
        let dbfs = level(slot);
        match place {
            0..=49 => assert!((-18.0..-10.0).contains(&dbfs), "{place}: {dbfs} dBFS"),
            _ => assert!(dbfs < -60.0, "{place}: {dbfs} dBFS"),
        }
    }
    let dead_air: Vec<(usize, DeadAir)> = heard
        .iter()
        .enumerate()
        .filter_map(|(place, slot)| Some((place, slot.dead_air?)))
        .collect();
    assert_eq!(
        dead_air,
        [(59, DeadAir::Began)],
        "what is announced is a voice"
    );
    assert_eq!(heard.iter().filter(|slot| slot.announced).count(), 1);
}

#[test]
fn what_is_silent_too_long_or_no_sound_is_refused() {
    let read = |bytes: &[u8]| Announcement::read(bytes).map(|_| ());
    assert!(read(&file(59_990, 8_192.0)).is_ok());
    assert!(matches!(
        read(&file(60_000, 8_192.0)),
        Err(AnnouncementError::TooLong { secs: 60 })
    ));
    assert!(matches!(
        read(&file(500, 0.0)),
        Err(AnnouncementError::File(_))
    ));
    assert!(matches!(read(b"nothing"), Err(AnnouncementError::File(_))));
}
