//! From source to sink through an impaired network, in virtual time.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    receiver::{AudioReceiver, PayloadKind, ReceivedPacket, ReceiverStats},
    sender::{AudioSendParams, AudioSender, OpusPacket},
    sink::PcmSink,
    source::{PcmSource, PushError},
    track::{Driver, LocalAudio, RemoteAudio},
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_tone_comes_out_at_its_frequency_without_a_silent_frame() {
    for (rate, channels) in [
        (48_000, 1),
        (24_000, 1),
        (16_000, 2),
        (8_000, 1),
        (44_100, 2),
        (32_000, 1),
    ] {
        let heard = Call::new(rate, channels).run(Duration::from_secs(3));
        heard.assert_tone(440.0);
        assert_eq!(heard.silent_frames(), 0, "{rate} Hz, {channels} channels");
        assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
    }
}

#[test]
fn a_tone_reaches_sinks_of_any_format() {
    for (rate, channels) in [
        (8_000, 1),
        (16_000, 2),
        (22_050, 1),
        (44_100, 2),
        (48_000, 2),
    ] {
        let mut call = Call::new(48_000, 1);
        call.sink = Arc::new(PcmSink::new(rate, channels, None).expect("format"));
        let heard = call.run(Duration::from_secs(3));
        heard.assert_tone(440.0);
        assert_eq!(heard.silent_frames(), 0, "{rate} Hz, {channels} channels");
    }
}

#[test]
fn stereo_keeps_its_sides_apart() {
    let mut call = Call::new(48_000, 2);
    call.params.stereo = true;
    call.sink = Arc::new(PcmSink::new(48_000, 2, None).expect("format"));
    call.tone = |frame, channel, rate| match channel {
        0 => sine(frame, 440.0, rate),
        _ => sine(frame, 1_000.0, rate),
    };
    let heard = call.run(Duration::from_secs(2));
    let left: Vec<i16> = heard.pcm.iter().copied().step_by(2).collect();
    let right: Vec<i16> = heard.pcm.iter().copied().skip(1).step_by(2).collect();
    let (left, right) = (&left[48_000..], &right[48_000..]);
    assert!(goertzel(left, 440.0, 48_000) > 20.0 * goertzel(left, 1_000.0, 48_000));
    assert!(goertzel(right, 1_000.0, 48_000) > 20.0 * goertzel(right, 440.0, 48_000));
}

#[test]
fn lost_packets_are_concealed_and_time_goes_on() {
    let mut call = Call::new(48_000, 1);
    call.network.lost = |seq, _| seq % 20 == 7;
    let heard = call.run(Duration::from_secs(10));
    heard.assert_tone(440.0);
    assert_eq!(heard.silent_frames(), 0);
    let lost = heard.sent / 20;
    let made_good = heard.stats.concealed_samples / 960 + heard.stats.packets_from_fec;
    assert!(
        made_good.abs_diff(lost) <= 2,
        "{lost} lost, {:?}",
        heard.stats
    );
    assert_eq!(heard.stats.packets_late, 0);
}

#[test]
fn a_speech_like_loss_is_rebuilt_from_the_copy_in_the_next_packet() {
    let mut call = Call::new(16_000, 1);
    call.params = AudioSendParams {
        fec: true,
        expected_loss_percent: 20,
        ..call.params
    };
    call.tone = voice;
    call.network.lost = |seq, _| seq % 10 == 3;
    let heard = call.run(Duration::from_secs(10));
    assert!(
        heard.stats.packets_from_fec >= heard.sent / 10 / 2,
        "{:?}",
        heard.stats
    );
}

#[test]
fn a_copy_in_red_replaces_a_lost_packet() {
    let mut call = Call::new(48_000, 1);
    call.params.red = Some(111);
    call.network.lost = |seq, _| seq % 10 == 3;
    let heard = call.run(Duration::from_secs(6));
    heard.assert_tone(440.0);
    assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
    assert!(
        heard.stats.packets_from_red.abs_diff(heard.sent / 10) <= 2,
        "{:?}",
        heard.stats
    );
}

