//! Keys, agents and users as people have them.

use crate::server::{Sshd, agent, keygen, refused, run, strangers};
use homectl::secrets::SecretText;
use homectl::ssh::{Ask, ConnectSpec, KeyRing, RemoteError, connect};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An agent's ninth key, with the server's patience (six) as it comes: found on a second connection, and known from then on.
#[tokio::test]
async fn eight_other_keys_in_the_agent() {
    let server = Sshd::start("LogLevel VERBOSE");
    let mut keys = strangers(&server, 8);
    keys.push(server.path("key"));
    let agent = agent(&server, &keys);
    let mut spec = server.spec();
    spec.agent = Some(agent.1.clone());
    spec.target.identities = Vec::new();
    let host = connect(&spec).await.unwrap();
    let failed = || server.log().matches("Failed publickey").count();
    let first = failed();
    assert_eq!(first, 8, "{}", server.log());
    let _lock = host.lock("me").await.unwrap();
    host.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();
    assert_eq!(failed(), first, "further connections begin with the key that worked");
}

/// A question that counts, and answers after a while.
fn asked(answer: &'static str, pause: Duration) -> (KeyRing, Arc<Mutex<Vec<String>>>) {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&questions);
    let ring = KeyRing::new(Ask::new(move |question| {
        told.lock().unwrap().push(question.to_owned());
        std::thread::sleep(pause);
        (!answer.is_empty()).then(|| SecretText::new(answer.to_owned()))
    }));
    (ring, questions)
}

#[tokio::test]
async fn a_passphrase_is_asked_once_for_all_hosts_and_no_server_waits_for_it() {
    let servers = [Sshd::start("LoginGraceTime 1"), Sshd::start("LoginGraceTime 1"), Sshd::start("LoginGraceTime 1")];
    let key = servers[0].path("locked");
    keygen(&key, "ed25519", "open sesame");
    let (ring, questions) = asked("open sesame", Duration::from_millis(2500));
    let mut sessions = Vec::new();
    for server in &servers {
        std::fs::copy(servers[0].path("locked.pub"), server.path("authorized_keys")).unwrap();
        let mut spec = server.spec();
        spec.target.identities = vec![key.clone()];
        spec.keyring = ring.clone();
        sessions.push(tokio::spawn(async move { connect(&spec).await.map(|host| async move { host.lock("me").await.map(drop) }) }));
    }
    for session in sessions {
        session.await.unwrap().unwrap().await.unwrap();
    }
    assert_eq!(*questions.lock().unwrap(), [format!("passphrase of {}", key.display())]);
}

#[tokio::test]
async fn a_passphrase_is_asked_for_only_when_the_server_wants_the_key() {
    let server = Sshd::start("");
    let locked = server.path("locked");
    keygen(&locked, "ed25519", "open sesame");
    let mut spec = server.spec();
    let (ring, questions) = asked("open sesame", Duration::ZERO);
    spec.keyring = ring;
    spec.target.identities = vec![locked.clone(), server.path("key")];
    connect(&spec).await.unwrap();
    assert!(questions.lock().unwrap().is_empty(), "the server does not know that key");

    // Mistyped three times: told, and asked no more.
    std::fs::copy(server.path("locked.pub"), server.path("authorized_keys")).unwrap();
    spec.target.identities = vec![locked.clone()];
    let (ring, questions) = asked("wrong", Duration::ZERO);
    spec.keyring = ring;
    for _ in 0..2 {
        let RemoteError::Auth { seen, .. } = refused(&spec).await else { panic!("not refused") };
        assert!(seen.contains("the passphrase does not fit"), "{seen}");
    }
    assert_eq!(questions.lock().unwrap().len(), 3);
    assert!(questions.lock().unwrap()[1].contains("once more (2 of 3)"));

    // Nobody there (no terminal): a clear refusal.
    let (ring, _) = asked("", Duration::ZERO);
    spec.keyring = ring;
    let RemoteError::Auth { seen, .. } = refused(&spec).await else { panic!("not refused") };
    let told = format!("encrypted, and nobody is there to be asked for its passphrase: run `ssh-add {}` first", locked.display());
    assert!(seen.contains(&told), "{seen}");

    // In the old format the public half is not in the file, and may lie beside it or not.
    let old = server.path("old");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-m", "PEM", "-C", "", "-N", "open sesame", "-f"]).arg(&old).status();
    assert!(made.unwrap().success());
    std::fs::copy(server.path("old.pub"), server.path("authorized_keys")).unwrap();
    spec.target.identities = vec![old];
    for _ in 0..2 {
        let (ring, questions) = asked("open sesame", Duration::ZERO);
        spec.keyring = ring;
        connect(&spec).await.unwrap();
        assert_eq!(questions.lock().unwrap().len(), 1);
        let _ = std::fs::remove_file(server.path("old.pub"));
    }
}

