//! The same by rocd's own commands, and what they say.
