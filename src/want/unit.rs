//! A systemd unit and the state it should be in. Its file is a `File` of its own.

use super::{Act, Change, Impact, Seen, UnitSeen, Verdict, Want, quote};

/// The state a unit should be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Enabled and active.
    Running,
    /// Never to be started by anybody.
    Masked,
    /// Not active and not enabled.
    Stopped,
}

/// A unit of ours, or a packaged one that must stay masked.
#[derive(Debug, Clone)]
pub struct Unit {
    /// With suffix: `kubelet.service`.
    pub name: String,
    pub state: UnitState,
    /// Addresses of wants of this run whose change it must hear (the planner fills them in): restart or reload.
    pub because: Vec<String>,
    /// Whether a reload is enough for all of them.
    pub reload: bool,
    /// Paths that it reads when it starts, and whether a reload is enough for each: what is newer than the running process
    /// was changed by a run that did not get to the restart.
    pub reads: Vec<(String, bool)>,
}

impl Unit {
    /// Enabled and active.
    #[must_use]
    pub fn running(name: impl Into<String>) -> Self {
        Self { name: name.into(), state: UnitState::Running, because: Vec::new(), reload: false, reads: Vec::new() }
    }

    /// Masked, also before its package comes.
    #[must_use]
    pub fn masked(name: impl Into<String>) -> Self {
        Self { state: UnitState::Masked, ..Self::running(name) }
    }

    pub(super) fn addr(&self) -> String {
        format!("unit:{}", self.name)
    }

    pub(super) fn absent(&self) -> Want {
        Want::Unit(Self { state: UnitState::Stopped, because: Vec::new(), reads: Vec::new(), ..self.clone() })
    }

    pub(super) fn diff(&self, seen: &Seen) -> Verdict {
        let Seen::Unit(unit) = seen else { return Verdict::unseen(format!("unexpected observation {seen:?}")) };
        match self.state {
            UnitState::Running => self.run(unit),
            UnitState::Masked if unit.load == "masked" || unit.file == "masked" => Verdict::Settled("masked".into()),
            UnitState::Masked => Verdict::Change(Change::script(
                Act::Update,
                "not masked",
                format!("systemctl mask --now {0} 2>/dev/null || systemctl mask {0}\n", quote(&self.name)),
            )),
            UnitState::Stopped => self.stop(unit),
        }
    }

    fn run(&self, unit: &UnitSeen) -> Verdict {
        if unit.file == "masked" || unit.load == "masked" {
            let first = format!(
                "systemctl unmask {0} 2>/dev/null || :\nsystemctl daemon-reload\nsystemctl enable --no-reload --quiet -- {0}\n",
                quote(&self.name)
            );
            // What runs was begun before it was masked, by whatever its file said then.
            let running = unit.active == "active";
            return Verdict::Change(if running { self.restart(false, "masked", &first) } else { self.start("masked", &first) });
        }
        if unit.load == "loaded" && unit.fragment != self.path() {
            return Verdict::Blocked {
                why: format!("a unit of the same name is at {}", unit.fragment),
                help: format!("somebody else's {} is installed; remove it first: homectl takes over no foreign service", self.name),
            };
        }
        let drop_ins: Vec<&str> = unit.drop_ins.iter().map(String::as_str).filter(|path| !for_all(path)).collect();
        if !drop_ins.is_empty() {
            return Verdict::Blocked {
                why: format!("foreign drop-ins change it: {}", drop_ins.join(", ")),
                help: "homectl does not overrule them: remove them by hand (then: systemctl daemon-reload), and run this again".into(),
            };
        }
        if unit.active != "active" {
            let was = if unit.load == "loaded" { format!("is {} ({})", unit.active, unit.sub) } else { "not there yet".into() };
            // What is still starting would go on with what it read: a member of etcd waits for the others without an end. And
            // what is idle may have begun by itself before this run has written what it reads.
            let began = unit.active == "activating" && stale(unit).is_some();
            let may_begin = unit.load == "loaded" && !self.because.is_empty();
            let first = if began || may_begin { format!("systemctl stop -- {}\n", quote(&self.name)) } else { String::new() };
            return Verdict::Change(self.start(&was, &first));
        }
        let disabled = (unit.file != "enabled").then(|| format!("is {}, wanted enabled", unit.file));
        let enable = disabled.as_ref().map_or_else(String::new, |_| format!("systemctl enable {} 2>&1\n", quote(&self.name)));
        let mut why = self.because.clone();
        let stale = stale(unit);
        if let (true, Some((_, path))) = (why.is_empty(), stale) {
            why.push(format!("{path} is newer than what runs"));
        }
        match (why.is_empty(), disabled) {
            (true, None) => Verdict::Settled("enabled and active, nothing it reads is newer".into()),
            (true, Some(is)) => Verdict::Change(Change::script(Act::Update, is, enable)),
            (false, disabled) => {
                why.extend(disabled);
                let reload = (self.reload || self.because.is_empty()) && stale.is_none_or(|(reload, _)| reload);
                Verdict::Change(self.restart(reload, &why.join(", "), &enable))
            }
        }
    }