/// Signs `key` for root with the server's own authority, which is the only one let in.
fn sign(server: &Sshd, key: &Path) {
    let authority = server.path("authority");
    if !authority.exists() {
        keygen(&authority, "ed25519", "");
        let public = std::fs::read_to_string(server.path("authority.pub")).unwrap();
        std::fs::write(server.path("authorized_keys"), format!("cert-authority {public}")).unwrap();
    }
    let signed = Command::new("ssh-keygen").args(["-q", "-I", "test", "-n", "root", "-s"]).arg(&authority).arg(key).status();
    assert!(signed.unwrap().success());
}

#[tokio::test]
async fn certificates_of_every_kind() {
    let server = Sshd::start("");
    let mut spec = server.spec();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let key = server.path(&format!("user_{kind}"));
        keygen(&key, kind, if kind == "ed25519" { "open sesame" } else { "" });
        sign(&server, &server.path(&format!("user_{kind}.pub")));
        let (ring, _) = asked("open sesame", Duration::ZERO);
        spec.keyring = ring;
        spec.target.identities = vec![key];
        connect(&spec).await.map_err(|e| format!("{kind}: {e}")).unwrap();
    }
    // The agent has key and certificate; or the bare key only, and the certificate lies beside the public half.
    keygen(&server.path("held"), "rsa", "");
    sign(&server, &server.path("held.pub"));
    let both = agent(&server, &[server.path("held")]);
    spec.agent = Some(both.1.clone());
    spec.target.identities = Vec::new();
    connect(&spec).await.unwrap();
    drop(both);
    std::fs::remove_file(server.path("agent")).unwrap();
    std::fs::rename(server.path("held-cert.pub"), server.path("aside")).unwrap();
    let bare = agent(&server, &[server.path("held")]);
    spec.agent = Some(bare.1.clone());
    assert!(matches!(refused(&spec).await, RemoteError::Auth { .. }), "the bare key is not let in");
    std::fs::rename(server.path("aside"), server.path("held-cert.pub")).unwrap();
    spec.target.identities = vec![server.path("held.pub")];
    connect(&spec).await.unwrap();
}

/// A user `pi` (password `open sesame`) with `shell` as the login shell; `sudo` is a line of sudoers.
fn house_of_pi(shell: &str, sudo: &str, more: &str) -> String {
    format!(
        "mkdir -p $at/pi/.config/fish\n\
         echo 'pi:x:4242:4242::'$at'/pi:{shell}' >>/etc/passwd; echo 'pi:x:4242:' >>/etc/group\n\
         echo 'pi:'$(openssl passwd -6 'open sesame')':19000:0:99999:7:::' >>/etc/shadow\n\
         printf 'Defaults logfile=%s/sudo.log\\nroot ALL=(ALL:ALL) ALL\\n%s\\n' $at '{sudo}' >/etc/sudoers; chmod 440 /etc/sudoers; rm -f /etc/sudoers.d/*\n\
         echo 'echo noise; umask 077' >$at/pi/.bashrc; echo 'echo noise; umask 077' >$at/pi/.cshrc\n\
         echo 'echo noise; umask 077' >$at/pi/.config/fish/config.fish\n\
         {more}\nchown -R 4242:4242 $at/pi"
    )
}

const FREE: &str = "pi ALL=(ALL:ALL) NOPASSWD: ALL";

fn pi(server: &Sshd) -> ConnectSpec {
    let mut spec = server.spec();
    "pi".clone_into(&mut spec.target.user);
    spec
}

