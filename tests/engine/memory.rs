//! Where the memory of an idle room is: the live blocks of the heap, told apart by the code that has taken them.
//!
//! A debug build, whose frames have names, takes as many bytes as a release build: the shapes of what is kept are the same.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::part::{SETTLE, Server};

/// Rooms that are there before it is looked, so that what a process takes once is not counted, and those that are looked at.
const ROOMS_BEFORE: usize = 3;
const ROOMS: usize = 10;

/// Whose a block is: the first of these, from the allocation outwards, that has a frame of one of its crates. What stands behind them,
/// such as `tokio` or `bytes`, works for one of them.
const PARTS: [(&str, &[&str]); 7] = [
    ("DTLS (dimpl, aws-lc-rs)", &["dimpl", "str0m_aws_lc_rs"]),
    ("SCTP (sctp-proto)", &["sctp_proto"]),
    ("ICE (is)", &["is"]),
    ("str0m's own", &["str0m", "str0m_proto"]),
    ("our engine", &["libwebrtc"]),
    (
        "signalling (tungstenite, rustls, hyper)",
        &[
            "tungstenite",
            "tokio_tungstenite",
            "rustls",
            "hyper",
            "hyper_util",
            "reqwest",
        ],
    ),
    (
        "livekit's own",
        &[
            "livekit",
            "livekit_api",
            "livekit_datatrack",
            "livekit_data_stream",
            "livekit_net",
            "livekit_protocol",
            "livekit_rpc",
            "livekit_signaling",
        ],
    ),
];
const SOCKETS: &str = "sockets (tokio's registrations)";
const OTHERS: &str = "anything else";

/// Live bytes per room, by their part.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) bytes: BTreeMap<String, u64>,
    /// Blocks per room.
    pub(crate) blocks: u64,
    /// Open files per room.
    pub(crate) files: f64,
}

/// The system's allocator, which remembers who has taken each live block while it is told to.
pub(crate) struct Remembering;

static REMEMBERS: AtomicBool = AtomicBool::new(false);
static LIVE: Mutex<Option<HashMap<usize, Block>>> = Mutex::new(None);

struct Block {
    bytes: usize,
    taken: Backtrace,
}

thread_local! {
    /// Whether this thread is remembering, which takes memory itself.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: everything is passed on to the system's allocator as it comes.
unsafe impl GlobalAlloc for Remembering {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that `System` asks for.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() && REMEMBERS.load(Ordering::Relaxed) {
            alone(|live| {
                let taken = Backtrace::force_capture();
                let bytes = layout.size();
                live.insert(block.addr(), Block { bytes, taken });
            });
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if REMEMBERS.load(Ordering::Relaxed) {
            alone(|live| {
                live.remove(&block.addr());
            });
        }
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Works on what is remembered, unless that is what takes the memory.
fn alone(work: impl FnOnce(&mut HashMap<usize, Block>)) {
    // A thread that ends has no such value any more.
    let entered = BUSY.try_with(|busy| !busy.replace(true)).unwrap_or(false);
    if !entered {
        return;
    }
    if let Some(live) = LIVE.lock().ok().as_mut().and_then(|live| live.as_mut()) {
        work(live);
    }
    BUSY.with(|busy| busy.set(false));
}

/// Joins rooms, and says what they keep.
pub(crate) async fn rooms(server: &Server) -> Result<Memory> {
    let mut joined = Vec::new();
    for number in 0..ROOMS_BEFORE {
        joined.push(server.join(&format!("before-{number}"), "idle").await?);
    }
    tokio::time::sleep(SETTLE).await;
    let files_before = files()?;
    if let Ok(mut live) = LIVE.lock() {
        *live = Some(HashMap::new());
    }
    REMEMBERS.store(true, Ordering::Relaxed);
    for number in 0..ROOMS {
        joined.push(server.join(&format!("memory-{number}"), "idle").await?);
    }
    // What joining alone has taken is given back by then.
    tokio::time::sleep(SETTLE + Duration::from_secs(12)).await;
    REMEMBERS.store(false, Ordering::Relaxed);
    let files = (files()? - files_before) as f64 / ROOMS as f64;
    let live = LIVE.lock().ok().and_then(|mut live| live.take());
    let live = live.unwrap_or_default();
    ensure!(!live.is_empty(), "nothing was remembered");
    let blocks = live.len() / ROOMS;
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for block in live.into_values() {
        let part = part_of(&block.taken.to_string());
        *bytes.entry(part.to_owned()).or_default() += block.bytes as u64;
    }
    for each in bytes.values_mut() {
        *each /= ROOMS as u64;
    }
    for (room, _) in &joined {
        // The process ends, whatever the server says.
        room.close().await.ok();
    }
    Ok(Memory {
        bytes,
        blocks: blocks as u64,
        files,
    })
}

/// Whose a block is, by the frames of the allocation: lines such as `  12: str0m::Rtc::new` or `  12: poll<livekit::room::{...}>`.
fn part_of(taken: &str) -> &'static str {
    let frames = taken.lines().filter_map(|line| {
        let (number, name) = line.trim_start().split_once(": ")?;
        number.parse::<u32>().ok()?;
        Some(name)
    });
    let mut socket = false;
    for frame in frames {
        socket |= frame.starts_with("tokio::runtime::io::");
        let mut names = frame.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let found = names.find_map(|name| PARTS.iter().find(|(_, crates)| crates.contains(&name)));
        if let Some((part, _)) = found {
            return if socket { SOCKETS } else { part };
        }
    }
    OTHERS
}

fn files() -> Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_of_the_innermost_crate_that_is_known() {
        let taken = "\
   0: <engine_bench::memory::Remembering as core::alloc::global::GlobalAlloc>::alloc
             at ./memory.rs:81:25
   1: alloc::vec::Vec<T>::with_capacity
   2: <dimpl::dtls12::Engine as core::default::Default>::default
   3: str0m::dtls::Dtls::new
   4: libwebrtc::pc::Peer::new
   5: livekit::rtc_engine::join";
        assert_eq!(part_of(taken), "DTLS (dimpl, aws-lc-rs)");
        let outer = taken.lines().skip(4).collect::<Vec<_>>().join("\n");
        assert_eq!(part_of(&outer), "str0m's own");
        let socket = "\
   1: tokio::runtime::io::driver::Handle::add_source
   2: tokio::net::udp::UdpSocket::new
   3: libwebrtc::net::paths::Paths::collect";
        assert_eq!(part_of(socket), SOCKETS);
        let task = "   1: new<livekit::room::{impl#10}::room_task::{async_fn_env#0}>";
        assert_eq!(part_of(task), "livekit's own");
        assert_eq!(part_of("   1: std::thread::spawn"), OTHERS);
    }
}
