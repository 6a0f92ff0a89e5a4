//! Packets in and out, in virtual time.

use std::{
    f64::consts::TAU,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use opus::{Application, Channels, Decoder, Encoder};

use super::{ENCODER_DELAY_48K, EncodedError, OpusFrame, ReceivedFrame};
use crate::audio::{
    feed::READY_MAX,
    frames::FrameQueue,
    receiver::{AudioReceiver, PayloadKind, ReceivedPacket},
    red,
    sender::{AudioSendParams, AudioSender, OpusPacket},
    sink::PcmSink,
    source::PcmSource,
    track::{Driver, LocalAudio, RemoteAudio},
};

const MS: Duration = Duration::from_millis(1);
/// Samples of 10 ms at 48 kHz.
const TICK: usize = 480;
const RED_PAYLOAD_TYPE: u8 = 63;

#[test]
fn changes_of_source_leave_no_seam_in_rtp_time() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    let mut passed = Vec::new();
    for round in 0..20 {
        for _ in 0..=round % 3 {
            out.pcm(2);
        }
        for _ in 0..=round % 4 {
            let frame = voice.frame(20);
            passed.push(frame.payload().clone());
            out.frame(frame);
        }
    }
    out.assert_unbroken();
    let sent: Vec<&Bytes> = out.packets.iter().map(|packet| &packet.payload).collect();
    let mut expected = passed.iter();
    let mut next = expected.next();
    for payload in sent {
        if next == Some(payload) {
            next = expected.next();
        }
    }
    assert_eq!(next, None, "all packets go out unchanged and in order");
}

#[test]
fn ten_thousand_random_changes_leave_no_seam() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    let frames: Vec<OpusFrame> = [10, 20, 40, 60].map(|ms| voice.frame(ms)).into();
    let mut random = 7_u32;
    for _ in 0..10_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match random >> 16 & 7 {
            0..=3 => out.pcm(1),
            kind => out.frame(frames[kind as usize - 4].clone()),
        }
    }
    out.flush();
    out.assert_unbroken();
    let sent: u64 = out
        .packets
        .iter()
        .map(|p| u64::from(p.duration_samples_48k))
        .sum();
    assert_eq!(
        sent,
        (out.elapsed.as_millis() * 48) as u64,
        "nothing is lost"
    );
}

#[test]
fn packets_of_any_length_take_their_own_time() {
    for ms in [10, 20, 40, 60, 120] {
        let mut out = Out::direct();
        let mut voice = Voice::new(440.0);
        out.pcm(2);
        for _ in 0..5 {
            out.frame(voice.frame(ms));
        }
        out.pcm(2);
        out.assert_unbroken();
        let lengths: Vec<u32> = out.packets.iter().map(|p| p.duration_samples_48k).collect();
        let own = ms as u32 * 48;
        assert_eq!(lengths, [960, own, own, own, own, own, 960], "{ms} ms");
    }
}

#[test]
fn a_single_10_ms_of_pcm_before_a_packet_is_sent_alone() {
    let mut out = Out::direct();
    out.pcm(3);
    out.frame(Voice::new(440.0).frame(20));
    out.pcm(2);
    out.assert_unbroken();
    let lengths: Vec<u32> = out.packets.iter().map(|p| p.duration_samples_48k).collect();
    assert_eq!(lengths, [960, 480, 960, 960]);
}

#[test]
fn a_packet_wakes_the_engine_and_is_due_at_once() {
    let out = Out::direct();
    assert_eq!(out.sender.poll_timeout(out.now()), None);
    let frame = Voice::new(440.0).frame(20);
    out.source.push_ready(out.now(), &frame);
    assert_eq!(out.wakes.load(Ordering::Relaxed), 1);
    assert_eq!(out.sender.poll_timeout(out.now()), Some(out.now()));
}

#[test]
fn a_pause_between_packets_is_skipped_and_marked() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    out.frame(voice.frame(20));
    out.elapsed += 380 * MS;
    out.frame(voice.frame(20));
    let [before, after] = &out.packets[..] else {
        panic!("two packets: {:?}", out.packets);
    };
    assert_eq!(after.rtp_time_48k - before.rtp_time_48k, 400 * 48);
    assert!(after.marker);
}

