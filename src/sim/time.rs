//! Part of the embedded board.
