//! A real kube-apiserver with etcd and a controller manager on the loopback, from the lab's programs.

use crate::pki::{Leaf, leaf};
use crate::ports;
use futures::future::BoxFuture;
use homectl::kube::{Api, Credentials, Target};
use homectl::secrets::Secrets;
use homectl::ssh::{Connection, Counters, Line, Remote, RemoteError, Reply, Stream, Take};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A host whose tunnels are plain connections from here.
pub(crate) struct Loopback;

impl Remote for Loopback {
    fn run<'a>(&'a self, _: &'a str, _: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>> {
        Box::pin(async { Err(RemoteError::Lost { seen: "there is no shell here".into() }) })
    }

    fn upload<'a>(&'a self, _: PathBuf, _: &'a str, _: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(async { Err(RemoteError::Lost { seen: "there is no disk here".into() }) })
    }

    fn download<'a>(&'a self, _: &'a str, _: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>> {
        Box::pin(async { Err(RemoteError::Lost { seen: "there is no disk here".into() }) })
    }

    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((address, port)).await;
            let stream = stream.map_err(|e| RemoteError::Lost { seen: e.to_string() })?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn lock<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn Send + Sync>) })
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A client of what listens on these ports of the loopback.
pub(crate) fn client(ports: &[u16], secrets: &Secrets) -> Api {
    let connection: Connection = Arc::new(Loopback);
    let targets: Vec<Target> = ports
        .iter()
        .map(|port| Target { node: format!("port-{port}"), connection: Arc::clone(&connection), address: "127.0.0.1".into(), port: *port })
        .collect();
    Api::new(&targets, &Credentials::visitor(secrets, jiff::Timestamp::now().as_second()).unwrap()).unwrap()
}

/// Where the lab's programs are; `None` where it never built any.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let home = std::env::var_os("HOMECTL_LAB_CACHE").map(PathBuf::from);
    let root = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/homectl/lab")))?.join("bin");
    let mut builds: Vec<PathBuf> = fs::read_dir(root).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    builds.sort();
    builds.into_iter().find_map(|build| {
        let below = |prefix: &str, program: &str| {
            let mut found: Vec<PathBuf> = fs::read_dir(&build).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
            found.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix)) && p.join(program).exists());
            found.sort();
            found.pop()
        };
        Some((below("v1.36.", "kube-apiserver")?, below("etcd-", "etcd")?))
    })
}

/// What runs, and where. Everything ends when it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// For the controller manager.
    spare: u16,
    kubernetes: PathBuf,
    dir: TempDir,
    children: Vec<Child>,
}

impl Server {
    /// Starts everything; `None`, loudly, where the programs are not there.
    pub(crate) fn start(secrets: &Secrets) -> Option<Self> {
        let mut server = Self::alone(secrets)?;
        let port = server.spare;
        let arguments = server.controller_manager(port);
        server.spawn(&server.kubernetes.join("kube-controller-manager"), &arguments);
        Some(server)
    }

