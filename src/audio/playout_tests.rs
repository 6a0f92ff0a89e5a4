//! The program track as packets, in virtual time: what passes as it came, what is mixed, and the seams between.

use audio::{
    Clip, ClipError, ClipFileError, DeadAir, Fade, FadeStart, FillerConfig, Made, Meter, Packet,
    SLOT_SAMPLES, Sound, SwitchSound, Taken, TrackId, WatchdogConfig,
};
use bytes::Bytes;
use opus::Channels;

mod playout_stage;

use playout_stage::{
    ANNA, BEN, Sender, Stage, largest_jump, level_at_db, likeness, percentile_jump, recorded,
    rms_db, speech, tone,
};

#[test]
fn the_packets_of_one_holder_pass_as_they_came() {
    let mut stage = Stage::solo();
    let mut anna = Sender::new(tone(440.0, 1_000));
    let mut sent = Vec::new();
    for _ in 0..100 {
        let packet = anna.packet();
        sent.push(packet.payload().clone());
        stage.push(1, packet);
        stage.turn();
    }
    let passed: Vec<_> = stage
        .slots
        .iter()
        .filter(|slot| slot.made == Made::Passed)
        .filter_map(|slot| slot.payload.clone())
        .collect();
    assert_eq!(passed, sent);
    assert_eq!(stage.counters().taken_over, 0);
    assert_eq!(
        stage.slots.iter().filter(|slot| slot.first_heard).count(),
        1
    );
    stage.assert_on_time();
}

#[test]
fn a_minute_of_a_pause_is_filled_slot_for_slot() {
    let mut stage = Stage::solo();
    let mut clip = tone(300.0, 400);
    clip.extend(vec![0; 60_000 * 48]);
    clip.extend(tone(300.0, 400));
    let mut anna = Sender::new(clip).dtx();
    let mut left_out = 0;
    for _ in 0..60_800 / 20 {
        let packet = anna.packet();
        // As a sender with DTX does: what says only that there is silence is sent now and then.
        if packet.is_silence() && !packet.sequence().is_multiple_of(20) {
            left_out += 1;
            // The sequence goes on with what is sent.
            anna.sequence -= 1;
        } else {
            stage.push(1, packet);
        }
        stage.turn();
    }
    assert!(left_out > 2_000, "the sender pauses: {left_out}");
    stage.assert_on_time();
    assert!(stage.made(Made::Filled) >= left_out - 2);
    assert!(rms_db(&stage.pcm[stage.pcm.len() - 9_600..]) > -30.0);
}

#[test]
fn a_lost_packet_is_bridged_and_nothing_is_shifted() {
    let mut stage = Stage::solo();
    let mut anna = Sender::new(tone(440.0, 1_000));
    for index in 0..200 {
        let packet = anna.packet();
        if index % 20 != 7 {
            stage.push(1, packet);
        }
        stage.turn();
    }
    assert_eq!(stage.made(Made::Filled), 10);
    assert_eq!(stage.made(Made::Passed), 190);
    stage.assert_on_time();
}

#[test]
fn packets_that_come_out_of_order_leave_in_order() {
    let mut stage = Stage::solo();
    let mut anna = Sender::new(tone(440.0, 1_000));
    let packets: Vec<Packet> = (0..40).map(|_| anna.packet()).collect();
    for pair in packets.chunks(2) {
        stage.push(1, pair[0].clone());
        stage.turn();
        stage.push(1, pair[1].clone());
        assert_eq!(stage.push(1, pair[1].clone()), Taken::Dropped, "twice");
        stage.turn();
    }
    assert_eq!(stage.made(Made::Passed), 40);
    for index in (40..80).step_by(2) {
        let (one, two) = (anna.packet(), anna.packet());
        // The second overtakes the first within the time that there is.
        stage.push(1, two);
        stage.push(1, one);
        stage.turn();
        stage.turn();
        assert!(index < 80);
    }
    assert_eq!(stage.made(Made::Passed), 80);
    assert_eq!(stage.made(Made::Filled), 0);
}

