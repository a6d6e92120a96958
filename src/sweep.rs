//! Asks the world what is true and feeds the same events.
