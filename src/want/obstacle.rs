//! What keeps root from writing to a place: somebody decided it, or the disk did. homectl says so and forces nothing.

/// Why a place cannot be written to; each names the entry that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// `chattr +i`.
    Immutable(String),
    /// `chattr +a`: nothing in it can be replaced.
    AppendOnly(String),
    /// Its file system is mounted read-only.
    ReadOnly(String),
    /// Something else: the kernel says no.
    Closed(String),
}

impl Obstacle {
    /// For people: `/etc/hosts is immutable (chattr +i)`.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Immutable(entry) => format!("{entry} is immutable (chattr +i)"),
            Self::AppendOnly(entry) => format!("{entry} is append-only (chattr +a)"),
            Self::ReadOnly(entry) => format!("{entry} is on a read-only file system"),
            Self::Closed(entry) => format!("{entry} cannot be written to, even by root"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Immutable(entry) => {
                format!("somebody wants it to stay as it is, and homectl forces nothing; if it may change: chattr -i {entry}")
            }
            Self::AppendOnly(entry) => {
                format!("somebody wants it to stay as it is, and homectl forces nothing; if it may change: chattr -a {entry}")
            }
            Self::ReadOnly(entry) => format!(
                "find out why it is mounted so (findmnt -T {entry}; after an error of the disk the kernel does it, see dmesg), mount it writable, then run this again"
            ),
            Self::Closed(entry) => format!("find out who forbids it (ls -ld, lsattr -d, findmnt -T {entry}), then run this again"),
        }
    }
}
