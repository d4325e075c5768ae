//! Policy: what touches a running service goes one node at a time.
