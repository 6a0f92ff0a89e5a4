//! Takes a new configuration while calls run: on SIGHUP, and when a file of it has changed.
//!
//! Running calls keep what they began with. A configuration with an error in it changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

use crate::config::{self, Loaded};

/// How often files are looked at.
pub(crate) const POLL: Duration = Duration::from_secs(2);

/// What the files of a configuration look like from outside.
pub(crate) type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

/// Gives each configuration that differs from `taken` to `take`, for ever. `take` says what of it takes effect only later.
pub(crate) async fn follow(
    path: PathBuf,
    mut taken: Stamp,
    poll: Duration,
    mut take: impl FnMut(Loaded) -> anyhow::Result<Vec<&'static str>>,
) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            error!(%error, "cannot listen for SIGHUP, the configuration stays as it is");
            return;
        }
    };
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = taken.clone();
    loop {
        // Both arms are cancel-safe: a signal that is not received stays pending, and a tick comes again.
        let asked = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let now = stamp(&path).await;
        // A file that is still being written looks different at the next tick.
        let settled = std::mem::replace(&mut seen, now.clone()) == now;
        if !asked && (now == taken || !settled) {
            continue;
        }
        taken = now;
        reload(&path, &mut take).await;
    }
}

async fn reload(path: &Path, take: &mut impl FnMut(Loaded) -> anyhow::Result<Vec<&'static str>>) {
    let from = path.to_owned();
    let loaded = match spawn_blocking(move || config::load(&from)).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(report)) => {
            error!(errors = report.errors(), %report, "the configuration has errors, the old one stays");
            return;
        }
        Err(error) => {
            error!(%error, "the configuration was not read, the old one stays");
            return;
        }
    };
    for warning in &loaded.report.findings {
        warn!(%warning, "the configuration is odd");
    }
    match take(loaded) {
        Ok(later) if later.is_empty() => info!("new calls take the new configuration"),
        Ok(later) => warn!(
            later = later.join(", "),
            "new calls take the new configuration, but for parts that need a new start"
        ),
        Err(error) => error!(error = format!("{error:#}"), "the old configuration stays"),
    }
}

async fn stamp(path: &Path) -> Stamp {
    let path = path.to_owned();
    spawn_blocking(move || stamp_of(&path))
        .await
        .unwrap_or_default()
}

/// What the files look like now.
pub(crate) fn stamp_of(path: &Path) -> Stamp {
    let files = match fs::read_dir(path) {
        Ok(files) => files.flatten().map(|file| file.path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    let mut stamp: Stamp = files
        .into_iter()
        .filter_map(|file| {
            let metadata = fs::metadata(&file).ok().filter(fs::Metadata::is_file)?;
            Some((file, metadata.modified().ok(), metadata.len()))
        })
        .collect();
    stamp.sort();
    stamp
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_changed_file_is_taken_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("baton.yaml");
        let write = |entry: &str| {
            let text = format!("entry: {entry}\nspecialists: {{first: , second: , third: }}\n");
            fs::write(&file, text).expect("it is writable");
        };
        write("first");
        let (taken, mut seen) = mpsc::unbounded_channel();
        let following = tokio::spawn(follow(
            file.clone(),
            stamp_of(&file),
            Duration::from_millis(20),
            move |loaded| {
                let entry = loaded.config.call.entry.to_string();
                taken.send(entry).map_err(anyhow::Error::from)?;
                Ok(Vec::new())
            },
        ));
        let mut next = async || timeout(PATIENCE, seen.recv()).await.ok().flatten();
        write("second");
        assert_eq!(next().await.as_deref(), Some("second"));
        write("nobody");
        // Long enough for the broken one to be seen.
        tokio::time::sleep(Duration::from_millis(300)).await;
        write("third");
        assert_eq!(
            next().await.as_deref(),
            Some("third"),
            "and nothing between"
        );
        following.abort();
    }
}