#[test]
fn reordered_and_repeated_packets_do_no_harm() {
    let mut call = Call::new(48_000, 1);
    call.network.delay = |seq, _| if seq % 5 == 2 { 35 * MS } else { 5 * MS };
    call.network.repeat = 2;
    let heard = call.run(Duration::from_secs(6));
    heard.assert_tone(440.0);
    assert_eq!(heard.silent_frames(), 0);
    // Until the delay has been learned a packet or two may come too late.
    assert!(
        heard.stats.concealed_samples <= 5 * 960,
        "{:?}",
        heard.stats
    );
    assert!(heard.stats.packets_duplicate + heard.stats.packets_late >= heard.sent - 10);
}

#[test]
fn the_delay_grows_with_jitter_and_shrinks_when_it_ends() {
    let mut call = Call::new(48_000, 1);
    call.tone = voice;
    call.network.delay = |seq, random| {
        if (200..500).contains(&seq) {
            MS * (random % 80)
        } else {
            2 * MS
        }
    };
    let heard = call.run(Duration::from_secs(75));
    let calm = heard.delay_ms(3_900);
    let stormy = heard.delay_ms(9_000);
    let after = heard.delay_ms(74_500);
    assert!(calm <= 40.0, "{calm} ms before the jitter");
    // Packets wait until the slowest have come, for half the jitter on average; most are played up to 25 ms before they are due.
    assert!(
        (15.0..=70.0).contains(&stormy),
        "{stormy} ms under 80 ms of jitter"
    );
    let in_storm =
        heard.stats_at(10_000).concealed_samples - heard.stats_at(6_000).concealed_samples;
    assert!(in_storm <= 4 * 48_000 / 25, "{in_storm} samples");
    assert!(after <= 40.0, "{after} ms after the jitter");
    let concealed_after = heard.stats.concealed_samples - heard.stats_at(12_000).concealed_samples;
    assert_eq!(concealed_after, 0, "nothing is concealed on a calm network");
}

#[test]
fn steady_jitter_leaves_the_sound_alone_once_it_is_known() {
    // With RED the copy of a packet that is overtaken comes before it, and is not needed.
    for red in [None, Some(111)] {
        let mut call = Call::new(48_000, 1);
        call.tone = voice;
        call.params.red = red;
        call.network.delay = |_, random| MS * (random % 60);
        let heard = call.run(Duration::from_secs(60));
        let (known, end) = (heard.stats_at(5_000), &heard.stats);
        let changed = |stats: &ReceiverStats| {
            stats.inserted_samples + stats.removed_samples + stats.concealed_samples
        };
        let changed = changed(end) - changed(known);
        assert!(changed <= 15 * 48_000 / 50, "{changed} samples");
        assert_eq!(end.packets_from_red, 0, "{end:?}");
    }
}

#[test]
fn steady_jitter_leaves_the_length_of_pauses_alone() {
    let mut call = Call::new(48_000, 1);
    call.params.dtx = true;
    call.params.red = Some(111);
    call.tone = |frame, channel, rate| match frame % (3 * rate as usize) {
        0..108_000 => voice(frame, channel, rate),
        _ => 0,
    };
    call.network.delay = |_, random| Duration::from_micros(u64::from(random % 60_000));
    let heard = call.run(Duration::from_secs(120));
    let inserted = heard.stats.inserted_samples - heard.stats_at(5_000).inserted_samples;
    assert!(inserted <= 960, "{inserted} samples");
}

#[test]
fn copies_in_red_are_waited_for_from_the_first_loss_on() {
    let mut call = Call::new(48_000, 1);
    call.params.red = Some(111);
    // A voice with pauses, in which the delay can change.
    call.tone = |frame, channel, rate| match frame % rate as usize {
        0..36_000 => voice(frame, channel, rate),
        _ => 0,
    };
    call.network.lost = |seq, _| seq > 200 && seq % 25 == 3;
    let heard = call.run(Duration::from_secs(20));
    let before = heard.delay_ms(3_900);
    let after = heard.delay_ms(19_500);
    assert!(before <= 45.0, "{before} ms without loss");
    assert!(after <= 55.0, "{after} ms with loss");
    assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
}

#[test]
fn a_clock_that_drifts_neither_starves_nor_floods() {
    for drift_ppm in [-300, 300] {
        let mut call = Call::new(48_000, 1);
        call.drift_ppm = drift_ppm;
        let heard = call.run(Duration::from_secs(60));
        let delay = heard.delay_ms(59_500);
        assert!(delay <= 100.0, "{delay} ms at {drift_ppm} ppm");
        assert!(
            heard.stats.concealed_samples <= 2 * 960,
            "{drift_ppm} ppm: {:?}",
            heard.stats
        );
        heard.assert_tone(440.0);
    }
}

