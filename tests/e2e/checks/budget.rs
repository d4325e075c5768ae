//! What a run that has nothing to do may cost, by what homectl counted: the same on every computer.

use crate::Result;
use crate::scene::{Scene, ensure};
use crate::shell::Ran;

/// Request turns and bytes each way a machine may cost, the API's own left out.
const TURNS: u64 = 13;
const BYTES: u64 = 20_000;
/// The API, through one control plane.
const REQUESTS: u64 = 25;

/// `--traffic` of a run that changed nothing.
pub(crate) fn kept(scene: &Scene, ran: &Ran) -> Result {
    let lines = lines(ran);
    let api = lines.iter().find(|line| line.starts_with("API ")).ok_or("nothing was counted of the API")?;
    let through = api.split("through ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let of_api = numbers(api)?;
    ensure(of_api[0] <= REQUESTS, || format!("the API was asked {} times: {api}", of_api[0]))?;
    scene.say(&format!("traffic {api}"));
    each(scene, ran, |machine| if machine == through { of_api } else { [0; 3] })
}

/// The same of a run that did not ask the API. A password for sudo takes `turns` of its own.
pub(crate) fn of_machines(scene: &Scene, ran: &Ran, turns: u64) -> Result {
    each(scene, ran, |_| [turns, 0, 0])
}

fn lines(ran: &Ran) -> Vec<&str> {
    ran.err.lines().filter_map(|line| line.strip_prefix("traffic ")).collect()
}

/// Every machine's, without `other` that went through it.
fn each(scene: &Scene, ran: &Ran, other: impl Fn(&str) -> [u64; 3]) -> Result {
    let lines = lines(ran);
    let machines: Vec<&&str> = lines.iter().filter(|line| !line.starts_with("API ")).collect();
    for line in &machines {
        scene.say(&format!("traffic {line}"));
        let (all, other) = (numbers(line)?, other(line.split(':').next().unwrap_or_default()));
        let [turns, up, down] = [0, 1, 2].map(|i: usize| all[i].saturating_sub(other[i]));
        ensure(turns <= TURNS && up <= BYTES && down <= BYTES, || format!("{turns} turns, {up} and {down} bytes: {line}"))?;
    }
    ensure(!machines.is_empty(), || ran.seen())
}

/// The three numbers that follow the colon (of the API: after its name).
fn numbers(line: &str) -> Result<[u64; 3]> {
    let rest = line.rsplit(": ").next().unwrap_or_default();
    let found: Vec<u64> = rest.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    found.try_into().map_err(|found| format!("three numbers were due: {found:?} in {line}"))
}