#[test]
fn a_burst_after_a_stall_is_shortened_and_never_sent_as_one() {
    let mut stage = Stage::solo();
    let mut anna = Sender::new(tone(440.0, 1_000));
    for _ in 0..50 {
        let packet = anna.packet();
        stage.push(1, packet);
        stage.turn();
    }
    let late: Vec<Packet> = (0..10).map(|_| anna.packet()).collect();
    for _ in 0..10 {
        stage.turn();
    }
    for packet in late {
        stage.push(1, packet);
    }
    for _ in 0..100 {
        let before = stage.slots.len();
        let packet = anna.packet();
        stage.push(1, packet);
        stage.tick();
        assert!(stage.slots.len() - before <= 2, "a burst");
        stage.tick();
    }
    assert!(stage.counters().shortened > 0);
    stage.assert_on_time();
    let last = stage.slots.len() - 20;
    assert!(stage.pcm.len() / SLOT_SAMPLES == last + 20);
}

#[test]
fn what_does_not_fit_a_slot_is_transcoded_without_a_hole() {
    for (ms, channels) in [
        (10, Channels::Mono),
        (40, Channels::Mono),
        (60, Channels::Mono),
        (20, Channels::Stereo),
    ] {
        let mut stage = Stage::solo();
        let mut anna = Sender::with(tone(440.0, 6_000), ms, channels);
        for tick in 0..600 {
            if tick % (ms / 10) == 0 {
                let packet = anna.packet();
                stage.push(1, packet);
            }
            stage.tick();
        }
        stage.assert_on_time();
        assert_eq!(stage.made(Made::Passed), 0, "{ms} ms, {channels:?}");
        let heard = &stage.pcm[4_800 * 2..];
        let quietest = heard.chunks(480).map(rms_db).fold(0.0, f64::min);
        assert!(
            quietest > -20.0,
            "{ms} ms, {channels:?}: a hole of {quietest} dBFS"
        );
        assert!(
            largest_jump(heard) < 600,
            "{ms} ms, {channels:?}: {}",
            largest_jump(heard)
        );
    }
}

#[test]
fn two_tracks_of_one_holder_are_mixed() {
    let mut stage = Stage::new();
    assert!(stage.playout.attach(TrackId(1), ANNA.source));
    assert!(stage.playout.attach(TrackId(2), ANNA.source));
    stage.enter(ANNA);
    let (mut voice, mut music) = (
        Sender::new(tone(440.0, 1_000)),
        Sender::new(tone(1_000.0, 1_000)),
    );
    for _ in 0..100 {
        let packet = voice.packet();
        stage.push(1, packet);
        let packet = music.packet();
        stage.push(2, packet);
        stage.turn();
    }
    assert_eq!(stage.made(Made::Passed), 0);
    let both = rms_db(&stage.pcm[48_000..]);
    let one = rms_db(&tone(440.0, 1_000));
    assert!((both - one - 3.0).abs() < 0.7, "{both} and {one}");
    stage.playout.detach(TrackId(2));
    // The voice goes on alone; a tone has no pause in which its packets could take over.
    for _ in 0..50 {
        let packet = voice.packet();
        stage.push(1, packet);
        stage.turn();
    }
    let end = rms_db(&stage.pcm[stage.pcm.len() - 19_200..]);
    assert!((end - one).abs() < 0.7, "{end} and {one}");
}

#[test]
fn full_scale_tracks_of_one_holder_are_turned_down_and_not_clipped() {
    let mut stage = Stage::new();
    stage.enter(ANNA);
    let loud: Vec<i16> = tone(400.0, 1_000).iter().map(|s| s * 4).collect();
    let mut senders = Vec::new();
    for track in 1..=3 {
        assert!(stage.playout.attach(TrackId(track), ANNA.source));
        senders.push(Sender::new(loud.clone()));
    }
    for _ in 0..100 {
        for (track, sender) in (1..).zip(&mut senders) {
            let packet = sender.packet();
            stage.push(track, packet);
        }
        stage.turn();
    }
    let heard = &stage.pcm[48_000..][..24_000];
    let (sung, third) = (level_at_db(heard, 400.0), level_at_db(heard, 1_200.0));
    assert!((-2.0..0.5).contains(&sung), "{sung:.1} dBFS");
    // A sum cut off at full scale has its third harmonic at -11 dB.
    assert!(third < sung - 30.0, "{sung:.1} dBFS and {third:.1}");
}

