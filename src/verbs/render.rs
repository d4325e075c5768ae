//! `render`: every file that each node would get, and every object of the API, as files to be reviewed and compared.

use super::assumed;
use crate::cli::{Global, Render};
use crate::error::{Failure, Result, exit};
use crate::report::Reporter;
use crate::steps::{Lane, Step};
use crate::want::{Body, Want};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// `homectl render`.
pub(super) async fn run(args: &Render, global: &Global, out: &Reporter) -> Result<u8> {
    let (cluster, names) = assumed::cluster(&args.target.inventory, global, out).await?;
    let lanes = assumed::each(&cluster, &names, jiff::Timestamp::now().as_second(), |steps| gather(&steps))?;
    let files: BTreeMap<PathBuf, String> = lanes.into_iter().flatten().collect();
    cleared(&args.out)?;
    let list: String = files.keys().flat_map(|path| [path.display().to_string(), "\n".into()]).collect();
    write(&args.out.join(LIST), &list)?;
    for (path, text) in &files {
        write(&args.out.join(path), text)?;
    }
    out.talk(&format!("Wrote {} files below {}: one folder a node, and `cluster` for the API.", files.len(), args.out.display()));
    Ok(exit::OK)
}

/// Paths below the folder, and what is in each. Secrets are named and not shown.
fn gather(steps: &[Step]) -> BTreeMap<PathBuf, String> {
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    for step in steps {
        let place = PathBuf::from(match &step.id.lane {
            Lane::Node(name) => name,
            Lane::Cluster => "cluster",
        });
        for want in &step.wants {
            match want {
                Want::File(file) => {
                    let text = match &file.body {
                        Some(Body::Text(text)) => text.clone(),
                        Some(Body::Secret(_) | Body::Sealed(_)) => hidden("secret", file.mode, &file.owner),
                        None => continue,
                    };
                    files.insert(place.join(file.path.trim_start_matches('/')), text);
                }
                Want::Leaf(leaf) => {
                    let text = format!("{}{}\n", hidden("certificate", leaf.mode, &leaf.owner), leaf.spec.describe());
                    files.insert(place.join(leaf.path.trim_start_matches('/')), text);
                }
                Want::Object(object) => {
                    let text = files.entry(place.join(format!("{}.yaml", step.id.name))).or_default();
                    if !text.is_empty() {
                        text.push_str("---\n");
                    }
                    text.push_str(&object.yaml());
                }
                _ => {}
            }
        }
    }
    files
}

fn hidden(what: &str, mode: u32, owner: &str) -> String {
    format!("({what}, {mode:04o} {owner})\n")
}

/// Only a folder that is new, empty, or was written by an earlier run is written to: nothing of anybody else's is mixed in,
/// and nothing goes but what that run wrote.
fn cleared(folder: &Path) -> Result<()> {
    let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written", folder.display())).seen(e.to_string());
    let taken = std::fs::read_dir(folder).is_ok_and(|mut all| all.next().is_some());
    match std::fs::read_to_string(folder.join(LIST)) {
        Ok(list) => {
            for path in list.lines().map(Path::new).filter(|p| p.components().all(|c| matches!(c, Component::Normal(_)))) {
                match std::fs::remove_file(folder.join(path)) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
                    _ => {}
                }
                // Folders that are empty now.
                for above in path.ancestors().skip(1).take_while(|p| !p.as_os_str().is_empty()) {
                    let _ = std::fs::remove_dir(folder.join(above));
                }
            }
            Ok(())
        }
        Err(_) if taken => Err(Failure::new(exit::USAGE, format!("{} has other files in it", folder.display()))
            .help("name a folder that is new or empty; one that an earlier `render` filled is written anew")),
        Err(_) => std::fs::create_dir_all(folder).map_err(failed),
    }
}

/// What a run wrote, a path a line.
const LIST: &str = ".homectl-render";

fn write(path: &Path, text: &str) -> Result<()> {
    let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written", path.display())).seen(e.to_string());
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).and_then(|()| std::fs::write(path, text)).map_err(failed)
}
