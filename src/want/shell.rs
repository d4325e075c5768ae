//! Fragments of POSIX sh that the engine runs as root, and the one way to put a value into them.

use std::fmt;

/// A fragment of POSIX sh. It may carry secrets, so `Debug` tells only its length.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sh(String);

impl Sh {
    /// Takes a fragment; every value in it must have gone through [`quote`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the script that is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sh({} bytes)", self.0.len())
    }
}

/// Single-quotes `value` for POSIX sh; what needs no quotes stays readable.
#[must_use]
pub fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@%+,".contains(c);
    if !value.is_empty() && !value.starts_with('-') && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_only_what_needs_it() {
        assert_eq!(quote("/etc/hosts"), "/etc/hosts");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("-rf"), "'-rf'");
        assert_eq!(quote("$(id)"), "'$(id)'");
    }
}