#[test]
fn silence_is_left_out_with_dtx_and_is_no_loss() {
    let mut call = Call::new(48_000, 1);
    call.params.dtx = true;
    call.tone = |frame, channel, rate| match frame / rate as usize {
        0..2 | 6.. => voice(frame, channel, rate),
        _ => 0,
    };
    let heard = call.run(Duration::from_secs(8));
    assert!(
        heard.sent < 260,
        "{} packets in 4 s of speech and 4 s of silence",
        heard.sent
    );
    assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
    assert!(
        heard.marked >= 2,
        "speech after silence starts with a marker"
    );
    // The second stretch is heard when it is said, within the buffer's delay.
    let onset = heard.onset_ms_after(5_000);
    assert!((6_000..6_150).contains(&onset), "heard again at {onset} ms");
}

#[test]
fn without_dtx_silence_is_sent_whole() {
    let mut call = Call::new(48_000, 1);
    call.tone = |_, _, _| 0;
    let heard = call.run(Duration::from_secs(2));
    assert!((98..=100).contains(&heard.sent), "{} packets", heard.sent);
    assert_eq!(heard.marked, 1);
}

#[test]
fn packets_keep_the_pace_of_the_clock() {
    let heard = Call::new(48_000, 1).run(Duration::from_secs(60));
    assert!(
        (2_998..=3_000).contains(&heard.sent),
        "{} packets in 60 s",
        heard.sent
    );
    assert_eq!(heard.worst_pacing, Duration::from_millis(20));
}

#[test]
fn a_listener_who_comes_late_hears_what_is_said_then() {
    let mut call = Call::new(48_000, 1);
    call.listen_from = Duration::from_secs(3);
    let heard = call.run(Duration::from_secs(5));
    assert!(
        (195..=201).contains(&heard.frames()),
        "{} frames in 2 s",
        heard.frames()
    );
    assert!(heard.onset_ms_after(0) <= 100);
    heard.assert_tone(440.0);
}

#[test]
fn frames_come_every_10_ms_without_any_packet() {
    let mut call = Call::new(48_000, 1);
    call.network.lost = |_, _| true;
    let heard = call.run(Duration::from_secs(2));
    assert!(
        (199..=201).contains(&heard.frames()),
        "{} frames",
        heard.frames()
    );
    assert_eq!(heard.silent_frames_from(0), heard.frames());
}

#[test]
fn both_frames_of_a_packet_are_handed_out_together_where_there_is_room() {
    for (capacity, alarms) in [
        (Some(3), 100..=120),
        (Some(2), 100..=120),
        (Some(1), 199..=201),
    ] {
        let mut call = Call::new(48_000, 1);
        call.sink = Arc::new(PcmSink::new(48_000, 1, capacity).expect("format"));
        let heard = call.run(Duration::from_secs(2));
        let frames = heard.stats.total_samples / 480;
        assert!((199..=201).contains(&frames), "{frames} frames");
        assert!(
            alarms.contains(&heard.alarms),
            "{} alarms, room for {capacity:?}",
            heard.alarms
        );
        assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
    }
}

#[test]
fn a_packet_is_played_when_another_comes_and_no_alarm_is_needed() {
    // Wherever the packets come between two alarms.
    for delay_ms in 0..20 {
        let mut call = Call::new(48_000, 1);
        call.listen_from = delay_ms * MS;
        let heard = call.run(Duration::from_secs(4));
        let frames = heard.stats.total_samples / 480;
        assert!((398..=403).contains(&frames), "{frames} frames");
        // Until the first packet is played.
        assert!(heard.alarms <= 12, "{} alarms, {delay_ms} ms", heard.alarms);
        assert_eq!(heard.stats.concealed_samples, 0, "{:?}", heard.stats);
        heard.assert_tone(440.0);
    }
}

#[test]
fn a_packet_that_is_overtaken_is_waited_for() {
    let mut call = Call::new(48_000, 1);
    // Every tenth comes 15 ms after the one behind it.
    call.network.delay = |seq, _| if seq % 10 == 3 { 36 * MS } else { MS };
    let heard = call.run(Duration::from_secs(10));
    let late = heard.stats_at(9_990).concealed_samples - heard.stats_at(2_000).concealed_samples;
    assert_eq!(late, 0, "{:?}", heard.stats);
    heard.assert_tone(440.0);
}

