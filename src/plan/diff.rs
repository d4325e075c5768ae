//! Steps and what was seen → a plan.