#[test]
fn time_that_is_skipped_is_not_taken_for_a_pause_as_well() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    out.frame(voice.frame(20));
    out.source.skip(180 * MS);
    out.elapsed += 180 * MS;
    out.frame(voice.frame(20));
    // A lost packet is skipped though the next one comes at once.
    out.source.skip(20 * MS);
    out.frame(voice.frame(20));
    let times: Vec<u64> = out.packets.iter().map(|p| p.rtp_time_48k).collect();
    assert_eq!(times[1] - times[0], 200 * 48);
    assert_eq!(times[2] - times[1], 40 * 48);
    assert!(out.packets[1].marker && out.packets[2].marker);
}

#[test]
fn a_source_with_a_clock_sends_packets_in_place_of_pcm() {
    for ms in [10, 20, 40, 60] {
        let mut out = Out::new(100, AudioSendParams::default());
        let mut voice = Voice::new(440.0);
        let mut pushed = 0;
        for step in 0..1_000 {
            // Between 300 and 700 ms somebody's packets come, each when it is complete.
            if (300..700).contains(&step) && step % ms == 0 {
                let frame = voice.frame(ms as usize);
                assert_eq!(out.source.push_ready(out.now(), &frame), 0);
                pushed += 1;
            }
            out.elapsed += MS;
            out.poll();
        }
        out.assert_unbroken();
        let own = out
            .packets
            .iter()
            .filter(|packet| voice.made.contains(&packet.payload))
            .count();
        assert_eq!(own, pushed, "{ms} ms: every packet is sent");
        let sent: u64 = out
            .packets
            .iter()
            .map(|p| u64::from(p.duration_samples_48k))
            .sum();
        let late = 48_000 - sent;
        assert!(
            late <= 20 * 48,
            "{ms} ms: {late} samples behind the clock after a second"
        );
    }
}

#[test]
fn when_the_queue_is_full_the_oldest_packet_is_dropped_and_its_time_passes() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    let start = out.sender.poll_packet(out.now());
    assert_eq!(start, None);
    let mut dropped = 0;
    for _ in 0..READY_MAX + 3 {
        dropped += out.source.push_ready(out.now(), &voice.frame(20));
        out.elapsed += 20 * MS;
    }
    assert_eq!(dropped, 3);
    out.poll();
    assert_eq!(out.packets.len(), READY_MAX);
    assert_eq!(out.packets[0].payload, voice.made[3]);
    out.assert_unbroken();

    let mut whole = Out::direct();
    whole.frame(voice.frame(20));
    whole.source.skip(60 * MS);
    whole.frame(voice.frame(20));
    let gap = whole.packets[1].rtp_time_48k - whole.packets[0].rtp_time_48k;
    assert_eq!(gap, 80 * 48);
}

#[test]
fn a_track_that_is_switched_off_sends_silence_in_place_of_packets() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    out.track.set_enabled(false);
    for ms in [10, 20, 40, 60] {
        out.frame(voice.frame(ms));
    }
    out.assert_unbroken();
    let mut decoder = Decoder::new(48_000, Channels::Mono).expect("a format of opus");
    let pcm = decode(
        &mut decoder,
        out.packets.iter().map(|packet| &packet.payload),
    );
    assert_eq!(pcm.len(), 130 * 48);
    assert!(pcm.iter().all(|sample| sample.unsigned_abs() < 4));
    assert!(out.packets.iter().all(|packet| !packet.voice_activity));
}

#[test]
fn packets_are_sent_in_red_where_that_is_agreed() {
    let params = AudioSendParams {
        red: Some(RED_PAYLOAD_TYPE),
        ..AudioSendParams::default()
    };
    let mut out = Out::new(0, params);
    let mut voice = Voice::new(440.0);
    out.frame(voice.frame(20));
    out.frame(voice.frame(60));
    out.frame(voice.frame(20));
    let blocks = red::unwrap(&out.packets[2].payload).expect("RED");
    let [copy, proper] = &blocks[..] else {
        panic!("two blocks: {blocks:?}");
    };
    assert_eq!((copy.age, copy.offset), (1, 60 * 48));
    assert_eq!(copy.payload, voice.made[1]);
    assert_eq!(proper.payload, voice.made[2]);
}

