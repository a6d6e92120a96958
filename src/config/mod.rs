//! Repository file and server file: as written, then resolved; every mistake at once.