/// Everything that a run does, as an unprivileged user whose login shell is none of ours: it prints, and has a umask of 077.
#[tokio::test]
async fn every_login_shell_with_noise_and_a_strict_umask() {
    for shell in ["/bin/bash", "/usr/bin/fish", "/usr/bin/tcsh"] {
        assert!(Path::new(shell).exists(), "THIS TEST LACKS {shell}: tests/run needs");
        let banner = "echo 'Welcome home.' >$at/banner";
        let server = Sshd::with("127.0.0.1", "Banner /etc/issue\nMaxSessions 1", &house_of_pi(shell, FREE, banner));
        let host = connect(&pi(&server)).await.map_err(|e| format!("{shell}: {e}")).unwrap();
        let _lock = host.lock("me").await.unwrap();
        let script =
            format!("id -un; umask; echo x >{0}/made; mkdir {0}/folder; stat -c %a {0}/made {0}/folder", server.home.path().display());
        assert_eq!(run(&host, &script).await.unwrap().output, "root\n0022\n644\n755\n", "{shell}");
        host.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();
        assert_eq!(run(&host, "stat -c '%a %U' /run/uploaded").await.unwrap().output, "600 root\n", "{shell}");
    }
}

#[tokio::test]
async fn sudos_password_is_asked_once_and_seen_nowhere() {
    let server = Sshd::with("127.0.0.1", "", &house_of_pi("/bin/bash", "pi ALL=(ALL:ALL) ALL", ""));
    let mut spec = pi(&server);
    let RemoteError::Sudo { seen, help } = refused(&spec).await else { panic!("no password was needed") };
    assert!(seen.contains("wants the password of pi") && help.contains("--ask-sudo-password"), "{seen}: {help}");
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    spec.sudo_password = Ask::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(SecretText::new("open sesame".to_owned()))
    });
    let host = connect(&spec).await.unwrap();
    let _lock = host.lock("me").await.unwrap();
    host.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();
    connect(&spec).await.unwrap();
    assert_eq!(times.load(Ordering::SeqCst), 1);

    let spy = "for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\\0' ' ' <$f; done 2>/dev/null";
    let processes = run(&host, spy).await.unwrap().output;
    let logged = std::fs::read_to_string(server.path("sudo.log")).unwrap();
    assert!(logged.contains("USER=root") && processes.contains("sudo -k -S"), "{logged}");
    // The needle is put together here, so that the spy does not find itself.
    for (place, text) in [("process list", &processes), ("sudo's log", &logged), ("sshd's log", &server.log())] {
        assert!(!text.contains("open sesame"), "the password is in the {place}");
    }

    spec.sudo_password = Ask::new(|_| Some(SecretText::new("wrong".to_owned())));
    let RemoteError::Sudo { seen, .. } = refused(&spec).await else { panic!("a wrong password was taken") };
    assert!(seen.contains("does not take this password"), "{seen}");
}

#[tokio::test]
async fn the_real_doas() {
    assert!(Path::new("/usr/bin/doas").exists(), "THIS TEST LACKS doas: tests/run needs");
    let hide = "mount --bind /dev/null /usr/bin/sudo; chmod 600 /etc/doas.conf 2>/dev/null || true\n";
    let free = format!("{hide}echo 'permit nopass pi' >/etc/doas.conf; chmod 600 /etc/doas.conf");
    let server = Sshd::with("127.0.0.1", "", &house_of_pi("/bin/bash", FREE, &free));
    let host = connect(&pi(&server)).await.unwrap();
    assert_eq!(run(&host, "id -u; umask").await.unwrap().output, "0\n0022\n");
    let _lock = host.lock("me").await.unwrap();
    host.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();

    let asks = format!("{hide}echo 'permit pi' >/etc/doas.conf; chmod 600 /etc/doas.conf");
    let strict = Sshd::with("127.0.0.1", "", &house_of_pi("/bin/bash", FREE, &asks));
    let RemoteError::Sudo { seen, help } = refused(&pi(&strict)).await else { panic!("doas did not ask") };
    assert!(seen.contains("doas wants a password of pi") && help.contains("permit nopass pi"), "{seen}: {help}");
}

/// One session a connection, and everything at once.
#[tokio::test]
async fn one_session_a_connection() {
    let server = Sshd::start("MaxSessions 1");
    let host = server.session().await;
    let begun = Instant::now();
    let (lock, first, second, script, tunnel) = tokio::join!(
        host.lock("me"),
        host.upload(server.path("key.pub"), "/run/first", &|_| ()),
        host.upload(server.path("key.pub"), "/run/second", &|_| ()),
        run(&host, "sleep 0.2; echo on"),
        host.tunnel("127.0.0.1", server.port),
    );
    let _lock = lock.unwrap();
    first.unwrap();
    second.unwrap();
    tunnel.unwrap();
    assert_eq!(script.unwrap().output, "on\n");
    assert_eq!(run(&host, "cat /run/first /run/second | wc -l").await.unwrap().output, "2\n");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