#[test]
fn a_gain_is_applied_and_keeps_packets_from_passing() {
    let mut stage = Stage::solo();
    stage.playout.set_gain(ANNA.source, -12.0);
    let mut anna = Sender::new(tone(440.0, 1_000));
    for _ in 0..50 {
        let packet = anna.packet();
        stage.push(1, packet);
        stage.turn();
    }
    assert_eq!(stage.made(Made::Passed), 0);
    let heard = rms_db(&stage.pcm[19_200..]);
    assert!(
        (heard - rms_db(&tone(440.0, 1_000)) + 12.0).abs() < 0.7,
        "{heard}"
    );
}

#[test]
fn the_mixer_takes_over_for_a_crossfade_and_gives_back_in_a_pause() {
    let mut stage = Stage::solo();
    stage.playout.attach(TrackId(2), BEN.source);
    let clips = [speech(110.0, 8_000), speech(210.0, 8_000)];
    let most = clips.iter().map(|clip| percentile_jump(clip, 0.999)).max();
    let (mut anna, mut ben) = (Sender::new(clips[0].clone()), Sender::new(clips[1].clone()));
    for round in 0..400 {
        let packet = anna.packet();
        stage.push(1, packet);
        if round >= 100 {
            let packet = ben.packet();
            stage.push(2, packet);
        }
        if round == 100 {
            stage.playout.admit(BEN).expect("there is room");
        }
        if round == 115 {
            stage
                .playout
                .start_fade(
                    Some(ANNA),
                    Some(BEN),
                    Fade::equal_power(120),
                    FadeStart::FirstSound,
                )
                .expect("both are in");
        }
        stage.turn();
    }
    stage.assert_on_time();
    let counters = stage.counters();
    assert_eq!((counters.taken_over, counters.given_back), (1, 2));
    assert!(stage.made(Made::Passed) > 300, "{counters:?}");
    assert!(!stage.playout.is_admitted(ANNA));
    assert!(
        matches!(stage.push(1, anna.packet()), Taken::Refused { .. }),
        "what goes on talking is noticed"
    );
    let seams = (1..stage.slots.len()).filter(|&at| {
        let kinds = [at - 1, at].map(|at| stage.slots[at].made == Made::Mixed);
        kinds[0] != kinds[1]
    });
    for at in seams.skip(1) {
        let around = &stage.pcm[(at - 1) * SLOT_SAMPLES..(at + 1) * SLOT_SAMPLES];
        let jump = largest_jump(around);
        assert!(
            Some(jump) <= most,
            "a jump of {jump} at slot {at}, the clips have {most:?}"
        );
    }
}

#[test]
fn taking_over_in_the_middle_of_speech_leaves_no_seam() {
    let (mut places, mut kept) = (0, 0);
    for name in [
        "billing-hello",
        "triage-back",
        "triage-handoff",
        "triage-welcome",
    ] {
        let clip = recorded(name);
        let usual = percentile_jump(&clip, 0.999);
        let slots = clip.len() / SLOT_SAMPLES;
        for at in (10..slots - 5).step_by(4) {
            let (mut stage, mut plain) = (Stage::solo(), Stage::solo());
            let mut anna = Sender::new(clip.clone());
            for round in 0..at + 5 {
                if round == at {
                    // Next to nothing, and yet no longer the packet as it came.
                    stage.playout.set_gain(ANNA.source, 0.1);
                }
                let packet = anna.packet();
                plain.push(1, packet.clone());
                stage.push(1, packet);
                plain.turn();
                stage.turn();
            }
            let around = (at - 1) * SLOT_SAMPLES..(at + 4) * SLOT_SAMPLES;
            if stage.counters().taken_over == 0 {
                continue;
            }
            let (jump, own) = (
                largest_jump(&stage.pcm[around.clone()]),
                largest_jump(&plain.pcm[around.clone()]),
            );
            // Speech itself may have a step as large just here.
            let most = usual.max(own * 5 / 4);
            assert!(
                jump <= most,
                "{name}, slot {at}: {jump}, the clip has {usual} and {own} here"
            );
            // What is put in moves the rest by up to 20 ms; otherwise it is the same voice.
            let after = &stage.pcm[(at + 2) * SLOT_SAMPLES..(at + 4) * SLOT_SAMPLES];
            let alike = (0..1_200)
                .step_by(4)
                .map(|lag| likeness(after, &plain.pcm[(at + 2) * SLOT_SAMPLES - lag..]))
                .fold(0.0, f64::max);
            // Of a hiss the codec keeps the colour and not the wave.
            assert!(
                alike > 0.3 || rms_db(after) < -45.0,
                "{name}, slot {at}: only {alike} of the voice"
            );
            places += 1;
            kept += usize::from(alike > 0.8);
        }
    }
    assert!(places > 30 && kept * 10 > places * 7, "{kept} of {places}");
}

