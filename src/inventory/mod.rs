//! TOML as typed, checked, every error at once.
