//! The embedded script language. The only file that names Rhai.