    /// Where a unit file of ours lies.
    fn path(&self) -> String {
        format!("/etc/systemd/system/{}", self.name)
    }

    fn start(&self, why: &str, first: &str) -> Change {
        Change::script(Act::Start, why, format!("{first}unit_start {}\n", quote(&self.name)))
    }

    fn restart(&self, reload: bool, why: &str, first: &str) -> Change {
        let name = quote(&self.name);
        if reload {
            return Change::script(Act::Run, format!("reload: {why}"), format!("{first}unit_reload {name}\n"));
        }
        Change::script(Act::Restart, format!("restart: {why}"), format!("{first}unit_restart {name}\n"))
            .impact(Impact::Restart(vec![self.name.clone()]))
    }

    fn stop(&self, unit: &UnitSeen) -> Verdict {
        if unit.load == "loaded" && unit.fragment != self.path() {
            return Verdict::Settled(format!("somebody else's, at {}: left alone", unit.fragment));
        }
        if unit.load == "masked" {
            let script = format!("systemctl unmask {}\n", quote(&self.name));
            return Verdict::Change(Change::script(Act::Delete, "masked by homectl", script));
        }
        let idle = matches!(unit.active.as_str(), "inactive" | "failed");
        if idle && (unit.load == "not-found" || unit.file != "enabled") {
            return Verdict::Settled("neither active nor enabled".into());
        }
        let script = format!("unit_stop {}\n", quote(&self.name));
        Verdict::Change(Change::script(Act::Delete, format!("is {}, wanted gone", unit.active), script))
    }
}

/// Whether a drop-in is one for every unit of a kind, as LXC's generators and distributions have them.
fn for_all(path: &str) -> bool {
    path.contains("/service.d/") || path.contains("/timer.d/")
}