#[test]
fn a_voice_dropped_while_its_packets_pass_dies_away() {
    let mut stage = Stage::solo();
    let mut anna = Sender::new(tone(440.0, 1_000));
    for round in 0..60 {
        let packet = anna.packet();
        stage.push(1, packet);
        if round == 40 {
            stage.playout.drop_source(ANNA);
        }
        stage.turn();
    }
    let usual = largest_jump(&stage.pcm[..20 * SLOT_SAMPLES]);
    let jump = largest_jump(&stage.pcm[30 * SLOT_SAMPLES..]);
    assert!(
        f64::from(jump) < f64::from(usual) * 1.2,
        "{jump}, usually {usual}"
    );
    assert!(rms_db(&stage.pcm[45 * SLOT_SAMPLES..]) < -60.0);
    let packet = anna.packet();
    assert!(matches!(stage.push(1, packet), Taken::Refused { dbfs, .. } if dbfs > -20.0));
}

#[test]
fn a_track_that_comes_after_its_source_was_admitted_is_heard() {
    let mut stage = Stage::new();
    stage.enter(ANNA);
    assert!(stage.playout.attach(TrackId(1), ANNA.source));
    let mut anna = Sender::new(tone(440.0, 1_000));
    let packet = anna.packet();
    assert_eq!(stage.push(1, packet), Taken::FirstSound(ANNA));
    stage.turn();
    assert_eq!(stage.made(Made::Passed), 1);
}

#[test]
fn nobody_who_was_not_admitted_is_heard() {
    let mut stage = Stage::solo();
    stage.playout.attach(TrackId(2), BEN.source);
    let mut ben = Sender::new(tone(440.0, 1_000));
    for _ in 0..50 {
        let packet = ben.packet();
        assert!(matches!(stage.push(2, packet), Taken::Refused { .. }));
        stage.turn();
    }
    assert!(rms_db(&stage.pcm) < -90.0);
    stage.assert_on_time();
}

#[test]
fn a_machine_that_stops_skips_time_and_sends_no_burst() {
    let mut stage = Stage::solo();
    for _ in 0..20 {
        stage.turn();
    }
    let before = stage.slots.len();
    stage.now += 48_000;
    stage.tick();
    assert!(stage.slots.len() - before <= 2);
    assert_eq!(stage.counters().stalls, 1);
    let skipped: u64 = stage.slots.iter().map(|slot| slot.skipped).sum();
    assert!(skipped.abs_diff(48_000) <= 2 * SLOT_SAMPLES as u64);
}

const WATCHDOG: WatchdogConfig = WatchdogConfig {
    silence_samples: 48_000,
    false_start_samples: 9_600,
};

fn filler(sound: Sound, dbfs: f32) -> FillerConfig {
    FillerConfig {
        sound,
        dbfs,
        fade_in: Fade::equal_power(200),
        fade_out: Fade::equal_power(100),
    }
}

fn noticed(stage: &Stage) -> Vec<(usize, DeadAir)> {
    let slots = stage.slots.iter().enumerate();
    slots
        .filter_map(|(place, slot)| Some((place, slot.dead_air?)))
        .collect()
}