    /// Without the controllers: nobody collects what has no owner, and nobody judges budgets.
    #[expect(clippy::print_stderr, reason = "a test that tests nothing must say so")]
    pub(crate) fn alone(secrets: &Secrets) -> Option<Self> {
        let Some((kubernetes, etcd)) = programs() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "no kube-apiserver and etcd below ~/.cache/homectl/lab/bin: `tests/lab/lab artifacts` builds them"
            );
            eprintln!(
                "\n*** SKIPPED: no kube-apiserver and etcd below ~/.cache/homectl/lab/bin; `tests/lab/lab artifacts` builds them ***\n"
            );
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let ports: [u16; 4] = std::array::from_fn(|_| ports::port());
        let mut server = Self { port: ports[2], spare: ports[3], kubernetes, dir, children: Vec::new() };
        server.files(secrets);
        let (client, peer) = (format!("http://127.0.0.1:{}", ports[0]), format!("http://127.0.0.1:{}", ports[1]));
        let data = server.path("etcd");
        server.spawn(
            &etcd.join("etcd"),
            &[
                "--name=a",
                &format!("--data-dir={data}"),
                &format!("--listen-client-urls={client}"),
                &format!("--advertise-client-urls={client}"),
                &format!("--listen-peer-urls={peer}"),
                &format!("--initial-advertise-peer-urls={peer}"),
                &format!("--initial-cluster=a={peer}"),
                // Durability is not what is tested here.
                "--unsafe-no-fsync",
            ],
        );
        server.spawn(&server.kubernetes.join("kube-apiserver"), &server.apiserver(&client));
        Some(server)
    }

    /// [`Server::alone`] that answers, and a client of it.
    pub(crate) async fn answering(secrets: &Secrets) -> Option<(Self, Api)> {
        let server = Self::alone(secrets)?;
        let api = client(&[server.port], secrets);
        server.ready(&api).await;
        Some((server, api))
    }

    /// Waits until the API is ready.
    pub(crate) async fn ready(&self, api: &Api) {
        let end = Instant::now() + Duration::from_mins(2);
        while let Err(e) = api.ready().await {
            assert!(Instant::now() < end, "the API does not come up: {e}\n{}", self.log("kube-apiserver"));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Runs kubectl and returns what it printed.
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> String {
        use std::io::Write as _;
        let mut child = Command::new(self.kubernetes.join("kubectl"))
            .arg(format!("--kubeconfig={}", self.path("kubeconfig")))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "kubectl {args:?}: {text}");
        text
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn log(&self, program: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn files(&self, secrets: &Secrets) {
        let write = |name: &str, text: &str| fs::write(self.dir.path().join(name), text).unwrap();
        let ca = &secrets.cluster_ca;
        let names = ["kubernetes", "kubernetes.default.svc"];
        let serving = leaf(ca, &Leaf { name: "kube-apiserver", dns: &names, ips: &["127.0.0.1"], server: true, ..Leaf::default() });
        let proxy = leaf(&secrets.front_proxy_ca, &Leaf { name: "front-proxy-client", ..Leaf::default() });
        let operator = homectl::pki::issue_for_a_day(ca, &homectl::pki::visitor(), jiff::Timestamp::now().as_second()).unwrap();
        for (name, text) in [
            ("ca.crt", ca.cert.as_str()),
            ("ca.key", ca.key.expose()),
            ("apiserver.crt", &serving.cert),
            ("apiserver.key", serving.key.expose()),
            ("front-ca.crt", &secrets.front_proxy_ca.cert),
            ("front.crt", &proxy.cert),
            ("front.key", proxy.key.expose()),
            ("sa.key", secrets.service_account.expose()),
            ("sa.pub", &secrets.service_account_public),
            ("operator.crt", &operator.cert),
            ("operator.key", operator.key.expose()),
        ] {
            write(name, text);
        }
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n\
             clusters: [{{name: a, cluster: {{server: \"https://127.0.0.1:{}\", certificate-authority: {}}}}}]\n\
             users: [{{name: a, user: {{client-certificate: {}, client-key: {}}}}}]\n",
            self.port,
            self.path("ca.crt"),
            self.path("operator.crt"),
            self.path("operator.key")
        );
        write("kubeconfig", &config);
    }

    fn apiserver(&self, etcd: &str) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.path(name));
        let mut args: Vec<String> = [
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.79.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ]
        .map(str::to_owned)
        .into();
        args.extend([
            format!("--etcd-servers={etcd}"),
            format!("--secure-port={}", self.port),
            file("client-ca-file", "ca.crt"),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("service-account-key-file", "sa.pub"),
            file("service-account-signing-key-file", "sa.key"),
            file("requestheader-client-ca-file", "front-ca.crt"),
            file("proxy-client-cert-file", "front.crt"),
            file("proxy-client-key-file", "front.key"),
        ]);
        args
    }

    fn controller_manager(&self, port: u16) -> Vec<String> {
        let file = |flag: &str, name: &str| format!("--{flag}={}", self.path(name));
        vec![
            file("kubeconfig", "kubeconfig"),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            "--leader-elect=false".into(),
            "--use-service-account-credentials=true".into(),
            file("cluster-signing-cert-file", "ca.crt"),
            file("cluster-signing-key-file", "ca.key"),
            file("root-ca-file", "ca.crt"),
            file("service-account-private-key-file", "sa.key"),
        ]
    }

    fn spawn(&mut self, program: &Path, args: &[impl AsRef<std::ffi::OsStr>]) {
        let name = program.file_name().unwrap().to_string_lossy();
        let log = fs::File::create(self.path(&format!("{name}.log"))).unwrap();
        let child = Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.children.push(child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
