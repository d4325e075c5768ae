//! What the exit codes mean and what to do about each.

use super::json::FORMAT;
use crate::error::{Failure, Result, exit};
use serde_json::{Value, json};

/// One exit code.
struct Code {
    exit: u8,
    /// What it means, one line.
    means: &'static str,
    /// What to do.
    todo: &'static str,
}

const CODES: &[Code] = &[
    Code { exit: exit::OK, means: "done, or there was nothing to do", todo: "Nothing." },
    Code {
        exit: exit::FAILED,
        means: "a machine or a step failed",
        todo: "Read the failure: it names the machine, shows what was seen and says what helps. What was done stays done; \
               run the same command again and it goes on from there.",
    },
    Code { exit: exit::CHANGES, means: "`plan --exit-code` found something to do", todo: "Look at the plan; `homectl apply` does it." },
    Code {
        exit: exit::OFFLINE,
        means: "everything that answered is as the inventory says, but some machines were offline",
        todo: "Switch them on and run the same command again, or leave them out with --limit.",
    },
    Code {
        exit: exit::REFUSED,
        means: "refused by a guard: quorum, another version, a machine or a cluster that is not ours, a plan that is no longer true",
        todo: "The message says which rule and what it protects. Nothing was changed.",
    },
    Code {
        exit: exit::LOCKED,
        means: "another run holds the lock",
        todo: "The message says who and since when. Wait for it; the lock goes with the connection of its holder. --break-lock takes it away.",
    },
    Code {
        exit: exit::USAGE,
        means: "the command line is wrong, or a question could not be asked",
        todo: "See `homectl VERB --help`. Without a terminal say --yes (and --accept-new for new machines).",
    },
    Code {
        exit: exit::INVENTORY,
        means: "the inventory, its lock or its secrets file is invalid",
        todo: "Every mistake is listed with its line; `homectl validate` checks again without any network.",
    },
    Code {
        exit: exit::BUG,
        means: "a bug in homectl",
        todo: "Please report it with the lines above. Running the same command again is safe.",
    },
    Code { exit: exit::INTERRUPTED, means: "interrupted, or not confirmed", todo: "Run the same command again; it goes on where it was." },
];

/// All codes, one line each; or one of them with what to do.
pub(super) fn text(code: Option<u8>) -> Result<String> {
    let Some(code) = code else {
        let rows: Vec<String> = CODES.iter().map(|c| format!("{:>3}  {}\n", c.exit, c.means)).collect();
        return Ok(rows.concat() + "\n`homectl explain CODE` says what to do.\n");
    };
    let c = find(code)?;
    Ok(format!("exit code {}: {}\n\n{}\n", c.exit, c.means, c.todo))
}

/// The same as JSON.
pub(super) fn json(code: Option<u8>) -> Result<Value> {
    let one = |c: &Code| json!({ "code": c.exit, "means": c.means, "todo": c.todo });
    let codes = match code {
        Some(code) => vec![one(find(code)?)],
        None => CODES.iter().map(one).collect(),
    };
    Ok(json!({ "format": FORMAT, "codes": codes }))
}

fn find(code: u8) -> Result<&'static Code> {
    CODES
        .iter()
        .find(|c| c.exit == code)
        .ok_or_else(|| Failure::new(exit::USAGE, format!("homectl has no exit code {code}")).help("`homectl explain` lists them"))
}
