//! Order: topological, stable, cycles named.