#[test]
fn dead_air_is_filled_from_the_slot_after_it_is_noticed_until_somebody_speaks() {
    let mut stage = Stage::solo();
    stage
        .playout
        .guard(WATCHDOG, Some(filler(Sound::ComfortNoise, -40.0)));
    for _ in 0..100 {
        stage.turn();
    }
    assert_eq!(noticed(&stage), [], "nobody is awaited");
    stage.playout.expect_voice(true);
    for _ in 0..150 {
        stage.turn();
    }
    assert_eq!(noticed(&stage), [(149, DeadAir::Began)], "a second after");
    assert!(rms_db(&stage.pcm[140 * 960..150 * 960]) < -90.0);
    let begun = rms_db(&stage.pcm[151 * 960..152 * 960]);
    assert!(begun > -75.0, "it has begun: {begun} dBFS");
    let full = rms_db(&stage.pcm[180 * 960..250 * 960]);
    assert!((full + 40.0).abs() < 2.5, "{full} dBFS");
    let mut anna = Sender::new(tone(440.0, 1_000));
    for _ in 0..100 {
        let packet = anna.packet();
        stage.push(1, packet);
        stage.turn();
    }
    let last = noticed(&stage).last().copied();
    assert!(
        matches!(
            last,
            Some((250..=252, DeadAir::Ended { false_start: false }))
        ),
        "{last:?}"
    );
    assert!(!stage.playout.is_filling());
    stage.assert_on_time();
}

#[test]
fn a_voice_that_comes_as_soon_as_dead_air_was_noticed_is_a_false_start() {
    let mut stage = Stage::solo();
    stage
        .playout
        .guard(WATCHDOG, Some(filler(Sound::ComfortNoise, -40.0)));
    stage.playout.expect_voice(true);
    for _ in 0..55 {
        stage.turn();
    }
    let mut anna = Sender::new(tone(440.0, 1_000));
    for _ in 0..10 {
        let packet = anna.packet();
        stage.push(1, packet);
        stage.turn();
    }
    assert_eq!(
        (stage.counters().dead_airs, stage.counters().false_starts),
        (1, 1)
    );
}

#[test]
fn a_holder_that_talks_is_no_dead_air_and_one_that_falls_silent_is() {
    let mut stage = Stage::solo();
    stage
        .playout
        .guard(WATCHDOG, Some(filler(Sound::ComfortNoise, -40.0)));
    stage.playout.expect_voice(true);
    let mut anna = Sender::new(tone(440.0, 1_000));
    for _ in 0..150 {
        let packet = anna.packet();
        stage.push(1, packet);
        stage.turn();
    }
    assert_eq!(noticed(&stage), []);
    assert_eq!(stage.counters().taken_over, 0, "it passes all the while");
    for _ in 0..100 {
        stage.turn();
    }
    assert!(matches!(noticed(&stage)[..], [(199..=202, DeadAir::Began)]));
    assert!(rms_db(&stage.pcm[stage.pcm.len() - 9_600..]) > -45.0);
}

#[test]
fn fillers_have_their_level_and_go_round_without_a_seam() {
    let clip = Clip::new(recorded("billing-hello")).expect("a clip");
    let round = clip.samples();
    let usual = percentile_jump(&recorded("billing-hello"), 0.999);
    for sound in [
        Sound::Tone {
            hz: 425,
            on_ms: 1_000,
            off_ms: 0,
        },
        Sound::Tone {
            hz: 425,
            on_ms: 400,
            off_ms: 600,
        },
        Sound::Clip(clip),
    ] {
        let mut stage = Stage::solo();
        stage
            .playout
            .guard(WATCHDOG, Some(filler(sound.clone(), -30.0)));
        stage.playout.expect_voice(true);
        for _ in 0..100 + 2 * round / SLOT_SAMPLES {
            stage.turn();
        }
        let heard = &stage.pcm[70 * SLOT_SAMPLES..];
        let level = rms_db(heard);
        let (wanted, most) = match &sound {
            Sound::Tone { off_ms: 600, .. } => (-34.0, 160),
            Sound::Tone { .. } | Sound::ComfortNoise => (-30.0, 160),
            Sound::Clip(_) => (-30.0, usual),
        };
        assert!((level - wanted).abs() < 1.5, "{sound:?}: {level} dBFS");
        let jump = largest_jump(heard);
        assert!(jump <= most, "a jump of {jump}, not {most}");
    }
}

#[test]
fn a_sound_that_cannot_go_round_is_refused() {
    assert_eq!(
        Clip::new(vec![1_000; 4_800]),
        Err(ClipError::TooShort { ms: 100 })
    );
    assert_eq!(Clip::new(vec![0; 48_000]), Err(ClipError::Silent));
    let long = vec![1_000; 601 * 48_000];
    assert_eq!(Clip::new(long), Err(ClipError::TooLong { secs: 601 }));
}

