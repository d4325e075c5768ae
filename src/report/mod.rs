//! Subscribers: plan text, JSON, live, plain, summary. The only module that prints.
