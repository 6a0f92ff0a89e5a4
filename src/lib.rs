//! Baton: an in-room orchestrator for voice calls on LiveKit.
