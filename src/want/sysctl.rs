//! A kernel setting of the running machine; its file in `/etc/sysctl.d` is a `File` of its own.

use super::{Act, Change, Seen, Verdict, Want, quote};

/// A kernel setting by its dotted key.
#[derive(Debug, Clone)]
pub struct Sysctl {
    pub key: String,
    pub value: String,
}

impl Sysctl {
    /// `key` should be `value`.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }

    /// Its path below /proc/sys.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/sys/{}", self.key.replace('.', "/"))
    }

    pub(super) fn addr(&self) -> String {
        format!("sysctl:{}", self.key)
    }

    /// The first value ever seen is kept under /var/lib/homectl/sysctl and put back.
    pub(super) fn absent(&self) -> Want {
        let saved = quote(&format!("/var/lib/homectl/sysctl/{}", self.key));
        Want::Guard(super::Guard {
            addr: self.addr(),
            title: format!("{} as it was", self.key),
            ok: super::Sh::new(format!("[ ! -e {saved} ]")),
            run: super::Sh::new(format!("cat {saved} >{}; rm -f {saved}\n", quote(&self.path()))),
            undo: None,
            impact: super::Impact::Safe,
            writes: Vec::new(),
            notify: Vec::new(),
        })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        // What holds by then (its module may have brought it) is no change of ours: nothing is kept to be put back.
        let write = || {
            let (path, value) = (quote(&self.path()), quote(&self.value));
            let saved = quote(&format!("/var/lib/homectl/sysctl/{}", self.key));
            format!(
                "[ \"$(cat {path})\" != {value} ] || {{ echo 'holds already'; exit 0; }}\n\
                 mkdir -p /var/lib/homectl/sysctl\n\
                 [ -s {saved} ] || {{ cat {path} >{saved}.new; sync {saved}.new; mv {saved}.new {saved}; }}\n\
                 printf '%s\\n' {value} >{path}\n"
            )
        };
        match seen {
            Seen::Sysctl(v) if *v == self.value => Verdict::Settled(format!("is {v}")),
            Seen::Sysctl(v) => Verdict::Change(Change::script(Act::Update, format!("is {v}, wanted {}", self.value), write())),
            // The module that owns the key is not loaded yet: an earlier want loads it.
            Seen::Absent => Verdict::Deferred {
                why: "its value is not known yet".into(),
                change: Change::script(Act::Update, format!("wanted {}", self.value), write()),
            },
            other => Verdict::unseen(format!("unexpected observation {other:?}")),
        }
    }
}