/// The newest thing that the unit should have heard of and has not: whether a reload is enough, and its path.
fn stale(unit: &UnitSeen) -> Option<(bool, &str)> {
    let newer = |read: &'_ Option<(i64, String)>, heard: i64| read.as_ref().is_some_and(|(at, _)| heard > 0 && *at > heard);
    if newer(&unit.restart_read, unit.started) {
        return unit.restart_read.as_ref().map(|(_, path)| (false, path.as_str()));
    }
    if newer(&unit.reload_read, unit.changed) {
        return unit.reload_read.as_ref().map(|(_, path)| (true, path.as_str()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(load: &str, active: &str, file: &str) -> Seen {
        let fragment = if load == "loaded" { "/etc/systemd/system/x.service" } else { "" };
        Seen::Unit(UnitSeen {
            load: load.into(),
            active: active.into(),
            sub: "running".into(),
            file: file.into(),
            fragment: fragment.into(),
            drop_ins: Vec::new(),
            ..UnitSeen::default()
        })
    }

    #[test]
    fn what_changed_after_the_start_is_heard_of_by_a_later_run() {
        let Seen::Unit(running) = seen("loaded", "active", "enabled") else { panic!("a unit") };
        let at = |restart: i64, reload: i64| UnitSeen {
            started: 100,
            changed: 200,
            restart_read: Some((restart, "/etc/x".into())),
            reload_read: Some((reload, "/etc/y".into())),
            ..running.clone()
        };
        let why = |unit: UnitSeen| match Unit::running("x.service").diff(&Seen::Unit(unit)) {
            Verdict::Change(c) => c.why,
            _ => "settled".into(),
        };
        assert_eq!(why(at(100, 200)), "settled");
        assert_eq!(why(at(101, 0)), "restart: /etc/x is newer than what runs");
        assert_eq!(why(at(0, 201)), "reload: /etc/y is newer than what runs");
    }

    fn glyph(v: &Verdict) -> String {
        match v {
            Verdict::Settled(_) => "=".into(),
            Verdict::Change(c) => c.act.glyph().to_string(),
            Verdict::Deferred { .. } => "?".into(),
            Verdict::Blocked { .. } => "x".into(),
        }
    }

    #[test]
    fn table() {
        let x = Unit::running("x.service");
        assert_eq!(glyph(&x.diff(&seen("loaded", "active", "enabled"))), "=");
        assert_eq!(glyph(&x.diff(&seen("not-found", "inactive", ""))), ">");
        assert_eq!(glyph(&x.diff(&seen("loaded", "failed", "enabled"))), ">");
        assert_eq!(glyph(&x.diff(&seen("loaded", "active", "disabled"))), "~");
        assert_eq!(glyph(&x.diff(&seen("masked", "inactive", "masked"))), ">");
        assert_eq!(glyph(&x.diff(&seen("masked", "active", "masked"))), "^", "it runs by what its file said before");
        let told = Unit { because: vec!["file:/etc/x".into()], ..x };
        assert_eq!(glyph(&told.diff(&seen("loaded", "active", "enabled"))), "^");
    }

    #[test]
    fn what_begins_by_itself_begins_again_with_what_is_new() {
        let script = |active: &str, because: &[&str]| {
            let unit = Unit { because: because.iter().map(ToString::to_string).collect(), ..Unit::running("x.service") };
            let Verdict::Change(change) = unit.diff(&seen("loaded", active, "enabled")) else { panic!("a change") };
            let crate::want::Run::Script(script) = change.run else { panic!("a script") };
            (change.act, script.as_str().to_owned())
        };
        // A job of systemd may wait for another unit: what is inactive at the look runs when its file lands.
        for active in ["activating", "inactive", "failed"] {
            assert_eq!(script(active, &[]), (Act::Start, "unit_start x.service\n".into()));
            assert_eq!(script(active, &["file:/etc/x"]), (Act::Start, "systemctl stop -- x.service\nunit_start x.service\n".into()));
        }
    }

    #[test]
    fn one_change_mends_all_that_is_wrong_with_a_unit() {
        let told = Unit { because: vec!["file:/etc/x".into()], ..Unit::running("x.service") };
        let Verdict::Change(change) = told.diff(&seen("loaded", "active", "disabled")) else { panic!("a change") };
        assert_eq!((change.act, change.why.as_str()), (Act::Restart, "restart: file:/etc/x, is disabled, wanted enabled"));
        let crate::want::Run::Script(script) = change.run else { panic!("a script") };
        assert_eq!(script.as_str(), "systemctl enable x.service 2>&1\nunit_restart x.service\n");
    }

    #[test]
    fn foreign_units_and_drop_ins_block() {
        let packaged =
            UnitSeen { fragment: "/usr/lib/systemd/system/kubelet.service".into(), load: "loaded".into(), ..UnitSeen::default() };
        assert_eq!(glyph(&Unit::running("kubelet.service").diff(&Seen::Unit(packaged))), "x");
        for (path, expected) in
            [("/etc/systemd/system/x.service.d/override.conf", "x"), ("/run/systemd/system/service.d/zzz-lxc-service.conf", "=")]
        {
            let Seen::Unit(mut running) = seen("loaded", "active", "enabled") else { panic!("a unit") };
            running.drop_ins = vec![path.into()];
            assert_eq!(glyph(&Unit::running("x.service").diff(&Seen::Unit(running))), expected, "{path}");
        }
    }
}