#[test]
fn the_level_that_is_told_travels_along() {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    out.frame(voice.frame(20).with_level_dbov(-71));
    out.frame(voice.frame(20));
    out.frame(OpusFrame::new(silence()).expect("a packet of silence"));
    let levels: Vec<(i8, bool)> = out
        .packets
        .iter()
        .map(|p| (p.audio_level_dbov, p.voice_activity))
        .collect();
    assert_eq!(levels, [(-71, false), (-26, true), (-127, false)]);
}

#[test]
fn what_is_no_packet_of_a_usual_length_is_refused() {
    assert_eq!(
        OpusFrame::new(Bytes::new()),
        Err(EncodedError::NotOpus { bytes: 0 })
    );
    // 64 frames of 20 ms.
    assert_eq!(
        OpusFrame::new(&[0x0b, 0x3f][..]),
        Err(EncodedError::NotOpus { bytes: 2 })
    );
    assert_eq!(
        OpusFrame::new(vec![0x80; 1_276]),
        Err(EncodedError::TooLarge { bytes: 1_276 })
    );
    // CELT of 2.5 ms.
    assert_eq!(
        OpusFrame::new(&[0x80, 1, 2, 3][..]),
        Err(EncodedError::Duration { samples_48k: 120 })
    );
    let stereo = OpusFrame::new(&[0x7c, 1, 2, 3][..]).expect("20 ms of two channels");
    assert_eq!((stereo.channels(), stereo.duration_samples_48k()), (2, 960));
}

#[test]
fn pcm_after_packets_begins_without_a_seam_when_the_encoder_is_primed() {
    let cold = seam(None);
    let primed = seam(Some(ENCODER_DELAY_48K as usize));
    assert!(cold.hole_db > 6.0, "without priming: {cold:?}");
    assert!(primed.hole_db < 1.0, "{primed:?}");
    assert!(primed.step < 1.15, "{primed:?}");
    let again = seam(Some(0));
    assert!(again.hole_db < 1.5, "{again:?}");
    assert!(again.step > 1.2, "the repeated sound shows: {again:?}");
}

#[test]
fn a_tap_gets_each_packet_once_as_it_comes() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    for seq in [10, 11, 13, 12, 12, 14] {
        let payload = voice.packet(seq, 20);
        line.arrive(seq, seq * 960, payload, PayloadKind::Opus);
    }
    let frames = drain(&queue);
    let seqs: Vec<u64> = frames.iter().map(|frame| frame.sequence).collect();
    assert_eq!(seqs, [10, 11, 13, 12, 14]);
    for frame in &frames {
        assert_eq!(frame.rtp_time_48k, frame.sequence * 960);
        assert_eq!(frame.duration_samples_48k, 960);
        assert_eq!(frame.payload, voice.packet(frame.sequence, 20));
        assert!(!frame.recovered);
    }
}

#[test]
fn red_is_unwrapped_and_a_lost_packet_comes_from_its_copy() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    let mut writer = red::RedWriter::default();
    for seq in 100..120 {
        let time = seq * 960;
        let payload = writer.wrap(RED_PAYLOAD_TYPE, time, voice.packet(seq, 20));
        // One packet is lost, then two in a row.
        if ![105, 110, 111].contains(&seq) {
            line.arrive(seq, time, payload, PayloadKind::Red);
        }
    }
    let frames = drain(&queue);
    let seqs: Vec<u64> = frames.iter().map(|frame| frame.sequence).collect();
    let expected: Vec<u64> = (100..120).filter(|seq| *seq != 110).collect();
    assert_eq!(seqs, expected);
    for frame in &frames {
        assert_eq!(frame.payload, voice.packet(frame.sequence, 20));
        assert_eq!(frame.rtp_time_48k, frame.sequence * 960);
        assert_eq!(frame.recovered, [105, 111].contains(&frame.sequence));
    }
}

