//! What the tests and the demo share: a server, a caller, tones, the probe.
