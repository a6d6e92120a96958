//! Words typed and words printed.
