//! The pure audio path: gains, crossfade, mixing and levels, frame by frame.
