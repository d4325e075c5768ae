//! What a session does: uploads, tunnels, the lock, and its end.

use crate::ports;
use crate::server::{Sshd, run};
use homectl::ssh::{RemoteError, connect};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};

#[tokio::test]
async fn uploads_are_whole_private_and_new() {
    let server = Sshd::start("MaxSessions 1");
    let host = server.session().await;
    let from = server.path("program");
    let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(&from, &bytes).unwrap();
    let to = server.path("it's a file");
    let seen = Mutex::new(Vec::new());
    host.upload(from.clone(), to.to_str().unwrap(), &|n| seen.lock().unwrap().push(n)).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == bytes);
    assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&(bytes.len() as u64)), "{seen:?}");

    let error = host.upload(from.clone(), to.to_str().unwrap(), &|_| ()).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Upload { seen, .. } if seen.contains("exists")), "{error:?}");
    assert!(std::fs::read(&to).unwrap() == bytes, "what was there stays");

    // An empty file, over the same connection; the main one goes on meanwhile.
    std::fs::write(&from, "").unwrap();
    let empty = server.path("empty");
    let (uploaded, reply) = tokio::join!(host.upload(from, empty.to_str().unwrap(), &|_| ()), run(&host, "echo on"));
    uploaded.unwrap();
    assert_eq!(reply.unwrap().output, "on\n");
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0);
}

#[tokio::test]
async fn downloads_are_whole_or_say_why() {
    let server = Sshd::start("MaxSessions 1");
    let host = server.session().await;
    // Bytes that look like lines, and none at the end.
    let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let from = server.path("it's a file");
    for bytes in [&bytes[..], b"no newline", b""] {
        std::fs::write(&from, bytes).unwrap();
        let mut taken = Vec::new();
        let mut take = |piece: &[u8]| {
            taken.extend_from_slice(piece);
            Ok(())
        };
        assert_eq!(host.download(from.to_str().unwrap(), &mut take).await.unwrap(), bytes.len() as u64);
        assert!(taken == bytes);
    }
    for (path, words) in [("/nowhere/at all", "No such file"), ("/tmp", "it is a directory")] {
        let error = host.download(path, &mut |_| Ok(())).await.unwrap_err();
        assert!(matches!(&error, RemoteError::Download { seen, .. } if seen.contains(words)), "{error:?}");
    }
    std::fs::write(&from, &bytes).unwrap();
    let full = host.download(from.to_str().unwrap(), &mut |_| Err(std::io::Error::other("the disk is full"))).await.unwrap_err();
    assert!(matches!(&full, RemoteError::Local { seen } if seen.ends_with("the disk is full")), "{full:?}");
    assert_eq!(run(&host, "echo on").await.unwrap().output, "on\n");
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_stays() {
    let server = Sshd::start("");
    let host = server.session().await;
    let from = server.path("program");
    std::fs::write(&from, vec![7; 12 << 20]).unwrap();
    // /run has 4 MB in this test.
    let error = host.upload(from.clone(), "/run/program.tmp", &|_| ()).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Upload { seen, .. } if seen.contains("No space left on device")), "{error:?}");
    assert_eq!(run(&host, "ls /run; df --output=used /run | tail -1").await.unwrap().output.lines().next(), Some("sshd"));
    assert!(error.into_failure("attic").remedy().unwrap().contains("make room"));
    let missing = host.upload(from, "/nowhere/program.tmp", &|_| ()).await.unwrap_err();
    assert!(matches!(&missing, RemoteError::Upload { seen, .. } if seen.contains("nowhere")), "{missing:?}");
}