#[test]
fn files_of_both_kinds_become_the_same_sound() {
    let wav = |rate: u32, channels: u16, pcm: &[i16]| {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a form of WAV");
        pcm.iter()
            .for_each(|&sample| writer.write_sample(sample).expect("memory"));
        writer.finalize().expect("memory");
        bytes.into_inner()
    };
    let plain = tone(500.0, 1_000);
    let whole = Clip::read(&wav(48_000, 1, &plain)).expect("a clip");
    assert_eq!(whole, Clip::new(plain.clone()).expect("a clip"));
    let twice: Vec<i16> = plain.iter().flat_map(|&sample| [sample, sample]).collect();
    assert_eq!(Clip::read(&wav(48_000, 2, &twice)).expect("a clip"), whole);
    let slow: Vec<i16> = plain.iter().step_by(6).copied().collect();
    assert_eq!(
        Clip::read(&wav(8_000, 1, &slow)).expect("a clip").samples(),
        whole.samples()
    );

    let mut anna = Sender::new(plain);
    let mut packets: Vec<Vec<u8>> = vec![
        [&b"OpusHead\x01\x01\x38\x01"[..], &[0; 7]].concat(),
        b"OpusTags".to_vec(),
    ];
    packets.extend((0..50).map(|_| anna.packet().payload().to_vec()));
    let mut bytes = Vec::new();
    let mut writer = ogg::PacketWriter::new(&mut bytes);
    for (place, packet) in packets.iter().enumerate() {
        let end = match place {
            0 | 1 => ogg::PacketWriteEndInfo::EndPage,
            51 => ogg::PacketWriteEndInfo::EndStream,
            _ => ogg::PacketWriteEndInfo::NormalPacket,
        };
        writer
            .write_packet(packet.clone(), 1, end, place as u64 * 960)
            .expect("memory");
    }
    let clip = Clip::read(&bytes).expect("a clip");
    assert_eq!(clip.samples(), whole.samples() - 312);

    assert!(matches!(
        Clip::read(b"ID3 and so on"),
        Err(ClipFileError::Format)
    ));
    assert!(matches!(
        Clip::read(&bytes[..200]),
        Err(ClipFileError::Ogg(_) | ClipFileError::NoOpus | ClipFileError::Clip(_))
    ));
    assert!(matches!(
        Clip::read(b"RIFFwhatever"),
        Err(ClipFileError::Wav(_))
    ));
    let eight = wav(4_000, 1, &slow);
    assert!(matches!(
        Clip::read(&eight),
        Err(ClipFileError::WavForm { rate_hz: 4_000, .. })
    ));
}

#[test]
fn a_switch_is_measured_from_the_program_itself() {
    for (gap_slots, fade_ms) in [(0, 120), (10, 120), (0, 0)] {
        let mut stage = Stage::solo();
        stage.playout.attach(TrackId(2), BEN.source);
        stage.playout.attend(Some(ANNA.source));
        let loud: Vec<i16> = tone(700.0, 1_000)
            .iter()
            .map(|&sample| sample * 2)
            .collect();
        let (mut anna, mut ben) = (Sender::new(tone(400.0, 1_000)), Sender::new(loud));
        for round in 0..120 {
            if round == 50 {
                stage.playout.admit(BEN).expect("there is room");
                stage
                    .playout
                    .start_fade(
                        Some(ANNA),
                        Some(BEN),
                        Fade::equal_power(fade_ms),
                        FadeStart::FirstSound,
                    )
                    .expect("both are in");
            }
            let packet = anna.packet();
            // The old voice has fallen silent, and three of its packets were lost before.
            let silent = gap_slots > 0 && round >= 50;
            if !silent && !(20..23).contains(&round) {
                stage.push(1, packet);
            } else if silent && round == 50 {
                let quiet = Packet::new(
                    Bytes::from_static(&[0xf8]),
                    packet.sequence(),
                    packet.rtp_time_48k(),
                    1,
                );
                stage.push(1, quiet.expect("a packet of silence"));
            }
            if round >= 50 + gap_slots {
                let packet = ben.packet();
                stage.push(2, packet);
            }
            stage.turn();
        }
        let mut meter = Meter::default();
        let mut lost = 0;
        let sounds: Vec<SwitchSound> = stage
            .slots
            .iter()
            .filter_map(|slot| {
                lost += u64::from(slot.made == Made::Filled && slot.number < 40);
                meter.observe(slot, lost)
            })
            .collect();
        let [sound] = sounds[..] else {
            panic!("one switch: {sounds:?}");
        };
        let step = sound.level_step_db.map(|db| (db - 6.0).abs() < 1.0);
        assert_eq!(step, (fade_ms > 0).then_some(true), "{sound:?}");
        assert_eq!(sound.lost_ms, 60, "{sound:?}");
        assert_eq!(stage.counters().lost, 3);
        if gap_slots > 0 {
            assert!((140..=240).contains(&sound.silence_ms), "{sound:?}");
        } else {
            assert_eq!(sound.silence_ms, 0, "{sound:?}");
            assert!(sound.overlap_ms.abs_diff(fade_ms) <= 20, "{sound:?}");
        }
    }
}

