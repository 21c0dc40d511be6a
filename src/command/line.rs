//! What a line is: command words or Rhai.
