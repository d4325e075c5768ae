//! Choices, the API's names, mirrors and registries.

use super::super::model::{Api, Registry};
use super::super::names;
use super::super::problem::Sink;
use super::super::raw::{self, At, Raw};
use super::super::table::nearest;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use url::Url;

/// One of a few words. `known_as` maps what other tools call it.
pub(super) fn choice<T: Copy>(key: &str, at: &At<String>, words: &[(&str, T)], known_as: &[(&str, &str)], sink: &mut Sink) -> Option<T> {
    let text = at.get_ref().as_str();
    if let Some((_, value)) = words.iter().find(|(w, _)| *w == text) {
        return Some(*value);
    }
    let all: Vec<&str> = words.iter().map(|(w, _)| *w).collect();
    let lower = text.to_lowercase();
    let meant = known_as.iter().find(|(other, _)| *other == lower).map(|(_, ours)| *ours).or_else(|| nearest(text, &all));
    let list = all.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or ");
    let help = meant.map_or_else(|| format!("{list} is known"), |m| format!("did you mean `{m}`?"));
    sink.error(&at.span(), format!("`{key}` cannot be `{text}`")).label(format!("{list}, nothing else")).help(help);
    None
}

pub(super) fn api(raw: &Raw, sink: &mut Sink) -> Api {
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    let mut names = Vec::new();
    for at in &raw.api_names {
        let name = at.get_ref().clone();
        if !names::is_host(&name) {
            let help = if name.starts_with("*.") { "write every name out" } else { "a DNS name or an address, no port, no scheme" };
            sink.error(&at.span(), format!("`{name}` cannot be a name of the API")).help(help);
        } else if let Some(first) = seen.insert(name.to_lowercase(), at.span()) {
            sink.error(&at.span(), format!("`{name}` is listed twice")).also(&first, "first here");
        } else {
            names.push(name);
        }
    }
    Api { names, lan: raw.api_lan.as_ref().is_none_or(|l| *l.get_ref()) }
}

/// The mirror of downloads, without a slash at its end.
pub(super) fn mirror(at: &At<String>, sink: &mut Sink) -> Option<Url> {
    let text = at.get_ref().as_str();
    let Ok(mut url) = Url::parse(text) else {
        let help = if text.starts_with(['/', '~', '.']) {
            format!("a folder is written as \"file://{}\", with its whole path", text.trim_start_matches(['~', '.']))
        } else {
            format!("begin with a scheme: \"http://{text}\"")
        };
        sink.error(&at.span(), format!("the mirror `{text}` is not a URL")).help(help);
        return None;
    };
    let why = match url.scheme() {
        "http" | "https" if url.host_str().is_none_or(str::is_empty) => Some("it names no host".to_owned()),
        "file" if url.host_str().is_some_and(|h| !h.is_empty()) => Some("a file:// URL names no host: it has three slashes".to_owned()),
        "http" | "https" | "file" => None,
        other => Some(format!("`{other}` is none of http, https and file")),
    }
    .or_else(|| {
        (!url.username().is_empty() || url.password().is_some())
            .then(|| "it holds credentials, and an inventory can be committed".to_owned())
    })
    .or_else(|| (url.query().is_some() || url.fragment().is_some()).then(|| "it has a query or a fragment".to_owned()))
    .or_else(|| (!is_plain(text)).then(|| "it has signs that URLs write as %XX".to_owned()));
    if let Some(why) = why {
        sink.error(&at.span(), format!("the mirror cannot be used: {why}"))
            .help("https://HOST/PATH is looked up at MIRROR/HOST/PATH; as in \"http://nas.lan/mirror\" or \"file:///srv/mirror\"");
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

pub(super) fn registries(raw: &[raw::Registry], sink: &mut Sink) -> Vec<Registry> {
    let mut all = BTreeMap::new();
    for registry in raw {
        let host = registry.host.get_ref();
        if !names::is_host(host) && names::host_port(host).is_none() {
            sink.error(&registry.host.span(), format!("`{host}` is not a registry's host"))
                .help("the part before the first slash of an image's name, as in [registries.\"registry.k8s.io\"]");
        }
        let Some(mirrors) = &registry.mirrors else { continue };
        if mirrors.get_ref().is_empty() {
            sink.error(&mirrors.span(), format!("`{host}` has no mirror")).help("name one, or remove the table");
        }
        let urls = mirrors.get_ref().iter().filter_map(|at| registry_url(at, sink)).collect();
        all.insert(host.clone(), Registry { host: host.clone(), mirrors: urls });
    }
    all.into_values().collect()
}

/// As a parser of URLs writes it, so that nothing in it can end a string in a file of ours.
fn registry_url(at: &At<String>, sink: &mut Sink) -> Option<String> {
    let fits = |u: &Url| matches!(u.scheme(), "http" | "https") && u.has_host() && u.query().is_none() && u.fragment().is_none();
    let url = Url::parse(at.get_ref()).ok().filter(fits).filter(|_| is_plain(at.get_ref()));
    match &url {
        None => {
            sink.error(&at.span(), format!("`{}` is not the URL of a registry", at.get_ref())).help("as in \"http://nas.lan:5000\"");
        }
        Some(u) if !u.username().is_empty() || u.password().is_some() => {
            sink.error(&at.span(), "the URL holds credentials, and an inventory can be committed").help("mirrors are read without login");
        }
        Some(_) => {}
    }
    url.map(|u| u.as_str().trim_end_matches('/').to_owned())
}

/// Whether a URL is one word in every language that it may be written into; anything else is said as `%XX`.
fn is_plain(url: &str) -> bool {
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        if !rest.get(at + 1..at + 3).is_some_and(|hex| hex.chars().all(|c| c.is_ascii_hexdigit())) {
            return false;
        }
        rest = &rest[at + 3..];
    }
    url.chars().all(|c| c.is_ascii_alphanumeric() || "._-:[]+/=@%".contains(c))
}

/// Whether a host, given as a number, cannot be reached from another house.
pub(super) fn only_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(a)) => a.is_private() || a.is_link_local() || a.is_loopback(),
        Ok(IpAddr::V6(a)) => a.is_unique_local() || a.is_unicast_link_local() || a.is_loopback(),
        Err(_) => false,
    }
}