#[test]
fn an_outage_is_bridged_and_playing_starts_afresh() {
    let mut call = Call::new(48_000, 1);
    call.network.lost = |seq, _| (100..250).contains(&seq);
    let heard = call.run(Duration::from_secs(8));
    let onset = heard.onset_ms_after(4_000);
    assert!((5_000..5_150).contains(&onset), "heard again at {onset} ms");
    assert!(heard.delay_ms(7_500) <= 100.0);
    heard.assert_tone(440.0);
}

#[test]
fn a_burst_of_old_packets_is_cut_to_the_wanted_delay() {
    let mut call = Call::new(48_000, 1);
    // Everything of three seconds arrives at once, as after a stall of the path.
    call.network.delay = |seq, _| {
        if (100..250).contains(&seq) {
            20 * MS * (250 - seq as u32)
        } else {
            MS
        }
    };
    let heard = call.run(Duration::from_secs(10));
    assert!(
        heard.delay_ms(9_500) <= 150.0,
        "{} ms",
        heard.delay_ms(9_500)
    );
    heard.assert_tone(440.0);
}

#[test]
fn garbage_is_counted_and_does_not_disturb() {
    let remote = RemoteAudio::new();
    let sink = Arc::new(PcmSink::new(48_000, 1, None).expect("format"));
    assert!(remote.add_sink(&sink));
    let mut receiver = AudioReceiver::new(remote, no_wake());
    let start = Instant::now();
    let payloads: [&[u8]; 6] = [
        &[],
        &[3],
        &[0xff; 3],
        &[0x83, 1],
        &[0xf7; 40],
        &[0x7f, 0x3f, 0, 0],
    ];
    for (index, payload) in payloads.iter().cycle().take(300).enumerate() {
        let now = start + 10 * MS * index as u32;
        for kind in [PayloadKind::Opus, PayloadKind::Red] {
            receiver.push_packet(ReceivedPacket {
                seq: index as u64,
                rtp_time: index as u64 * 480,
                payload: Bytes::copy_from_slice(payload),
                kind,
                arrival: now,
            });
        }
        receiver.handle_timeout(now);
    }
    assert!(
        receiver.stats().packets_malformed > 100,
        "{:?}",
        receiver.stats()
    );
    assert_eq!(take(&sink).len(), 300);
}

#[test]
fn a_disabled_track_carries_silence() {
    let mut call = Call::new(48_000, 1);
    call.local_enabled = false;
    let heard = call.run(Duration::from_secs(1));
    assert_eq!(heard.silent_frames_from(0), heard.frames());
    assert!(heard.sent >= 49);
}

#[test]
fn a_full_source_asks_for_patience_and_drains_though_nobody_listens() {
    let source = PcmSource::new(48_000, 1, 100);
    let start = Instant::now();
    let chunk = vec![1; 4_800];
    assert_eq!(source.push(start, &chunk), Ok(()));
    assert_eq!(
        source.full_until(start),
        None,
        "up to its size it takes without waiting"
    );
    assert_eq!(source.push(start, &chunk), Ok(()));
    let until = source.full_until(start).expect("it is over its size");
    assert_eq!(until, start + 100 * MS);
    let Err(PushError::Full { until }) = source.push(start, &chunk) else {
        panic!("it is full")
    };
    assert_eq!(source.push(until, &chunk), Ok(()));
    assert_eq!(source.full_until(start + 10_000 * MS), None);
}

#[test]
fn a_cleared_source_has_room_again() {
    let source = PcmSource::new(48_000, 2, 50);
    let start = Instant::now();
    let chunk = vec![1; source.queue_samples()];
    source.push(start, &chunk).expect("room");
    source.push(start, &chunk).expect("room");
    assert!(source.full_until(start).is_some());
    source.clear();
    assert_eq!(source.full_until(start), None);
    assert_eq!(source.push(start, &chunk), Ok(()));
}

