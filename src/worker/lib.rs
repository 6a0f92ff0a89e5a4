//! A LiveKit agent worker: registration, jobs, load and drain.