#[test]
fn a_pause_of_the_sender_is_a_step_in_time_without_one_in_sequence() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    line.arrive(1, 960, voice.packet(1, 20), PayloadKind::Opus);
    line.arrive(2, 1_920, silence(), PayloadKind::Opus);
    line.arrive(3, 1_920 + 20 * 960, silence(), PayloadKind::Opus);
    let frames = drain(&queue);
    assert_eq!(frames.len(), 3);
    assert!(frames[1].is_silence() && !frames[0].is_silence());
    assert_eq!(frames[2].sequence - frames[1].sequence, 1);
    assert_eq!(frames[2].rtp_time_48k - frames[1].rtp_time_48k, 20 * 960);
}

#[test]
fn a_track_with_taps_alone_is_not_decoded() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    for seq in 1..50 {
        line.arrive(seq, seq * 960, voice.packet(seq, 20), PayloadKind::Opus);
        assert_eq!(line.receiver.poll_timeout(line.now), None);
        line.receiver.handle_timeout(line.now);
    }
    assert_eq!(drain(&queue).len(), 49);
    assert_eq!(line.receiver.stats().total_samples, 0);
    assert_eq!(line.receiver.stats().packets, 49);
}

#[test]
fn a_tap_does_not_change_what_is_heard() {
    let mut lines = [Line::new(), Line::new()];
    let tap = lines[0].tap(100);
    let sinks = [0, 1].map(|_| Arc::new(PcmSink::new(48_000, 1, None).expect("format")));
    let mut voices = [Voice::new(440.0), Voice::new(440.0)];
    for ((line, sink), voice) in lines.iter_mut().zip(&sinks).zip(&mut voices) {
        assert!(line.remote.add_sink(sink));
        for seq in (1..100).filter(|seq| seq % 10 != 3) {
            line.arrive(seq, seq * 960, voice.packet(seq, 20), PayloadKind::Opus);
            line.receiver.handle_timeout(line.now);
        }
    }
    assert_eq!(drain(&tap).len(), 89);
    assert_eq!(lines[0].receiver.stats(), lines[1].receiver.stats());
    assert!(lines[0].receiver.stats().total_samples > 48_000);
}

#[test]
fn a_stream_that_begins_anew_is_told_apart() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    line.arrive(5_000, 960, voice.packet(1, 20), PayloadKind::Opus);
    line.receiver = AudioReceiver::new(line.remote.clone(), no_wake());
    line.arrive(3, 77, voice.packet(2, 20), PayloadKind::Opus);
    let streams: Vec<(u64, u64)> = drain(&queue)
        .iter()
        .map(|frame| (frame.stream, frame.sequence))
        .collect();
    assert_eq!(streams, [(1, 5_000), (2, 3)]);
}

#[test]
fn a_slow_tap_loses_the_oldest_packets_and_counts_them() {
    let mut line = Line::new();
    let queue = line.tap(3);
    let mut voice = Voice::new(440.0);
    for seq in 1..=5 {
        line.arrive(seq, seq * 960, voice.packet(seq, 20), PayloadKind::Opus);
    }
    assert_eq!(queue.dropped(), 2);
    let seqs: Vec<u64> = drain(&queue).iter().map(|f| f.sequence).collect();
    assert_eq!(seqs, [3, 4, 5]);
}

#[test]
fn nothing_comes_from_a_track_that_is_switched_off_nor_of_what_is_no_opus() {
    let mut line = Line::new();
    let queue = line.tap(100);
    let mut voice = Voice::new(440.0);
    line.arrive(1, 960, Bytes::from_static(&[0x0b, 0x3f]), PayloadKind::Opus);
    line.arrive(2, 1_920, Bytes::from_static(&[0xff]), PayloadKind::Red);
    line.remote.set_enabled(false);
    line.arrive(3, 2_880, voice.packet(3, 20), PayloadKind::Opus);
    assert!(drain(&queue).is_empty());
    line.remote.set_enabled(true);
    line.arrive(4, 3_840, voice.packet(4, 20), PayloadKind::Opus);
    assert_eq!(drain(&queue).len(), 1);
}

