//! The Kubernetes API over an SSH channel.