#[tokio::test]
async fn an_upload_given_up_leaves_nothing() {
    let server = Sshd::start("");
    let host = server.session().await;
    let from = server.path("program");
    std::fs::File::create(&from).unwrap().set_len(8 << 30).unwrap();
    let to = server.path("half");
    let begun = AtomicBool::new(false);
    {
        let watch = |_| begun.store(true, Ordering::SeqCst);
        let upload = host.upload(from, to.to_str().unwrap(), &watch);
        let given_up = tokio::time::timeout(Duration::from_millis(700), upload).await;
        assert!(given_up.is_err(), "8 GB in no time: {given_up:?}");
    }
    assert!(begun.load(Ordering::SeqCst));
    let until = Instant::now() + Duration::from_secs(10);
    while to.exists() {
        assert!(Instant::now() < until, "half a file stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tunnels_reach_what_the_host_reaches() {
    let server = Sshd::start("");
    let host = server.session().await;
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let mut tunnel = host.tunnel("127.0.0.1", port).await.unwrap();
    tunnel.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    let closed = host.tunnel("127.0.0.1", ports::port()).await.err().unwrap();
    assert!(matches!(&closed, RemoteError::Tunnel { seen, .. } if seen == "nothing answers there"), "{closed:?}");

    let strict = Sshd::start("AllowTcpForwarding no");
    let host = strict.session().await;
    let forbidden = host.tunnel("127.0.0.1", port).await.err().unwrap();
    assert!(forbidden.into_failure("attic").remedy().unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn one_run_holds_the_lock() {
    let server = Sshd::start("MaxSessions 1");
    let (ann, bob) = (server.session().await, server.session().await);
    let held = ann.lock("ann@laptop (pid 7)").await.unwrap();
    assert_eq!(run(&ann, "echo mine").await.unwrap().output, "mine\n");
    assert_eq!(run(&ann, "stat -c '%a %U' /run/homectl.lock").await.unwrap().output, "600 root\n");
    let begun = Instant::now();
    let RemoteError::Locked { holder } = bob.lock("bob").await.err().unwrap() else { panic!("not locked") };
    assert!(holder.starts_with("ann@laptop (pid 7) since 20"), "{holder}");
    assert!(begun.elapsed() < Duration::from_secs(5), "contention is told at once");
    drop(held);
    let until = Instant::now() + Duration::from_secs(5);
    let held = loop {
        match bob.lock("bob").await {
            Ok(guard) => break guard,
            Err(error) => assert!(Instant::now() < until && matches!(error, RemoteError::Locked { .. }), "{error:?}"),
        }
    };
    assert_eq!(run(&ann, "echo reading needs no lock").await.unwrap().status, 0);
    drop(held);
}

#[tokio::test]
async fn a_lost_lock_stops_the_next_script_on_the_node() {
    let server = Sshd::start("");
    let (ann, root) = (server.session().await, server.session().await);
    let _held = ann.lock("ann").await.unwrap();
    // Another run has taken the machine, and ann has not noticed yet.
    run(&root, "echo other since now >/run/homectl.lock").await.unwrap();
    let error = run(&ann, "touch /run/written").await.unwrap_err();
    assert!(matches!(&error, RemoteError::Lost { seen } if seen.contains("no longer ours")), "{error:?}");
    assert_eq!(run(&root, "test -e /run/written").await.unwrap().status, 1);
    // The holder dies: told before anything is sent.
    let holders = "me=$(readlink /proc/self/ns/mnt)\n\
        for p in /proc/[0-9]*; do\n\
          [ \"$(readlink \"$p/ns/mnt\")\" = \"$me\" ] && ls -l \"$p/fd\" 2>/dev/null | grep -q ' /run/homectl.lock$' && kill -9 \"${p#/proc/}\"\n\
        done\n\
        true";
    // Of this server only: others hold theirs on this computer.
    run(&root, holders).await.unwrap();
    let until = Instant::now() + Duration::from_secs(8);
    while !matches!(run(&ann, "true").await, Err(RemoteError::Lost { seen }) if seen.contains("was lost")) {
        assert!(Instant::now() < until, "the end of the holder is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn nothing_lingers_after_a_session() {
    let server = Sshd::start("");
    let host = server.session().await;
    let lock = host.lock("me").await.unwrap();
    host.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();
    assert!(server.programs() > 5, "three sessions, and {} processes", server.programs());
    drop((lock, host));
    server.alone_within(Duration::from_secs(5)).await;
}

/// A relay that can be told to swallow everything, as a cut cable does. Like a network that is whole again it tells a server
/// that speaks to somebody who is gone.
async fn relay(to: u16, cut: Arc<AtomicBool>, whole: Arc<AtomicBool>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (cut, whole) = (Arc::clone(&cut), Arc::clone(&whole));
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = set(&cut) => {
                        // Both ends stay open, and hear nothing.
                        set(&whole).await;
                        far.readable().await.unwrap();
                    }
                }
            });
        }
    });
    port
}

async fn set(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_cut_cable_is_noticed_on_both_ends() {
    let server = Sshd::start("");
    let (cut, whole) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut spec = server.spec();
    spec.target.port = relay(server.port, Arc::clone(&cut), Arc::clone(&whole)).await;
    let (far, idle, near) = (connect(&spec).await.unwrap(), connect(&spec).await.unwrap(), server.session().await);
    let held = far.lock("far").await.unwrap();
    let begun = Instant::now();
    cut.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lost = run(&far, "echo unheard").await.unwrap_err();
    assert!(matches!(&lost, RemoteError::Lost { seen } if seen.contains("no sign of life for 15 s")), "{lost:?}");
    assert!(begun.elapsed() < Duration::from_secs(22), "{:?}", begun.elapsed());
    while let Err(RemoteError::Locked { holder }) = near.lock("near").await {
        assert!(holder.starts_with("far since"), "{holder}");
        assert!(begun.elapsed() < Duration::from_secs(30), "a dead operator still holds the machine");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    drop((far, idle, near, held));
    // What waited for the next word of somebody who is gone ends when the network is back, and not after hours.
    whole.store(true, Ordering::SeqCst);
    server.alone_within(Duration::from_secs(25)).await;
}
