//! How places that keep backups are named, in an inventory and on the command line alike.

use std::fmt;
use std::path::PathBuf;

/// A place that keeps backups, or one backup there, as it is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Of this computer.
    Path(PathBuf),
    /// A folder of a node, with its whole path and no slash at the end.
    Node { node: String, folder: String },
    /// `BUCKET`, or `BUCKET/PREFIX`, of an S3-compatible store.
    Bucket(String),
}

/// Why a text names no place, and what would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace {
    pub what: String,
    pub help: &'static str,
}

/// What every name of a file that is a backup ends with.
pub(super) const END: &str = ".age";

impl Destination {
    /// `/FOLDER`, `file:///FOLDER`, `node:NAME:/FOLDER` or `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, NoPlace> {
        if let Some(rest) = text.strip_prefix("node:") {
            return match rest.split_once(':') {
                Some((node, folder)) if !node.is_empty() && is_whole(folder) => {
                    Ok(Self::Node { node: node.to_owned(), folder: folder.trim_end_matches('/').to_owned() })
                }
                _ => Err(NoPlace {
                    what: format!("`{}` names no folder of a node", text.escape_debug()),
                    help: "node:NAME:/FOLDER, for instance node:shed:/srv/backups",
                }),
            };
        }
        match text.split_once("://") {
            Some(("s3", rest)) if rest.starts_with('/') || rest.is_empty() => {
                Err(NoPlace { what: format!("`{}` names no bucket", text.escape_debug()), help: "s3://BUCKET, or s3://BUCKET/PREFIX" })
            }
            Some(("s3", rest)) => Ok(Self::Bucket(rest.to_owned())),
            Some(("file", path)) => Ok(Self::Path(path.into())),
            Some((scheme, _)) => Err(NoPlace {
                what: format!("`{}://` is no place that backups can be kept in", scheme.escape_debug()),
                help: "name a folder, node:NAME:/FOLDER, or s3://BUCKET/PREFIX",
            }),
            None => Ok(Self::Path(text.into())),
        }
    }

    /// The place, and the name of the one backup there, where it is that which was named.
    #[must_use]
    pub fn split(self) -> (Self, Option<String>) {
        match self {
            Self::Path(path) => {
                let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
                match (path.parent(), name) {
                    (Some(folder), Some(name)) if !path.is_dir() => (Self::Path(folder.to_owned()), Some(name)),
                    _ => (Self::Path(path), None),
                }
            }
            Self::Node { node, folder } => {
                let (folder, one) = last(folder);
                (Self::Node { node, folder }, one)
            }
            Self::Bucket(text) => {
                let (text, one) = last(text);
                (Self::Bucket(text), one)
            }
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Node { node, folder } => write!(f, "node:{node}:{folder}"),
            Self::Bucket(text) => write!(f, "s3://{text}"),
        }
    }
}

/// From the root of a file system downwards, in one line.
fn is_whole(folder: &str) -> bool {
    folder.starts_with('/') && folder.len() > 1 && !folder.split('/').any(|part| part == "..") && !folder.contains(char::is_control)
}

/// Of what cannot be looked at, the name tells whether it is a backup.
fn last(text: String) -> (String, Option<String>) {
    match text.rsplit_once('/') {
        Some((folder, name)) if name.ends_with(END) => (folder.to_owned(), Some(name.to_owned())),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed() {
        let node = |folder: &str| Destination::Node { node: "shed".into(), folder: folder.into() };
        let file = "home-20261122T060000Z.backup.age";
        let table = [
            ("/srv/backups".to_owned(), Destination::Path("/srv/backups".into()), None),
            ("file:///srv/backups".to_owned(), Destination::Path("/srv".into()), Some("backups")),
            (file.to_owned(), Destination::Path("".into()), Some(file)),
            (".".to_owned(), Destination::Path(".".into()), None),
            ("node:shed:/srv/backups/".to_owned(), node("/srv/backups"), None),
            (format!("node:shed:/srv/backups/{file}"), node("/srv/backups"), Some(file)),
            ("s3://bucket".to_owned(), Destination::Bucket("bucket".into()), None),
            ("s3://bucket/home/".to_owned(), Destination::Bucket("bucket/home/".into()), None),
            (format!("s3://bucket/home/{file}"), Destination::Bucket("bucket/home".into()), Some(file)),
        ];
        for (text, place, one) in table {
            let told = Destination::parse(&text).unwrap();
            // Whether a path is a folder is seen.
            let told = if text == "/srv/backups" { (told, None) } else { told.split() };
            assert!(one.is_some() || told.0.to_string() == text.trim_end_matches('/') || text.ends_with("home/"), "{}", told.0);
            assert_eq!(told, (place, one.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_is_no_place() {
        for wrong in ["node:shed", "node:shed:srv", "node::/srv", "node:shed:/srv/../etc", "node:shed:/", "node:shed:/a\nb"] {
            let refused = Destination::parse(wrong).unwrap_err();
            assert_eq!(refused.what, format!("`{}` names no folder of a node", wrong.escape_debug()));
        }
        assert_eq!(Destination::parse("s3://").unwrap_err().what, "`s3://` names no bucket");
        assert_eq!(Destination::parse("ftp://nas/x").unwrap_err().what, "`ftp://` is no place that backups can be kept in");
    }
}
