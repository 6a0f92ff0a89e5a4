//! Opus packets from one room to another on a real server, without a codec in between.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use kit::{server::LivekitServer, token::JoinToken};
use livekit::{
    Room, RoomEvent, RoomOptions,
    options::TrackPublishOptions,
    track::{LocalAudioTrack, LocalTrack, RemoteTrack, TrackSource},
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        encoded::{EncodedAudioSource, EncodedAudioStream, OpusFrame, ReceivedFrame},
    },
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// CELT, 20 ms, one channel, one frame: whatever bytes follow are a packet of it.
const TABLE_OF_CONTENTS: u8 = 0xf8;
const MAGIC: &[u8] = b"numbered";
const PACKET: Duration = Duration::from_millis(20);
const PACKET_48K: u64 = 960;
/// No single step takes longer.
const STEP: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_forwarded_to_another_room_arrive_byte_for_byte() -> Result<()> {
    let server = LivekitServer::start()?;
    let speaker = Member::join(&server, "near", "speaker").await?;
    let mut near = Member::join(&server, "near", "forwarder").await?;
    let far = Member::join(&server, "far", "forwarder").await?;
    let mut listener = Member::join(&server, "far", "listener").await?;

    // As any participant publishes: with RED.
    let voice = speaker.publish(TrackPublishOptions::default()).await?;
    let options = TrackPublishOptions {
        dtx: false,
        red: false,
        ..Default::default()
    };
    let program = far.publish(options).await?;
    let mut received = near.hear().await?;
    let mut heard = listener.hear().await?;

    let speaking = tokio::spawn(speak(EncodedAudioSource::new(&voice)));
    let forwarded = EncodedAudioSource::new(&program);
    forward(&mut received, &forwarded, 100).await?;
    // Sound of the forwarder's own in between: what comes meanwhile is not forwarded.
    sound(&program, 50).await?;
    while received.try_next().is_some() {}
    forward(&mut received, &forwarded, 100).await?;
    // Nobody says anything for a while.
    sleep(20 * PACKET).await;
    while received.try_next().is_some() {}
    forward(&mut received, &forwarded, 50).await?;
    sleep(Duration::from_millis(300)).await;
    speaking.abort();

    let frames: Vec<ReceivedFrame> = std::iter::from_fn(|| heard.try_next()).collect();
    check(&frames)?;
    ensure!(received.dropped() == 0 && heard.dropped() == 0 && forwarded.dropped() == 0);
    for member in [speaker, near, far, listener] {
        timeout(STEP, member.room.close()).await??;
    }
    Ok(())
}

/// What the listener got: 100 packets of the speaker, 25 of the forwarder, 100 and 50 of the speaker. The first of all
/// may be lost until the server has heard of the subscription.
fn check(frames: &[ReceivedFrame]) -> Result<()> {
    let mut spells: Vec<(bool, usize)> = Vec::new();
    let mut left_out = 0;
    for pair in frames.windows(2) {
        let [before, after] = pair else { continue };
        ensure!(
            after.sequence == before.sequence + 1,
            "packet {} after {}",
            after.sequence,
            before.sequence
        );
        ensure!(after.stream == before.stream);
        let step = after.rtp_time_48k - before.rtp_time_48k;
        // A machine that stalls for more than 100 ms makes pauses of its own, of whole packets too.
        let stall = step > 5 * PACKET_48K && step <= 100 * PACKET_48K;
        ensure!(
            step == PACKET_48K || (stall && step.is_multiple_of(PACKET_48K)),
            "a step of {step} in time"
        );
        left_out += step / PACKET_48K - 1;
    }
    // 400 ms, and what the scheduler adds. What a stall has left out comes all the same, and shortens the pause.
    ensure!(left_out >= 18, "the pause lasted {left_out} packets");
    let mut last = None;
    for frame in frames {
        let number = number_in(&frame.payload)?;
        let same = spells.last().is_some_and(|s| s.0 == number.is_some());
        if let (true, Some(number), Some(last)) = (same, number, last) {
            let skipped = number - last;
            ensure!(
                skipped == 1 || skipped > 10,
                "number {number} after {last}: only the pause leaves any out"
            );
        }
        match spells.last_mut() {
            Some(spell) if same => spell.1 += 1,
            Some(_) | None => spells.push((number.is_some(), 1)),
        }
        last = number.or(last);
    }
    let [(true, first), (false, 25), (true, 150)] = spells[..] else {
        bail!("packets of the speaker (true) and the forwarder (false) in turn: {spells:?}");
    };
    ensure!((80..=100).contains(&first), "{first} of the first 100");
    Ok(())
}

