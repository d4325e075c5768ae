//! The grammars of names and addresses, and how a near miss is mended.

use std::net::IpAddr;

/// RFC 1123 label: lower-case letters, digits and `-`, begins and ends with a letter or digit, at most 63.
pub(super) fn is_label(s: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    s.len() <= 63
        && edge(s.chars().next())
        && edge(s.chars().next_back())
        && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// The label that was probably meant, where there is one.
pub(super) fn mend_label(s: &str) -> Option<String> {
    let first = s.split('.').next().unwrap_or(s);
    let plain: String = first
        .trim()
        .to_lowercase()
        .chars()
        .map(|c| match c {
            'ä' => "ae".to_owned(),
            'ö' => "oe".to_owned(),
            'ü' => "ue".to_owned(),
            'ß' => "ss".to_owned(),
            'é' | 'è' | 'ê' => "e".to_owned(),
            'a'..='z' | '0'..='9' => c.to_string(),
            _ => "-".to_owned(),
        })
        .collect();
    let cut: String = plain.trim_matches('-').chars().take(63).collect();
    let mended = cut.trim_matches('-').to_owned();
    (is_label(&mended) && mended != s).then_some(mended)
}

/// Dot-separated labels, at most 253: a DNS subdomain as Kubernetes takes it.
pub(super) fn is_subdomain(s: &str) -> bool {
    s.len() <= 253 && s.split('.').all(is_label)
}

/// A host: an address or a DNS name. Upper case is fine in DNS; a name of digits and dots only is a mistyped address.
pub(super) fn is_host(s: &str) -> bool {
    s.parse::<IpAddr>().is_ok() || (is_subdomain(&s.to_lowercase()) && s.chars().any(|c| c.is_ascii_alphabetic() || c == '-'))
}

/// `host:port`, an IPv6 address in brackets: the host without brackets, and the port.
pub(super) fn host_port(s: &str) -> Option<(&str, u16)> {
    let (host, port) = s.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let fits = match bracketed {
        Some(h) => h.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.contains(':') && is_host(host),
    };
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten().filter(|p| *p > 0)?;
    fits.then_some((bracketed.unwrap_or(host), port))
}

/// A login name that cannot be mistaken for an option or for more than one word.
pub(super) fn is_user(s: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    !s.is_empty() && s.len() <= 64 && !s.starts_with(['-', '.']) && s.chars().all(ok)
}

/// `[user@]host[:port]`, or several in a row with commas between them.
pub(super) fn is_jump(s: &str) -> bool {
    s.split(',').all(|hop| {
        let (user, host) = hop.rsplit_once('@').map_or((None, hop), |(u, h)| (Some(u), h));
        user.is_none_or(is_user) && (is_host(host) || host_port(host).is_some())
    })
}

/// A part of a label or taint key, or a label's value: at most 63, begins and ends with a letter or digit.
pub(super) fn is_name_part(s: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    s.len() <= 63
        && edge(s.chars().next())
        && edge(s.chars().next_back())
        && s.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// `[prefix/]name`; why not, where not.
pub(super) fn check_key(s: &str) -> Result<(), &'static str> {
    match s.split_once('/') {
        Some((prefix, _)) if !is_subdomain(prefix) => Err("its prefix is not a DNS name in lower case"),
        Some((_, name)) if !is_name_part(name) => Err("after the slash come 1 to 63 letters, digits, '-', '_' or '.'"),
        None if !is_name_part(s) => Err("it is 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        let long = "a".repeat(63);
        for good in ["a", "0", "attic", "node-1", long.as_str()] {
            assert!(is_label(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", "ä", "a b", long.as_str()] {
            assert!(!is_label(bad), "{bad}");
        }
        for (bad, good) in [("Attic_2", "attic-2"), ("Küche", "kueche"), ("nas.lan", "nas"), (" x ", "x"), ("-a-", "a")] {
            assert_eq!(mend_label(bad).as_deref(), Some(good));
        }
        for hopeless in ["", "---", "日本"] {
            assert_eq!(mend_label(hopeless), None);
        }
    }

    #[test]
    fn hosts_and_ports() {
        for good in ["192.168.1.2", "fe80::1", "nas", "NAS.lan", "cabin.example.net"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "192.168.1.256", "192.168.1", "-oProxyCommand=x", "a b", "a;b", "$(x)", "http://x", "x:22", "1234"] {
            assert!(!is_host(bad), "{bad}");
        }
        assert_eq!(host_port("cabin.example.net:51820"), Some(("cabin.example.net", 51820)));
        assert_eq!(host_port("[2001:db8::1]:1"), Some(("2001:db8::1", 1)));
        for bad in ["cabin", "cabin:", "cabin:0", "cabin:65536", "cabin:+1", "2001:db8::1:51820", "[cabin]:1", ":1"] {
            assert_eq!(host_port(bad), None, "{bad}");
        }
        for good in ["bastion", "pi@bastion", "pi@bastion:2222", "pi@[2001:db8::1]:22", "outer,pi@inner:2222"] {
            assert!(is_jump(good), "{good}");
        }
        for bad in ["-x", "a b", "@bastion", "pi@", "pi@bastion:x", "bastion,", "a, b"] {
            assert!(!is_jump(bad), "{bad}");
        }
    }

    #[test]
    fn keys() {
        for good in ["gpu", "example.net/gpu", "a/B_c.d-E"] {
            assert_eq!(check_key(good), Ok(()), "{good}");
        }
        for bad in ["", "/x", "x/", "Example.net/gpu", "a/b/c", "-x", "x-"] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
