//! Upstream's kubectl with the kubeconfig that homectl gave.

use crate::Result;
use crate::scene::ensure;
use crate::shell::{Ran, run};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A context of a kubeconfig.
#[derive(Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    config: PathBuf,
    context: Option<String>,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, config: &Path) -> Self {
        Self { program, config: config.to_owned(), context: None }
    }

    /// One for each context.
    pub(crate) fn contexts(&self) -> Result<Vec<Self>> {
        let names = self.ok(&["config", "get-contexts", "-o", "name"])?;
        Ok(names.lines().map(|name| Self { context: Some(name.to_owned()), ..self.clone() }).collect())
    }

    /// Where this context's API server is.
    pub(crate) fn server(&self) -> Result<String> {
        self.ok(&["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"])
    }

    pub(crate) fn run(&self, args: &[&str], stdin: &str, deadline: Duration) -> Result<Ran> {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.config.parent().unwrap_or(Path::new("/")));
        command.arg("--kubeconfig").arg(&self.config);
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        run(command.args(args), stdin.as_bytes(), deadline)
    }

    /// Its stdout, if it ended well.
    pub(crate) fn ok(&self, args: &[&str]) -> Result<String> {
        self.run(args, "", Duration::from_mins(1))?.ok()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let text = self.ok(&args)?;
        serde_json::from_str(&text).map_err(|error| format!("kubectl {}: no JSON: {error}", args.join(" ")))
    }

    /// The items of a list.
    pub(crate) fn items(&self, args: &[&str]) -> Result<Vec<Value>> {
        let list = self.json(args)?;
        list["items"].as_array().cloned().ok_or_else(|| format!("kubectl {}: no list", args.join(" ")))
    }

    pub(crate) fn apply(&self, manifests: &str) -> Result {
        self.run(&["apply", "-f", "-"], manifests, Duration::from_mins(1))?.ok().map(drop)
    }

    /// A command in a pod.
    pub(crate) fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        let mut args = vec!["exec", "-n", namespace, pod, "--"];
        args.extend(command);
        self.run(&args, "", Duration::from_secs(30))?.ok()
    }

    /// The page at `url`, as a pod sees it; five seconds at most.
    pub(crate) fn get(&self, namespace: &str, pod: &str, url: &str) -> Result<String> {
        // Debian's busybox crashes when wget is given a timeout of its own.
        self.exec(namespace, pod, &["timeout", "5", "wget", "-q", "-O", "-", url]).map(|page| page.trim().to_owned())
    }

    /// Pods with this label: name, node and address. Fails while one of them is not ready.
    pub(crate) fn pods(&self, namespace: &str, label: &str) -> Result<Vec<Pod>> {
        let pods = self.items(&["get", "pods", "-n", namespace, "-l", label])?;
        ensure(!pods.is_empty(), || format!("no pods {label} in {namespace}"))?;
        pods.iter().map(Pod::of).collect()
    }
}

/// A pod that is ready.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) address: String,
    /// When its first container started, RFC 3339.
    pub(crate) started: String,
}

impl Pod {
    fn of(pod: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&pod["metadata"]["name"]);
        ensure(condition(pod, "Ready") == Some("True"), || format!("pod {name} is not ready: {}", pod["status"]))?;
        let started = text(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
        Ok(Self { name, node: text(&pod["spec"]["nodeName"]), address: text(&pod["status"]["podIP"]), started })
    }
}

/// The status of one of an object's conditions.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?["status"].as_str()
}
