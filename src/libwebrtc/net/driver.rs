//! What drives a connection: one task on the engine's thread.

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Poll, Waker},
    time::Instant,
};

use tokio::{
    sync::oneshot,
    time::{Sleep, sleep_until},
};

use super::{
    Connection, EventSink, Policy, State, pace,
    paths::Paths,
    watch::{self, Addresses},
};
use crate::pc::{Event, Transmit};

/// The largest datagram that is received, in bytes: nobody sends more than fits an Ethernet frame.
const DATAGRAM_BYTES: usize = 2_048;

/// The next time that something is due. Most datagrams leave it as it is, and then the timer is not touched.
struct Alarm {
    at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Alarm {
    fn new() -> Self {
        Self {
            at: None,
            timer: Box::pin(sleep_until(Instant::now().into())),
        }
    }

    fn set(&mut self, at: Option<Instant>) {
        if let Some(at) = at.filter(|_| self.at != at) {
            // A timer that is reset to a later time rings at the earlier one first, within tokio.
            self.timer.set(sleep_until(at.into()));
        }
        self.at = at;
    }

    /// Waits for that time; cancel-safe.
    async fn rung(&mut self) {
        match self.at {
            Some(_) => self.timer.as_mut().await,
            None => pending().await,
        }
    }
}

/// What a turn of the loop has to do once the lock is released.
#[derive(Default)]
struct Turn {
    /// Somebody else has changed the state.
    changed: bool,
    transmits: Vec<Transmit>,
    events: Vec<Event>,
    settled: Vec<oneshot::Sender<()>>,
    listeners: Vec<Waker>,
    next: Option<Instant>,
    /// Servers are being asked for addresses.
    asking: bool,
    /// Loopback addresses have been tried; they may be unavailable.
    loopback_tried: bool,
    /// Addresses of this machine are watched from the first gathering on.
    watch: bool,
    closed: bool,
}

/// Drives a connection until it is closed.
pub(super) async fn run(connection: Arc<Connection>, sink: Weak<dyn EventSink>) {
    let mut paths = Paths::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut turn = Turn::default();
    let mut addresses: Option<Addresses> = None;
    let mut alarm = Alarm::new();
    let mut moved = false;
    loop {
        let handed_on = connection.drive(|state| {
            paths.receive(&mut state.peer, &mut buffer);
            state.receive_media()
        });
        if handed_on {
            // Whoever forwards packets does so now, and they leave in this turn.
            let_others_run().await;
        }
        turn.changed = connection.take_changes();
        connection.drive(|state| take_turn(state, &mut paths, moved, &mut turn));
        if !turn.transmits.is_empty() {
            let now = Instant::now();
            for transmit in turn.transmits.drain(..) {
                paths.send(now, &transmit);
            }
        }
        for listener in turn.listeners.drain(..) {
            listener.wake();
        }
        if turn.closed {
            break;
        }
        if turn.watch && addresses.is_none() {
            addresses = Some(watch::addresses());
        }
        if !turn.events.is_empty() {
            // Nobody is told when the application has let go of the connection.
            if let Some(sink) = sink.upgrade() {
                for event in turn.events.drain(..) {
                    sink.deliver(event);
                }
            }
            turn.events.clear();
        }
        for settled in turn.settled.drain(..) {
            // Who has stopped waiting does not want to know.
            settled.send(()).ok();
        }
        alarm.set(turn.next);
        moved = wait(&connection, &mut paths, &mut addresses, &mut alarm).await;
    }
    connection.drive(State::end);
    paths.close().await;
}

/// Does all that is due under the lock, and leaves the rest in `turn`. `moved` says that the addresses of this machine
/// have changed.
fn take_turn(state: &mut State, paths: &mut Paths, moved: bool, turn: &mut Turn) {
    let now = Instant::now();
    let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
    let timeout = due(state.peer.poll_timeout());
    if timeout {
        state.peer.handle_timeout(now);
    }
    let changed = turn.changed || moved || paths.has_carriers();
    // Most turns are for a packet of sound alone.
    if changed || timeout || turn.asking || due(paths.poll_timeout()) {
        tend(state, paths, now, moved, turn);
    }
    let media = state.run_media(now);
    // What has come over a socket is settled, and so is the time that has passed.
    if changed || state.peer.is_due(now) {
        state.peer.settle(now);
    }
    turn.transmits
        .extend(std::iter::from_fn(|| state.peer.poll_transmit()));
    turn.events
        .extend(std::iter::from_fn(|| state.peer.poll_event()));
    turn.closed = state.peer.check_open().is_err();
    turn.settled.append(&mut state.take_settled());
    turn.listeners.append(&mut state.take_listeners());
    let peer = state.peer.poll_timeout();
    let peer = peer.map(|at| match state.peer.is_quiet(at) {
        true => pace::together(at),
        false => at,
    });
    turn.next = [peer, media, paths.poll_timeout()]
        .into_iter()
        .flatten()
        .min();
    state.set_alarm(turn.next);
}

/// Looks after the ways to the peer.
fn tend(state: &mut State, paths: &mut Paths, now: Instant, moved: bool, turn: &mut Turn) {
    gather(state, paths, now, moved, turn);
    while let Some(remote) = state.peer.poll_dial(now) {
        // What is to be relayed must not reach the peer by itself.
        if state.config().policy == Policy::All {
            paths.dial(remote);
        }
    }
    paths.handle_timeout(now, &mut state.peer);
    turn.asking = paths.asking();
    if !turn.asking {
        state.peer.gathering_done();
    }
}

/// Collects addresses when there is reason to.
fn gather(state: &mut State, paths: &mut Paths, now: Instant, moved: bool, turn: &mut Turn) {
    let asked = state.peer.take_gather_request();
    let loopback = !turn.loopback_tried && paths.lacks(state.peer.wants_loopback());
    turn.loopback_tried |= loopback;
    let retry = paths.take_retry(now);
    if asked || loopback || retry || moved {
        let config = state.config().clone();
        turn.watch |= config.continually && config.policy != Policy::Relay;
        paths.collect(now, &mut state.peer, &config);
        state.set_sockets(paths.sockets());
        state.peer.settle(now);
    }
}

/// Waits for a datagram, a change or the alarm. Says whether addresses of this machine have changed.
async fn wait(
    connection: &Connection,
    paths: &mut Paths,
    addresses: &mut Option<Addresses>,
    alarm: &mut Alarm,
) -> bool {
    // Whichever is dropped loses nothing: what has been taken out is kept where the next turn looks for it.
    tokio::select! {
        () = poll_fn(|context| paths.poll_ready(context)) => false,
        () = connection.changed() => false,
        () = alarm.rung() => false,
        () = changed(addresses) => true,
    }
}

/// Has every other task of the thread that is awake get its turn first. Tokio's `yield_now` would look at all sockets before.
async fn let_others_run() {
    let mut done = false;
    poll_fn(|context| match std::mem::replace(&mut done, true) {
        true => Poll::Ready(()),
        false => {
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

async fn changed(addresses: &mut Option<Addresses>) {
    let Some(watched) = addresses else {
        return pending().await;
    };
    if watched.changed().await.is_err() {
        // Nobody looks any more; without this, the end would be reported for ever.
        *addresses = None;
        pending().await
    }
}
