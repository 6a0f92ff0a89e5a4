//! The way of a packet allocates nothing: counted by an allocator of the test's own.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use audio::{
    Epoch, Fade, FadeStart, FillerConfig, Input, Made, Packet, Playout, PlayoutConfig, Sound,
    SourceId, TrackId, WatchdogConfig,
};
use bytes::Bytes;
use opus::{Application, Channels};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised to us.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as promised to us.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

/// Packets of a tone, made before anything is counted.
fn packets(hz: f64, count: usize) -> Vec<Packet> {
    let channels = Channels::Mono;
    let mut encoder = opus::Encoder::new(48_000, channels, Application::Voip).expect("a format");
    (0..count)
        .map(|index| {
            let sample = |at: usize| {
                let t = (index * 960 + at) as f64 / 48_000.0;
                // With pauses, so that packets pass again after a switch.
                let loud = if t.fract() < 0.6 { 8_000.0 } else { 0.0 };
                ((std::f64::consts::TAU * hz * t).sin() * loud) as i16
            };
            let pcm: Vec<i16> = (0..960).map(sample).collect();
            let payload = Bytes::from(encoder.encode_vec(&pcm, 1_275).expect("a frame"));
            let sequence = index as u64 + 1;
            Packet::new(payload, sequence, sequence * 960, 1).expect("a packet")
        })
        .collect()
}

#[test]
fn passing_mixing_filling_and_changing_between_them_allocates_nothing() {
    const ROUNDS: usize = 1_000;
    let config = PlayoutConfig {
        learns: true,
        ..PlayoutConfig::default()
    };
    let mut playout = Playout::new(config).expect("an encoder");
    playout.guard(
        WatchdogConfig {
            silence_samples: 9_600,
            false_start_samples: 9_600,
        },
        Some(FillerConfig {
            sound: Sound::ComfortNoise,
            dbfs: -45.0,
            fade_in: Fade::equal_power(40),
            fade_out: Fade::equal_power(40),
        }),
    );
    playout.expect_voice(true);
    let mut lines = [packets(300.0, ROUNDS), packets(500.0, ROUNDS)].map(Vec::into_iter);
    for track in 0..2 {
        playout.attach(TrackId(track), SourceId(track));
    }
    let mut holder: Option<Input> = None;
    let mut made = [0_u64; 3];
    let mut now = 0;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for round in 0..ROUNDS {
        if round % 100 == 0 {
            let epoch = Epoch(round as u64 / 100 + 1);
            let source = SourceId((round / 100 % 2) as u32);
            let to = Input { source, epoch };
            playout.admit(to).expect("there is room");
            match holder {
                // Both are as loud, and the one is told to be louder: it gets a gain, and loses it as it is learned.
                Some(from) if round / 100 == 4 => {
                    playout.match_loudness((from.source, Some(-20.0)), (source, Some(-14.0)));
                }
                Some(_) | None => playout.set_gain(source, 0.0),
            }
            let fade = Fade::equal_power(120);
            playout
                .start_fade(holder, Some(to), fade, FadeStart::FirstSound)
                .expect("both are in");
            holder = Some(to);
        }
        for (track, line) in lines.iter_mut().enumerate() {
            let packet = line.next().expect("one for each round");
            // Some are lost.
            if round % 17 != 3 {
                playout.push(TrackId(track as u32), packet);
            }
        }
        for _ in 0..2 {
            while let Some(slot) = playout.poll(now) {
                made[match slot.made {
                    Made::Passed => 0,
                    Made::Filled => 1,
                    Made::Mixed => 2,
                }] += 1;
            }
            now += 480;
        }
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(
        made.iter().all(|&slots| slots > 10),
        "every kind of slot: {made:?}"
    );
    assert!(playout.counters().given_back > 3);
    assert_eq!(allocations, 0);
    assert_eq!(std::hint::black_box(vec![1, 2, 3]).len(), 3);
    assert!(
        ALLOCATIONS.load(Ordering::Relaxed) > before,
        "it does count"
    );
}