#[test]
fn a_direct_source_takes_10_ms_and_wakes_for_every_packet() {
    let source = PcmSource::new(48_000, 1, 0);
    let wakes = Arc::new(AtomicU32::new(0));
    let counted = wakes.clone();
    let wake: Arc<dyn Driver> = Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let mut sender = AudioSender::new(
        LocalAudio::new(source.clone()),
        AudioSendParams::default(),
        wake,
    )
    .expect("sender");
    let start = Instant::now();
    assert_eq!(
        source.push(start, &[0; 960]),
        Err(PushError::FrameSize {
            got: 960,
            expected: 480
        })
    );
    assert_eq!(sender.poll_timeout(start), None);
    let mut times = Vec::new();
    for tick in 0..100 {
        let now = start + 10 * MS * tick;
        source.push(now, &[1_000; 480]).expect("10 ms");
        times.extend(sender.poll_packet(now).map(|packet| packet.rtp_time_48k));
    }
    let first = times[0];
    assert_eq!(
        times,
        (0..50)
            .map(|packet| first + packet * 960)
            .collect::<Vec<_>>()
    );
    assert_eq!(wakes.load(Ordering::Relaxed), 50);

    // After a pause the clock has gone on.
    let now = start + 3_000 * MS;
    source.push(now, &[1_000; 480]).expect("10 ms");
    source.push(now + 10 * MS, &[1_000; 480]).expect("10 ms");
    let packet = sender.poll_packet(now + 10 * MS).expect("a packet");
    assert_eq!(packet.rtp_time_48k, first + 150 * 960);
    assert!(packet.marker);
}

#[test]
fn a_sender_that_follows_another_goes_on_in_time() {
    let source = PcmSource::new(48_000, 1, 100);
    let start = Instant::now();
    let mut last = None;
    for second in 0..3 {
        let track = LocalAudio::new(source.clone());
        let mut sender =
            AudioSender::new(track, AudioSendParams::default(), no_wake()).expect("sender");
        for tick in 0..50 {
            let now = start + 1_000 * MS * second + 20 * MS * tick;
            while let Some(packet) = sender.poll_packet(now) {
                assert!(last.is_none_or(|last| last < packet.rtp_time_48k));
                last = Some(packet.rtp_time_48k);
            }
        }
    }
    assert!(last.is_some());
}

#[test]
fn several_tracks_of_one_source_carry_the_same() {
    let source = PcmSource::new(48_000, 1, 1_000);
    let mut senders: Vec<AudioSender> = (0..3)
        .map(|_| {
            let track = LocalAudio::new(source.clone());
            AudioSender::new(track, AudioSendParams::default(), no_wake()).expect("sender")
        })
        .collect();
    let start = Instant::now();
    source
        .push(start, &tone_pcm(48_000, 1, 0, 48_000))
        .expect("room");
    let packets: Vec<Vec<OpusPacket>> = senders
        .iter_mut()
        .map(|sender| {
            let mut packets = Vec::new();
            for tick in 0..=50 {
                while let Some(packet) = sender.poll_packet(start + 20 * MS * tick) {
                    packets.push(packet);
                }
            }
            packets
        })
        .collect();
    assert!(packets[0].len() >= 25, "{}", packets[0].len());
    let last = |index: usize| packets[index].last().map(|packet| packet.rtp_time_48k);
    assert_eq!(last(0), last(1));
    assert_eq!(last(0), last(2));
}

#[test]
fn the_level_of_a_tone_is_sent_along() {
    let heard = Call::new(48_000, 1).run(Duration::from_secs(1));
    // Half of full scale, as a sine.
    assert!((-10..=-8).contains(&heard.level), "{} dBov", heard.level);
}

#[test]
fn a_slow_listener_loses_the_oldest_frames() {
    let sink = PcmSink::new(48_000, 1, Some(3)).expect("format");
    for marker in 1..=5 {
        drop(sink.push(&[marker; 480], 48_000, 1));
    }
    let frames = take(&sink);
    assert_eq!(
        frames.iter().map(|frame| frame[0]).collect::<Vec<_>>(),
        [3, 4, 5]
    );
}

