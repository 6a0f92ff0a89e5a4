//! The bench of quality in a short form, without its judge: one condition, a real server, both engines.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

#[test]
fn a_bad_network_takes_the_same_packets_from_both_engines_and_ours_conceals_them() -> Result<()> {
    let out = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_engine-bench"))
        .args(["quality", "--unjudged", "--clips", "2"])
        .args(["--only", "random 10 %", "--red", "off", "--out"])
        .arg(out.path())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&fs::read(out.path().join("quality.json"))?)?;
    let row = &report["rows"][0];
    let share = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let lost = share(&row["lost"]);
    ensure!((0.05..0.15).contains(&lost), "{lost} of the packets");
    // A busy machine conceals more: packets come too late.
    for engine in ["ours", "cpp"] {
        let concealed = share(&row[engine]["concealed"]);
        let expected = lost / 4.0..0.5;
        ensure!(
            expected.contains(&concealed),
            "{engine}: {concealed} concealed of {lost}"
        );
    }
    Ok(())
}