/// A track on its way out.
struct Out {
    source: PcmSource,
    track: LocalAudio,
    sender: AudioSender,
    start: Instant,
    elapsed: Duration,
    packets: Vec<OpusPacket>,
    wakes: Arc<AtomicU32>,
    frames: usize,
}

impl Out {
    fn direct() -> Self {
        Self::new(0, AudioSendParams::default())
    }

    fn new(queue_ms: u32, params: AudioSendParams) -> Self {
        let source = PcmSource::new(48_000, 1, queue_ms);
        let track = LocalAudio::new(source.clone());
        let wakes = Arc::new(AtomicU32::new(0));
        let counter = wakes.clone();
        let wake: Arc<dyn Driver> = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut sender = AudioSender::new(track.clone(), params, wake).expect("a sender");
        let start = Instant::now();
        assert_eq!(sender.poll_packet(start), None);
        Self {
            source,
            track,
            sender,
            start,
            elapsed: Duration::ZERO,
            packets: Vec::new(),
            wakes,
            frames: 0,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    /// Hands over so many frames of 10 ms.
    fn pcm(&mut self, frames: usize) {
        for _ in 0..frames {
            let pcm = tone(440.0, self.frames * TICK, TICK);
            self.frames += 1;
            self.source.push(self.now(), &pcm).expect("10 ms");
            self.elapsed += 10 * MS;
            self.poll();
        }
    }

    fn frame(&mut self, frame: OpusFrame) {
        assert_eq!(self.source.push_ready(self.now(), &frame), 0);
        self.elapsed += Duration::from_millis(frame.duration_samples_48k() / 48);
        self.poll();
    }

    /// Has what is left of PCM sent.
    fn flush(&mut self) {
        self.frame(OpusFrame::new(silence()).expect("a packet of silence"));
    }

    fn poll(&mut self) {
        let now = self.now();
        while let Some(packet) = self.sender.poll_packet(now) {
            self.packets.push(packet);
        }
    }

    /// Each packet begins where the one before it ended, and the first alone is marked.
    fn assert_unbroken(&self) {
        for pair in self.packets.windows(2) {
            assert_eq!(
                pair[1].rtp_time_48k,
                pair[0].rtp_time_48k + u64::from(pair[0].duration_samples_48k)
            );
        }
        let marked = self.packets.iter().filter(|packet| packet.marker).count();
        assert_eq!(marked, 1);
        assert!(self.packets.first().is_some_and(|packet| packet.marker));
    }
}

/// A track on its way in; a packet comes every 20 ms.
struct Line {
    remote: RemoteAudio,
    receiver: AudioReceiver,
    now: Instant,
}

impl Line {
    fn new() -> Self {
        let remote = RemoteAudio::new();
        Self {
            receiver: AudioReceiver::new(remote.clone(), no_wake()),
            remote,
            now: Instant::now(),
        }
    }

    fn tap(&self, capacity: usize) -> Arc<FrameQueue> {
        let queue = Arc::new(FrameQueue::new(capacity));
        assert!(self.remote.add_tap(&queue));
        queue
    }

    fn arrive(&mut self, seq: u64, rtp_time: u64, payload: Bytes, kind: PayloadKind) {
        self.receiver.push_packet(ReceivedPacket {
            seq,
            rtp_time,
            payload,
            kind,
            arrival: self.now,
        });
        self.now += 20 * MS;
    }
}

/// Somebody else's encoder.
struct Voice {
    encoder: Encoder,
    frequency: f64,
    samples: usize,
    made: Vec<Bytes>,
    by_seq: std::collections::BTreeMap<u64, Bytes>,
}

impl Voice {
    fn new(frequency: f64) -> Self {
        Self {
            encoder: Encoder::new(48_000, Channels::Mono, Application::Voip).expect("a format"),
            frequency,
            samples: 0,
            made: Vec::new(),
            by_seq: std::collections::BTreeMap::new(),
        }
    }

    /// The next packet of so many milliseconds.
    fn frame(&mut self, ms: usize) -> OpusFrame {
        let pcm = tone(self.frequency, self.samples, ms * 48);
        self.samples += pcm.len();
        let payload = Bytes::from(self.encoder.encode_vec(&pcm, 1_275).expect("a packet"));
        self.made.push(payload.clone());
        OpusFrame::new(payload).expect("an opus packet")
    }

    /// The packet with this number, made when it is first asked for.
    fn packet(&mut self, seq: u64, ms: usize) -> Bytes {
        if let Some(packet) = self.by_seq.get(&seq) {
            return packet.clone();
        }
        let packet = self.frame(ms).payload().clone();
        self.by_seq.insert(seq, packet.clone());
        packet
    }
}

/// What the change from packets to PCM of the same voice sounds like.
#[derive(Debug)]
struct Seam {
    /// The quietest period, in dB below the level before.
    hole_db: f64,
    /// The largest step between two samples, as a multiple of the largest before.
    step: f64,
}

/// Changes from packets to PCM of one voice, with an encoder that is primed up to so many samples beyond what was heard,
/// or not at all.
fn seam(primed_ahead: Option<usize>) -> Seam {
    let mut out = Out::direct();
    let mut voice = Voice::new(440.0);
    for _ in 0..25 {
        out.frame(voice.frame(20));
    }
    // The packets lag behind the voice by the look-ahead of its encoder.
    let lag = voice.encoder.get_lookahead().expect("a number") as usize;
    assert_eq!(lag, ENCODER_DELAY_48K as usize);
    let mut at = voice.samples - lag;
    if let Some(ahead) = primed_ahead {
        at += ahead;
        out.source.prime(&tone(440.0, at - 4 * TICK, 4 * TICK));
    }
    for tick in 0..50 {
        let pcm = tone(440.0, at + tick * TICK, TICK);
        out.source.push(out.now(), &pcm).expect("10 ms");
        out.elapsed += 10 * MS;
        out.poll();
    }
    out.assert_unbroken();
    let mut decoder = Decoder::new(48_000, Channels::Mono).expect("a format of opus");
    let payloads = out.packets.iter().map(|packet| &packet.payload);
    let pcm = decode(&mut decoder, payloads);
    let around = &pcm[25 * 960 - 40 * 48..25 * 960 + 60 * 48];
    let period = 48_000 / 440;
    let quietest = around.windows(period).map(power).fold(f64::MAX, f64::min);
    let before = &pcm[15 * 960..25 * 960 - 40 * 48];
    Seam {
        hole_db: 10.0 * (power(before) / quietest.max(1.0)).log10(),
        step: largest_step(around) / largest_step(before),
    }
}

fn largest_step(pcm: &[i16]) -> f64 {
    let step = |pair: &[i16]| f64::from(pair[1]) - f64::from(pair[0]);
    pcm.windows(2)
        .map(|pair| step(pair).abs())
        .fold(1.0, f64::max)
}

fn power(pcm: &[i16]) -> f64 {
    pcm.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / pcm.len() as f64
}

fn decode<'a>(decoder: &mut Decoder, payloads: impl Iterator<Item = &'a Bytes>) -> Vec<i16> {
    let mut pcm = Vec::new();
    let mut frame = [0; 5_760];
    for payload in payloads {
        let samples = decoder
            .decode(payload, &mut frame, false)
            .expect("a packet");
        pcm.extend_from_slice(&frame[..samples]);
    }
    pcm
}

/// A packet of 20 ms that says only that there is silence.
fn silence() -> Bytes {
    Bytes::from_static(&[0x78])
}

fn tone(frequency: f64, from: usize, samples: usize) -> Vec<i16> {
    (from..from + samples)
        .map(|at| ((TAU * frequency * at as f64 / 48_000.0).sin() * 16_384.0) as i16)
        .collect()
}

fn drain(queue: &FrameQueue) -> Vec<ReceivedFrame> {
    std::iter::from_fn(|| queue.pop()).collect()
}

fn no_wake() -> Arc<dyn Driver> {
    Arc::new(|| {})
}
