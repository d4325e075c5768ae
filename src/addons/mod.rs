//! The catalogue of add-ons and their objects.