/// Publishes numbered packets every 20 ms until it is aborted.
async fn speak(source: EncodedAudioSource) -> Result<()> {
    let mut ticks = interval(PACKET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0_u32.. {
        ticks.tick().await;
        source.push(OpusFrame::new(numbered(number))?);
    }
    Ok(())
}

async fn forward(
    from: &mut EncodedAudioStream,
    to: &EncodedAudioSource,
    count: usize,
) -> Result<()> {
    for _ in 0..count {
        let frame = timeout(STEP, from.next())
            .await
            .context("no packet came")?
            .context("the stream ended")?;
        to.push(frame.try_into()?);
    }
    Ok(())
}

/// So many frames of 10 ms of a square wave.
async fn sound(source: &NativeAudioSource, frames: usize) -> Result<()> {
    let start = Instant::now();
    for frame in 0..frames {
        tokio::time::sleep_until(start + Duration::from_millis(10) * frame as u32).await;
        let pcm: Vec<i16> = (0..480)
            .map(|at| if at / 60 % 2 == 0 { 3_000 } else { -3_000 })
            .collect();
        let frame = AudioFrame {
            data: pcm.into(),
            sample_rate: 48_000,
            num_channels: 1,
            samples_per_channel: 480,
        };
        source.capture_frame(&frame).await?;
    }
    Ok(())
}

fn numbered(number: u32) -> Vec<u8> {
    let mut payload = vec![TABLE_OF_CONTENTS];
    payload.extend_from_slice(MAGIC);
    payload.extend_from_slice(&number.to_be_bytes());
    // Of lengths from 13 to 212 bytes, so that nothing is padded or cut unnoticed.
    payload.extend((0..number % 200).map(|at| (at * 7 + number) as u8));
    payload
}

/// The number in a packet of the speaker, `None` for other packets.
fn number_in(payload: &[u8]) -> Result<Option<u32>> {
    let Some(rest) = payload
        .strip_prefix(&[TABLE_OF_CONTENTS])
        .and_then(|rest| rest.strip_prefix(MAGIC))
    else {
        return Ok(None);
    };
    let number = rest.first_chunk().context("no number")?;
    let number = u32::from_be_bytes(*number);
    ensure!(payload == numbered(number), "packet {number} was changed");
    Ok(Some(number))
}

/// A participant of a room.
struct Member {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
}

impl Member {
    async fn join(server: &LivekitServer, room: &str, identity: &str) -> Result<Self> {
        let token = server.join_token(&JoinToken::new(room, identity))?;
        let url = server.url();
        let joined = Room::connect(&url, &token, RoomOptions::default());
        let (room, events) = timeout(STEP, joined).await??;
        Ok(Self { room, events })
    }

    /// Publishes a track of a source without a queue.
    async fn publish(&self, options: TrackPublishOptions) -> Result<NativeAudioSource> {
        let source = NativeAudioSource::new(AudioSourceOptions::default(), 48_000, 1, 0);
        let native = RtcAudioSource::Native(source.clone());
        let track = LocalAudioTrack::create_audio_track("voice", native);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..options
        };
        let participant = self.room.local_participant();
        timeout(
            STEP,
            participant.publish_track(LocalTrack::Audio(track), options),
        )
        .await??;
        Ok(source)
    }

    /// The packets of the first track that it is subscribed to.
    async fn hear(&mut self) -> Result<EncodedAudioStream> {
        let subscribed = async {
            while let Some(event) = self.events.recv().await {
                if let RoomEvent::TrackSubscribed {
                    track: RemoteTrack::Audio(track),
                    ..
                } = event
                {
                    return Ok(EncodedAudioStream::with_capacity(track.rtc_track(), 500));
                }
            }
            bail!("the room is gone")
        };
        timeout(STEP, subscribed).await.context("no track came")?
    }
}
