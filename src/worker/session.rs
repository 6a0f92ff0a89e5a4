//! Serving one connection, from its registration to its end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use proto::worker_message::Message as ToServer;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::answers::Flow;
use crate::connect::{Frame, PING_INTERVAL_SECS, Registered, Socket, decode, encode};
use crate::job::{Adoption, JobEnded};
use crate::run::Runner;

const PING_INTERVAL: Duration = Duration::from_secs(PING_INTERVAL_SECS as u64);
/// A connection on which nothing arrived for so long is dead: each ping is answered, and the server
/// pings too.
const SILENCE_MAX: Duration = Duration::from_secs(25);
/// A server that takes no bytes for so long is dead.
const SEND_MAX: Duration = Duration::from_secs(5);
/// How long the farewell of a stopping worker may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// By itself, for this reason.
    Lost(String),
    /// The server is draining and asks to register anew.
    GoAway,
    /// The worker is to stop.
    Stopped,
}

enum Event {
    Stop,
    Drain,
    Ended(JobEnded),
    Adopt(Adoption),
    Frame(Option<Result<tungstenite::Message, tungstenite::Error>>),
    Tick,
    Due,
}

impl Runner {
    pub(crate) async fn serve(&mut self, registered: Registered) -> SessionEnd {
        let Registered {
            mut socket,
            worker_id,
            server_version,
        } = registered;
        self.registered(worker_id, server_version);
        let end = self.converse(&mut socket).await;
        match &end {
            SessionEnd::Lost(_) => {}
            SessionEnd::GoAway | SessionEnd::Stopped => {
                // Whether the server still hears it makes no difference, and its answer is not
                // waited for.
                let farewell = async {
                    let _ = self.flush(&mut socket).await;
                    let _ = socket.close(None).await;
                };
                let _ = timeout(CLOSE_MAX, farewell).await;
            }
        }
        end
    }

    async fn converse(&mut self, socket: &mut Socket) -> SessionEnd {
        let (drain, stop) = (self.drain.clone(), self.stop.clone());
        let mut ticks = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut garbage: u32 = 0;
        loop {
            if let Err(reason) = self.flush(socket).await {
                return SessionEnd::Lost(reason);
            }
            self.publish();
            let silent = heard + SILENCE_MAX;
            let due = self
                .slots
                .poll_timeout()
                .map_or(silent, |at| at.min(silent));
            // All arms are cancel-safe: tokens, a channel, a stream, and timers.
            let event = tokio::select! {
                () = stop.cancelled() => Event::Stop,
                () = drain.cancelled(), if !self.slots.is_draining() => Event::Drain,
                Some(ended) = self.ended.recv() => Event::Ended(ended),
                Some(adoption) = self.adoptions.recv() => Event::Adopt(adoption),
                frame = socket.next() => Event::Frame(frame),
                _ = ticks.tick() => Event::Tick,
                () = sleep_until(due) => Event::Due,
            };
            let now = Instant::now();
            match event {
                Event::Stop => {
                    while let Ok(ended) = self.ended.try_recv() {
                        self.job_ended(ended);
                    }
                    return SessionEnd::Stopped;
                }
                Event::Drain => {
                    self.slots.drain();
                    self.report();
                }
                Event::Ended(ended) => self.job_ended(ended),
                Event::Adopt(adoption) => self.adopt(adoption),
                Event::Frame(None) => return SessionEnd::Lost("the server hung up".to_owned()),
                Event::Frame(Some(Err(error))) => return SessionEnd::Lost(error.to_string()),
                Event::Frame(Some(Ok(frame))) => {
                    heard = now;
                    match decode(frame) {
                        Frame::Message(message) => match self.message(now, *message) {
                            Flow::Continue => {}
                            Flow::GoAway => return SessionEnd::GoAway,
                        },
                        Frame::Closed(reason) => {
                            return SessionEnd::Lost(format!("the server closed it: {reason}"));
                        }
                        Frame::Garbage(error) => {
                            garbage = garbage.saturating_add(1);
                            if garbage == 1 {
                                tracing::warn!(error, "garbage from the server ignored");
                            } else {
                                tracing::debug!(error, garbage, "garbage from the server ignored");
                            }
                        }
                        Frame::Unknown => tracing::debug!("message of an unknown kind ignored"),
                        Frame::Control => {}
                    }
                }
                Event::Tick => {
                    // The status goes along, so that a server that lost it has it again.
                    self.report();
                    self.outbox.push(ToServer::Ping(proto::WorkerPing {
                        timestamp: unix_millis(),
                    }));
                }
                Event::Due => {
                    self.expire(now);
                    if now >= silent {
                        let secs = SILENCE_MAX.as_secs();
                        return SessionEnd::Lost(format!("nothing was heard for {secs} s"));
                    }
                }
            }
        }
    }

    /// Sends what is in the outbox; what could not be sent stays in it.
    async fn flush(&mut self, socket: &mut Socket) -> Result<(), String> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let sending = async {
            for message in &self.outbox {
                socket.feed(encode(message.clone())).await?;
            }
            socket.flush().await
        };
        match timeout(SEND_MAX, sending).await {
            Ok(Ok(())) => {
                self.outbox.clear();
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "nothing could be sent for {} s",
                SEND_MAX.as_secs()
            )),
        }
    }
}

fn unix_millis() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
