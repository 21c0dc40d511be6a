//! The host: sole owner of sessions, commands and the script engine; runs one line at a time.
