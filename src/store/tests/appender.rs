//! Appends to a journal until its standard input closes, and prints what it knows to be stored. The crash and full-disk tests kill it.
//!
//! Arguments: file, burst, payload bytes. Lines: `acked SEQ` for all records up to that one, `buffered TROUBLE`, `waiting`,
//! `lost RECORDS` at the end.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use store::{
    CallKey, EmbeddedConfig, Entry, Journal, JournalConfig, Kind, NewCall, Settled, StoreConfig,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("no file")?;
    let burst: u64 = arguments.next().ok_or("no burst")?.parse()?;
    let payload_bytes: usize = arguments.next().ok_or("no payload size")?.parse()?;
    let stop = watch_stdin();

    let mut config = JournalConfig::new(StoreConfig::Embedded(EmbeddedConfig::new(path)));
    config.retry.stall = Duration::from_secs(30);
    config.retry.pause_max = Duration::from_millis(100);
    let journal = Journal::start(&config, &format!("appender {}", std::process::id()))?;
    journal.opened().await;
    let key = CallKey::new("call")?;
    let known = journal.call(&key).await?;
    let mut call = if known.is_some() {
        journal.claim(&key, 0, 60_000).await?
    } else {
        let call = NewCall {
            key,
            room: "room".to_owned(),
            agent: "baton".to_owned(),
            config_hash: String::new(),
            opened_unix_ms: 1,
        };
        journal.begin(call, 60_000, Bytes::new())?.0
    };
    while !stop.load(Ordering::Relaxed) {
        let mut last = None;
        for _ in 0..burst {
            let seq = call.next_seq();
            let payload = vec![(seq % 251) as u8; payload_bytes].into();
            last = Some(call.append(Entry {
                kind: Kind::Core,
                epoch: seq,
                unix_ms: 1,
                payload,
            }));
        }
        let Some(mut receipt) = last else {
            return Err("a burst of nothing".into());
        };
        if let Settled::Buffered(trouble) = receipt.settled().await {
            say(&format!("buffered {}", trouble.as_str()))?;
            // A real call goes on meanwhile: a second burst shows that appends still answer.
            let waiting = call.append(Entry {
                kind: Kind::Phase,
                epoch: 0,
                unix_ms: 1,
                payload: Bytes::new(),
            });
            say(if matches!(waiting.poll(), Some(Settled::Buffered(_))) {
                "waiting"
            } else {
                "not waiting"
            })?;
            receipt = waiting;
        }
        match receipt.stored().await {
            Settled::Durable => say(&format!("acked {}", receipt.seq()))?,
            other => return Err(format!("record {} is {other:?}", receipt.seq()).into()),
        }
    }
    journal.close(Duration::from_secs(10)).await?;
    say(&format!("lost {}", journal.figures().lost_records))?;
    Ok(())
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Set once standard input is closed.
fn watch_stdin() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let watched = stop.clone();
    std::thread::spawn(move || {
        // An error ends the input as well.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        watched.store(true, Ordering::Relaxed);
    });
    stop
}
