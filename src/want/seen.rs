//! What a look at a host saw, by kind of want.

use super::Obstacle;

/// A file system entry, looked at without following links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    pub kind: InodeKind,
    /// Permission bits, e.g. `0o600`.
    pub mode: u32,
    /// `user:group`, by name.
    pub owner: String,
    /// Lower-case hex, regular files only.
    pub sha256: Option<String>,
    /// Text content, when it was opened up for a diff.
    pub text: Option<String>,
}

/// What sort of entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InodeKind {
    File,
    Dir,
    /// With its target.
    Link(String),
    /// Device, FIFO, socket.
    Other,
}

/// systemd's view of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitSeen {
    /// `loaded`, `not-found`, `masked`, …
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, …
    pub active: String,
    /// `running`, `exited`, `auto-restart`, …
    pub sub: String,
    /// `enabled`, `disabled`, `static`, `masked`, or empty.
    pub file: String,
    /// Path of the unit file, or empty.
    pub fragment: String,
    /// Paths of drop-ins.
    pub drop_ins: Vec<String>,
    /// When its process was last started, Unix seconds; 0 where it was not.
    pub started: i64,
    /// When its state last changed, a reload included, Unix seconds.
    pub changed: i64,
    /// The newest of what it reads when it starts: when it was written in Unix seconds, path.
    pub restart_read: Option<(i64, String)>,
    /// The newest of what it reads again when it reloads.
    pub reload_read: Option<(i64, String)>,
}

/// What a guard's test said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSeen {
    /// 0 holds, 1 does not, [`GuardSeen::DEFERRED`] cannot be told yet; anything else: the test itself failed.
    pub status: i32,
    /// Evidence the test printed.
    pub output: String,
}

impl GuardSeen {
    /// Exit status of a test that needs something an earlier step brings (`EX_TEMPFAIL`).
    pub const DEFERRED: i32 = 75;
}

/// The result of looking at one want.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The look worked and there is nothing.
    Absent,
    Inode(Inode),
    /// A leaf certificate: its entry (with the sha256 of what is not the certificate), the PEM of the certificate in it, and
    /// that of the CA on the machine, where that was asked for and is there.
    Leaf {
        inode: Inode,
        pem: String,
        ca: Option<String>,
    },
    /// A program's folder in the store; `Err` says what is off.
    Program(Result<(), String>),
    /// Names of the packages that are installed, of those asked for.
    Packages(Vec<String>),
    /// `name:x:uid:gid:gecos:home:shell`, and `name:x:gid:members` of the group of the same name.
    Account {
        user: Option<String>,
        group: Option<String>,
    },
    Unit(UnitSeen),
    /// The value, white space folded.
    Sysctl(String),
    Guard(GuardSeen),
    /// The live object, or nothing.
    Object(Option<serde_json::Value>),
    /// The live object, and what the API server says applying ours would make of it.
    Applied {
        live: serde_json::Value,
        after: serde_json::Value,
    },
    /// The API server says that it would refuse ours: why.
    Refused(String),
    /// There is no API yet.
    NoApi(String),
    /// The want holds as a whole group was found settled by digest.
    Same,
    /// What was seen, and what would keep it from being changed.
    Held {
        seen: Box<Seen>,
        by: Obstacle,
    },
    /// The look failed: what it said.
    Unknown(String),
}
