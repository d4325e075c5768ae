//! The script that asks for facts.

/// One read-only POSIX sh script; its reply is for [`super::parse()`].
#[must_use]
pub fn script() -> String {
    include_str!("ask.sh").to_owned()
}