#[test]
fn a_closed_sink_ends() {
    let sink = PcmSink::new(48_000, 1, None).expect("format");
    drop(sink.push(&[1; 480], 48_000, 1));
    sink.close();
    drop(sink.push(&[1; 480], 48_000, 1));
    assert_eq!(
        sink.poll_frame(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(None)
    );
}

#[test]
fn impossible_formats_are_refused() {
    assert!(PcmSink::new(0, 1, None).is_err());
    assert!(PcmSink::new(48_000, 0, None).is_err());
    assert!(PcmSink::new(1_000_000, 1, None).is_err());
}

/// One track from a source through a network to a sink.
struct Call {
    rate: u32,
    channels: u32,
    params: AudioSendParams,
    tone: fn(usize, usize, u32) -> i16,
    network: Network,
    sink: Arc<PcmSink>,
    listen_from: Duration,
    drift_ppm: i64,
    local_enabled: bool,
}

struct Network {
    lost: fn(u64, u32) -> bool,
    delay: fn(u64, u32) -> Duration,
    repeat: usize,
}

/// What came of it.
struct Heard {
    pcm: Vec<i16>,
    rate: u32,
    channels: usize,
    stats: ReceiverStats,
    /// Statistics at each 10 ms.
    history: Vec<ReceiverStats>,
    /// Times that frames were due, and no packet had brought them out before.
    alarms: u64,
    sent: u64,
    marked: u64,
    level: i8,
    worst_pacing: Duration,
}

impl Call {
    fn new(rate: u32, channels: u32) -> Self {
        Self {
            rate,
            channels,
            params: AudioSendParams::default(),
            tone: |frame, _, rate| sine(frame, 440.0, rate),
            network: Network {
                lost: |_, _| false,
                delay: |_, _| 2 * MS,
                repeat: 1,
            },
            sink: Arc::new(PcmSink::new(48_000, 1, None).expect("format")),
            listen_from: Duration::ZERO,
            drift_ppm: 0,
            local_enabled: true,
        }
    }

    /// Steps both sides through `length`, 1 ms at a time.
    fn run(self, length: Duration) -> Heard {
        let source = PcmSource::new(self.rate, self.channels, 200);
        let track = LocalAudio::new(source.clone());
        track.set_enabled(self.local_enabled);
        let mut sender = AudioSender::new(track, self.params, no_wake()).expect("sender");
        let remote = RemoteAudio::new();
        let mut receiver = AudioReceiver::new(remote.clone(), no_wake());

        let start = Instant::now();
        let mut random = 12_345_u32;
        let mut on_the_way: BTreeMap<(Instant, u64), ReceivedPacket> = BTreeMap::new();
        let (mut seq, mut serial, mut produced) = (0, 0, 0);
        let (mut marked, mut level, mut last_sent) = (0, 0, None);
        let mut alarms = 0;
        let mut worst_pacing = Duration::ZERO;
        let mut history = Vec::new();
        for ms in 0..length.as_millis() as u64 {
            let now = start + MS * ms as u32;
            // The sender's clock may run at another speed.
            let sender_us = (ms as i64 * (1_000_000 + self.drift_ppm) / 1_000) as u64;
            let sender_now = start + Duration::from_micros(sender_us);
            while source.full_until(sender_now).is_none() {
                let frames = self.rate as usize / 100;
                let pcm: Vec<i16> = (produced..produced + frames)
                    .flat_map(|frame| {
                        (0..self.channels as usize).map(move |channel| (frame, channel))
                    })
                    .map(|(frame, channel)| (self.tone)(frame, channel, self.rate))
                    .collect();
                // The tone starts with the call: what is pushed ahead is buffered by the source.
                source.push(sender_now, &pcm).expect("there is room");
                produced += frames;
            }
            while let Some(packet) = sender.poll_packet(sender_now) {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let drawn = random >> 8;
                if let Some(last) = last_sent.replace(now) {
                    worst_pacing = worst_pacing.max(now - last);
                }
                marked += u64::from(packet.marker);
                level = packet.audio_level_dbov;
                let kind = match self.params.red {
                    Some(_) => PayloadKind::Red,
                    None => PayloadKind::Opus,
                };
                if !(self.network.lost)(seq, drawn) {
                    let arrival = now + (self.network.delay)(seq, drawn);
                    for _ in 0..self.network.repeat {
                        let rtp_time = packet.rtp_time_48k;
                        let payload = packet.payload.clone();
                        on_the_way.insert(
                            (arrival, serial),
                            ReceivedPacket {
                                seq,
                                rtp_time,
                                payload,
                                kind,
                                arrival,
                            },
                        );
                        serial += 1;
                    }
                }
                seq += 1;
            }
            let mut came = false;
            while let Some(entry) = on_the_way.first_entry()
                && entry.key().0 <= now
            {
                receiver.push_packet(entry.remove());
                came = true;
            }
            if now == start + self.listen_from {
                assert!(remote.add_sink(&self.sink));
            }
            let due = receiver.poll_timeout(now).is_some_and(|at| at <= now);
            if due || came {
                receiver.handle_timeout(now);
                alarms += u64::from(due && !came);
            }
            if ms % 10 == 0 {
                history.push(receiver.stats().clone());
            }
        }
        let (rate, channels) = self.sink.format();
        Heard {
            pcm: take(&self.sink).concat(),
            rate,
            channels: channels as usize,
            stats: receiver.stats().clone(),
            history,
            alarms,
            sent: seq,
            marked,
            level,
            worst_pacing,
        }
    }
}

impl Heard {
    fn frame_samples(&self) -> usize {
        self.rate as usize / 100 * self.channels
    }

    fn frames(&self) -> usize {
        self.pcm.len() / self.frame_samples()
    }

    /// Frames of 10 ms without sound, once there has been some.
    fn silent_frames(&self) -> usize {
        self.silent_frames_from(self.onset_ms_after(0) / 10 + 1)
    }

    fn silent_frames_from(&self, first: usize) -> usize {
        self.pcm
            .chunks(self.frame_samples())
            .skip(first)
            .filter(|frame| !is_loud(frame))
            .count()
    }

    fn onset_ms_after(&self, ms: usize) -> usize {
        let quiet = self
            .pcm
            .chunks(self.frame_samples())
            .skip(ms / 10)
            .take_while(|frame| !is_loud(frame))
            .count();
        ms + quiet * 10
    }

    /// The last second has this frequency and next to no other.
    fn assert_tone(&self, frequency: f64) {
        let mono: Vec<i16> = self.pcm.iter().copied().step_by(self.channels).collect();
        let last = &mono[mono.len() - self.rate as usize..];
        let power = last
            .iter()
            .map(|&sample| f64::from(sample).powi(2))
            .sum::<f64>()
            / last.len() as f64;
        let tone = goertzel(last, frequency, self.rate);
        assert!(
            tone > 0.9 * power,
            "{tone:.0} of {power:.0} at {frequency} Hz"
        );
        assert!(power > 1e6, "the tone has a power of {power:.0}");
    }

    fn stats_at(&self, ms: usize) -> &ReceiverStats {
        &self.history[ms / 10]
    }

    /// The mean time in the buffer in the half second before `ms`.
    fn delay_ms(&self, ms: usize) -> f64 {
        let (from, to) = (self.stats_at(ms - 500), self.stats_at(ms));
        let emitted = to.buffer_emitted - from.buffer_emitted;
        (to.buffer_delay_secs - from.buffer_delay_secs) / emitted as f64 * 1_000.0
    }
}

fn is_loud(frame: &[i16]) -> bool {
    frame.iter().any(|sample| sample.unsigned_abs() > 1_000)
}

fn sine(frame: usize, frequency: f64, rate: u32) -> i16 {
    ((TAU * frequency * frame as f64 / f64::from(rate)).sin() * 16_384.0) as i16
}

/// A buzz with a moving pitch and syllables, which Opus takes for speech.
fn voice(frame: usize, _channel: usize, rate: u32) -> i16 {
    let time = frame as f64 / f64::from(rate);
    let pitch = 120.0 + 10.0 * (TAU * 0.7 * time).sin();
    let phase = TAU * pitch * time;
    let buzz: f64 = (1..12)
        .map(|n| (f64::from(n) * phase).sin() / f64::from(n))
        .sum();
    let syllable = 0.6 + 0.4 * (TAU * 3.0 * time).sin();
    (buzz * syllable * 6_000.0) as i16
}

fn tone_pcm(rate: u32, channels: usize, from: usize, frames: usize) -> Vec<i16> {
    (from..from + frames)
        .flat_map(|frame| std::iter::repeat_n(sine(frame, 440.0, rate), channels))
        .collect()
}

/// The power of one frequency, on the scale of the mean square.
fn goertzel(pcm: &[i16], frequency: f64, rate: u32) -> f64 {
    let coefficient = 2.0 * (TAU * frequency / f64::from(rate)).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for &sample in pcm {
        let next = f64::from(sample) + coefficient * one - two;
        two = one;
        one = next;
    }
    let magnitude = one * one + two * two - coefficient * one * two;
    2.0 * magnitude / (pcm.len() as f64).powi(2)
}

fn take(sink: &PcmSink) -> Vec<Vec<i16>> {
    let mut frames = Vec::new();
    while let Poll::Ready(Some(frame)) = sink.poll_frame(&mut Context::from_waker(Waker::noop())) {
        frames.push(frame);
    }
    frames
}

fn no_wake() -> Arc<dyn Driver> {
    Arc::new(|| {})
}
