//! Where everything runs that is not ours.