#[test]
fn what_waits_since_a_stall_is_worked_off_in_the_next_pause() {
    let mut stage = Stage::solo();
    // Half a second of voice, then a pause whose packets come all the same, and voice again.
    let mut said = tone(440.0, 500);
    said.extend(vec![0; 48 * 500]);
    said.extend(tone(440.0, 500));
    let mut anna = Sender::new(said);
    let packets: Vec<Packet> = (0..75).map(|_| anna.packet()).collect();
    let mut waiting = Vec::new();
    for (number, packet) in packets.into_iter().enumerate() {
        waiting.push(packet);
        // The network holds three packets up, once.
        if !(10..13).contains(&number) {
            for held_up in waiting.drain(..) {
                stage.push(1, held_up);
            }
        }
        stage.turn();
    }
    let counters = stage.counters();
    assert!(counters.shortened >= 2, "{counters:?}");
    stage.assert_on_time();
    // The last packet that came has been heard already, but for the slot that is ahead.
    let heard = counters.passed + counters.mixed + counters.shortened;
    assert!(heard >= 74, "{counters:?}");
}

#[test]
fn after_a_word_packets_leave_as_soon_as_they_come() {
    let mut stage = Stage::solo();
    // A room that is never still: between the two words is neither DTX nor a small packet.
    let mut noise = 1_u32;
    let room = std::iter::repeat_with(move || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        (noise >> 26) as i16 - 32
    });
    let said = speech(110.0, 2_000).into_iter().zip(room);
    let said = said.map(|(voice, room)| voice + room);
    let mut anna = Sender::new(said.collect());
    let mut held_up = Vec::new();
    let (mut waits, mut small) = (Vec::new(), 0);
    for number in 0..100 {
        let packet = anna.packet();
        let came = Some(packet.payload().clone());
        small += usize::from(packet.looks_quiet());
        held_up.push(packet);
        // The network holds three packets up, once, in the third syllable, which lasts from 32 to 43.
        if !(33..36).contains(&number) {
            for packet in held_up.drain(..) {
                stage.push(1, packet);
            }
        }
        stage.tick();
        let left = stage.slots.last().and_then(|slot| slot.payload.clone());
        if left != came {
            waits.push(number);
        }
        stage.tick();
    }
    assert_eq!(small, 0);
    assert!(waits.contains(&40), "nothing was held up: {waits:?}");
    assert!(
        waits.iter().all(|&number| number < 50),
        "they wait: {waits:?}"
    );
    stage.assert_on_time();
}

#[test]
fn after_a_pause_packets_leave_as_soon_as_they_come() {
    let mut stage = Stage::solo();
    // Half a second of voice, then a pause whose packets come all the same, and voice again.
    let mut said = tone(440.0, 500);
    said.extend(vec![0; 48 * 500]);
    said.extend(tone(440.0, 500));
    let mut anna = Sender::new(said);
    let mut held_up = Vec::new();
    for number in 0..75 {
        let packet = anna.packet();
        let came = Some(packet.payload().clone());
        held_up.push(packet);
        // The network holds three packets up, once.
        if !(10..13).contains(&number) {
            for packet in held_up.drain(..) {
                stage.push(1, packet);
            }
        }
        stage.tick();
        let left = stage.slots.last().and_then(|slot| slot.payload.clone());
        assert!(number < 55 || left == came, "packet {number} waits");
        stage.tick();
    }
    stage.assert_on_time();
}
