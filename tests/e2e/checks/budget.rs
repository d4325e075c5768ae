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
    let lines: Vec<&str> = ran.err.lines().filter_map(|line| line.strip_prefix("traffic ")).collect();
    let api = lines.iter().find(|line| line.starts_with("API ")).ok_or("nothing was counted of the API")?;
    let through = api.split("through ").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
    let of_api = numbers(api)?;
    ensure(of_api[0] <= REQUESTS, || format!("the API was asked {} times: {api}", of_api[0]))?;
    let mut machines = 0;
    for line in lines.iter().filter(|line| !line.starts_with("API ")) {
        scene.say(&format!("traffic {line}"));
        let [mut turns, mut up, mut down] = numbers(line)?;
        if line.starts_with(&format!("{through}:")) {
            turns = turns.saturating_sub(of_api[0]);
            up = up.saturating_sub(of_api[1]);
            down = down.saturating_sub(of_api[2]);
        }
        ensure(turns <= TURNS && up <= BYTES && down <= BYTES, || format!("{turns} turns, {up} and {down} bytes: {line}"))?;
        machines += 1;
    }
    scene.say(&format!("traffic {api}"));
    ensure(machines > 0, || ran.seen())
}

/// The three numbers that follow the colon (of the API: after its name).
fn numbers(line: &str) -> Result<[u64; 3]> {
    let rest = line.rsplit(": ").next().unwrap_or_default();
    let found: Vec<u64> = rest.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    found.try_into().map_err(|found| format!("three numbers were due: {found:?} in {line}"))
}
