//! Where issues live and results are shown.
