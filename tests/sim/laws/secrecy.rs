//! Secrets are in what runs, and in nothing that is shown.

use super::reply::Host;
use super::{fresh, leaving, plan, settled, worlds};
use crate::needles::Needles;
use homectl::plan::Plan;
use homectl::report::{plan_json, plan_text};
use homectl::steps::Mode;
use homectl::want::{Run, Seen};

fn shown(plan: &Plan) -> [(&'static str, String); 5] {
    [
        ("text", plan_text(plan, false, false)),
        ("text in full", plan_text(plan, true, true)),
        ("JSON", plan_json(plan).to_string()),
        ("Debug", format!("{plan:?}")),
        ("footings", serde_json::to_string(&plan.footings()).unwrap()),
    ]
}

/// Live objects as the API shows them to homectl, secrets in the clear.
fn live(object: &homectl::want::Object) -> Seen {
    let mut live = object.manifest.clone();
    live["metadata"]["annotations"]["somebody"] = "was here".into();
    Seen::Applied { after: object.manifest.clone(), live }
}

#[test]
fn no_secret_is_in_what_is_shown() {
    for world in worlds() {
        let needles = Needles::of(&world.secrets);
        let edited = plan(world, Mode::Present, Host::Fresh, live);
        for plan in [fresh(world), settled(world), leaving(world), edited] {
            for (what, text) in shown(&plan) {
                assert_eq!(needles.found(&text), None, "{}: {what}", world.name);
            }
        }
        assert_eq!(needles.found(&format!("{:?}", world.steps(Mode::Present))), None, "{}: steps", world.name);
        assert_eq!(needles.found(&format!("{:?}", world.secrets)), None);
    }
}

/// The needles would be found: every secret that a machine or the API gets is in what runs there.
#[test]
fn secrets_are_in_what_runs() {
    for world in worlds() {
        let mut runs = String::new();
        for item in fresh(world).steps.iter().flat_map(|s| &s.items) {
            match item.verdict.change().map(|c| &c.run) {
                Some(Run::Script(sh)) => runs += sh.as_str(),
                Some(Run::Api(object, _)) => runs += &object.manifest.to_string(),
                Some(Run::Seats(seats)) => runs += seats.node(),
                Some(Run::Install(_)) | None => {}
            }
        }
        // The operator's own key stays at home.
        let stays = ["cluster/operator"];
        let needles = Needles::of(&world.secrets);
        let missing: Vec<&str> = needles.not_in(&runs).into_iter().filter(|n| !stays.contains(n)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{}", world.name);
    }
}
