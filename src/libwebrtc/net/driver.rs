//! What drives a connection: one task on the engine's thread.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    task::Poll,
    time::Instant,
};

use tokio::{sync::oneshot, time};

use super::{
    Connection, EventSink, State,
    gather::{Socket, gather},
};
use crate::pc::{Event, Transmit};

/// Datagrams that are read from a socket before anything else gets its turn.
const BURST: usize = 64;
/// The largest datagram that is received, in bytes: nobody sends more than fits an Ethernet frame.
const DATAGRAM_BYTES: usize = 2_048;

/// What a turn of the loop has to do once the lock is released.
#[derive(Default)]
struct Turn {
    transmits: Vec<Transmit>,
    events: Vec<Event>,
    settled: Vec<oneshot::Sender<()>>,
    next: Option<Instant>,
    gather: bool,
    loopback: bool,
    /// The loopback address has been tried; it may be unavailable.
    loopback_tried: bool,
    hosts: bool,
    closed: bool,
}

/// Drives a connection until it is closed.
pub(super) async fn run(connection: Arc<Connection>, sink: Weak<dyn EventSink>) {
    let mut sockets: Vec<Socket> = Vec::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    let mut turn = Turn::default();
    loop {
        connection.drive(|state| take_turn(state, &sockets, &mut buffer, &mut turn));
        for transmit in turn.transmits.drain(..) {
            send(&sockets, &transmit);
        }
        if turn.closed {
            break;
        }
        if turn.gather {
            // There is more to do now, before anybody is told.
            collect(&connection, &mut sockets, &turn);
            turn.loopback_tried |= turn.loopback;
            continue;
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
        wait(&connection, &sockets, turn.next).await;
    }
    connection.drive(State::end);
}

/// Does all that is due under the lock, and leaves the rest in `turn`.
fn take_turn(state: &mut State, sockets: &[Socket], buffer: &mut [u8], turn: &mut Turn) {
    for socket in sockets {
        for _ in 0..BURST {
            match socket.io.try_recv_from(buffer) {
                Ok((length, source)) => state.peer.handle_datagram(
                    Instant::now(),
                    source,
                    socket.address,
                    &buffer[..length],
                ),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An earlier datagram was refused by the other side; the next may not be.
                Err(_) => {}
            }
        }
    }
    let now = Instant::now();
    if state.peer.poll_timeout().is_some_and(|at| at <= now) {
        state.peer.handle_timeout(now);
    } else {
        state.peer.settle(now);
    }
    let media = state.run_media(now);
    turn.transmits
        .extend(std::iter::from_fn(|| state.peer.poll_transmit()));
    turn.events
        .extend(std::iter::from_fn(|| state.peer.poll_event()));
    turn.closed = state.peer.check_open().is_err();
    turn.loopback = state.peer.wants_loopback();
    turn.hosts = state.config().hosts;
    let has_loopback = sockets
        .iter()
        .any(|socket| socket.address.ip().is_loopback());
    turn.gather = state.peer.take_gather_request()
        || (turn.loopback && turn.hosts && !sockets.is_empty() && !has_loopback);
    if !turn.gather {
        turn.settled.append(&mut state.take_settled());
    }
    turn.next = match (state.peer.poll_timeout(), media) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

/// Collects local addresses.
fn collect(connection: &Connection, sockets: &mut Vec<Socket>, turn: &Turn) {
    let gathered = if turn.hosts {
        gather(sockets, turn.loopback)
    } else {
        Default::default()
    };
    let fresh: Vec<SocketAddr> = gathered
        .opened
        .iter()
        .map(|socket| socket.address)
        .collect();
    sockets.extend(gathered.opened);
    connection.drive(|state| {
        for address in fresh {
            state.peer.add_local_address(address);
        }
        for (ip, error) in gathered.failed {
            let address = SocketAddr::new(ip, 0);
            state
                .peer
                .address_failed(address, String::new(), error.to_string());
        }
        state.peer.gathering_done();
    });
}

fn send(sockets: &[Socket], transmit: &Transmit) {
    let Some(socket) = sockets
        .iter()
        .find(|socket| socket.address == transmit.source)
    else {
        return;
    };
    // What cannot be sent is lost, as any datagram may be: the layers above send again what matters.
    if let Err(error) = socket
        .io
        .try_send_to(&transmit.contents, transmit.destination)
    {
        tracing::trace!(%error, "a datagram was not sent");
    }
}

/// Waits for a datagram, a change or the next time that something is due.
async fn wait(connection: &Connection, sockets: &[Socket], next: Option<Instant>) {
    let readable = poll_fn(|context| {
        let ready = sockets
            .iter()
            .any(|s| s.io.poll_recv_ready(context).is_ready());
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    // Nothing is taken out of a socket or the state here, so that whichever is dropped loses nothing.
    tokio::select! {
        () = readable => {}
        () = connection.changed() => {}
        () = sleep_until(next) => {}
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => time::sleep_until(next.into()).await,
        None => std::future::pending().await,
    }
}
