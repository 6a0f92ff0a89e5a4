//! What a durable append costs, beside a bare file that is written and synced: `cargo bench -p store`.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{
    CallKey, EmbeddedConfig, Entry, Journal, JournalConfig, Kind, NewCall, Settled, StoreConfig,
};

const APPENDS: u64 = 300;
const PAYLOAD_BYTES: usize = 1_000;
const CALLS: u64 = 500;
const RECORDS_PER_CALL: u64 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Beside the build, since /tmp may be memory.
    let directory = tempfile::tempdir_in(std::env::current_exe()?.parent().ok_or("no directory")?)?;
    let bare = bare_file(&directory.path().join("bare"))?;
    println!(
        "bare file, {APPENDS} appends, each synced:      {:>9.1} us",
        micros(bare, APPENDS)
    );

    let path = directory.path().join("journal.redb");
    let config = JournalConfig::new(StoreConfig::Embedded(EmbeddedConfig::new(&path)));
    let journal = Journal::start(&config, "bench")?;
    let mut call = journal.begin(new_call(0)?, 60_000, Bytes::new())?.0;
    let mut handing_over = Duration::ZERO;
    let begun = Instant::now();
    for _ in 0..APPENDS {
        let at = Instant::now();
        let mut receipt = call.append(entry());
        handing_over += at.elapsed();
        if receipt.stored().await != Settled::Durable {
            return Err("a record was not stored".into());
        }
    }
    let one = begun.elapsed();
    let ratio = one.as_secs_f64() / bare.as_secs_f64();
    println!(
        "journal, the same, each awaited:        {:>9.1} us, {ratio:.1} x the bare file",
        micros(one, APPENDS)
    );
    println!(
        "journal, what the caller waits:         {:>9.1} us",
        micros(handing_over, APPENDS)
    );

    let before = journal.figures();
    let mut calls = Vec::new();
    for number in 1..=CALLS {
        calls.push(journal.begin(new_call(number)?, 60_000, Bytes::new())?.0);
    }
    let begun = Instant::now();
    for _ in 0..RECORDS_PER_CALL {
        for call in &mut calls {
            call.append(entry());
        }
        tokio::task::yield_now().await;
    }
    journal.flush().await?;
    let figures = journal.figures();
    let records = CALLS * RECORDS_PER_CALL;
    println!(
        "journal, {CALLS} calls at once:               {:>9.1} us a record, {} transactions, {} lost",
        micros(begun.elapsed(), records),
        figures.commits - before.commits,
        figures.lost_records,
    );
    journal.close(Duration::from_secs(10)).await?;

    let begun = Instant::now();
    let journal = Journal::start(&config, "bench again")?;
    journal.opened().await;
    println!(
        "opened and verified, {} KiB:          {:>9.1} ms",
        journal.figures().file_bytes / 1_024,
        begun.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

fn bare_file(path: &std::path::Path) -> std::io::Result<Duration> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    for _ in 0..APPENDS {
        file.write_all(&[7; PAYLOAD_BYTES])?;
        file.sync_data()?;
    }
    Ok(begun.elapsed())
}

fn new_call(number: u64) -> Result<NewCall, store::InvalidCall> {
    Ok(NewCall {
        key: CallKey::new(&number.to_string())?,
        room: "room".to_owned(),
        agent: "baton".to_owned(),
        config_hash: String::new(),
        opened_unix_ms: 1,
    })
}

fn entry() -> Entry {
    Entry {
        kind: Kind::ContextItem,
        epoch: 1,
        unix_ms: 1,
        payload: Bytes::from_static(&[7; PAYLOAD_BYTES]),
    }
}

fn micros(duration: Duration, count: u64) -> f64 {
    duration.as_secs_f64() * 1e6 / count as f64
}
