//! What can be judged of things that are made from secrets while nobody here can open those: whether they are there, of which
//! kind, mode and owner, and what they say as far as that is known without; their bytes never.
//!
//! What is made from secrets shows itself: the same wants made from two sets of placeholders differ there and nowhere else
//! ([`Want::sealed`]).

use super::file::unified;
use super::leaf::Measure;
use super::{Body, File, Guard, Leaf, Sh, Want};
use crate::pki::{self, Ca};

/// Why bytes were not looked at.
pub const NOT_COMPARED: &str = "content not compared: the age identity is not here";

/// What runs where a change was planned without the secrets: it was planned to be seen.
pub(super) const NEVER: &str = "echo 'this plan was made without the age identity, and is only to be looked at'; exit 1\n";

/// What is known of a file that is made from secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealed {
    /// Nothing but that it is there.
    Whole,
    /// It is the certificate of this authority; `now` in Unix seconds.
    Authority { ca: Ca, now: i64 },
    /// All lines but some.
    Lines(Vec<SealedLine>),
}

/// A line of a file that is made from secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedLine {
    Known(String),
    /// Only its beginning is known.
    Begins(String),
}

/// What a look at the file found: why it is settled, or what is wrong with it and the lines that show it.
pub(super) type Judged = Result<String, (String, Vec<String>)>;

impl Sealed {
    /// Whether the look has to tell the file's text.
    pub(super) fn is_read(&self) -> bool {
        *self != Self::Whole
    }

    /// The verdict on the content `text`.
    pub(super) fn judge(&self, text: &str) -> Judged {
        match self {
            Self::Whole => Ok(NOT_COMPARED.into()),
            Self::Authority { ca, now } => match pki::judge_authority(*ca, text, *now) {
                Ok(said) => Ok(format!("a {ca}, {said}; {NOT_COMPARED}")),
                Err(why) => Err((why, Vec::new())),
            },
            Self::Lines(lines) => {
                let wanted = filled(lines, text);
                if wanted == text {
                    return Ok(format!("same but for what is made from secrets; {NOT_COMPARED}"));
                }
                Err(("content differs".into(), unified(text, &wanted)))
            }
        }
    }

    /// The lines that a plan shows where there is no such file.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Whole | Self::Authority { .. } => vec!["content not shown: the age identity is not here".into()],
            Self::Lines(lines) => unified("", &filled(lines, "")),
        }
    }
}

/// The text with what it says already in the places that are not known.
fn filled(lines: &[SealedLine], text: &str) -> String {
    let mut there: Vec<&str> = text.lines().collect();
    let mut wanted = String::new();
    for line in lines {
        match line {
            SealedLine::Known(line) => wanted.push_str(line),
            SealedLine::Begins(begins) => match there.iter().position(|l| l.starts_with(begins)) {
                // The same order: the next such line is below this one.
                Some(at) => wanted.push_str(there.drain(..=at).next_back().unwrap_or_default()),
                None => wanted.extend([begins.as_str(), "(not known without the age identity)"]),
            },
        }
        wanted.push('\n');
    }
    wanted
}

impl Want {
    /// This want as it can be judged without secrets: `self` and `other` were made from two sets of placeholders. `now` in
    /// Unix seconds. `None`: no secret is in it.
    #[must_use]
    pub fn sealed(&self, other: &Self, now: i64) -> Option<Self> {
        match (self, other) {
            (Self::File(one), Self::File(two)) if one.body != two.body => {
                Some(Self::File(File { body: Some(Body::Sealed(sealed(one, two, now))), ..one.clone() }))
            }
            (Self::Leaf(one), Self::Leaf(two)) if one.measure != two.measure => {
                Some(Self::Leaf(Leaf { measure: Some(Measure::Machine), ..one.clone() }))
            }
            (Self::Guard(one), Self::Guard(two)) if one.ok != two.ok => {
                let title = format!("{} ({NOT_COMPARED})", one.title);
                Some(Self::Guard(Guard { title, ok: Sh::new("exit 0"), run: Sh::new(NEVER), ..one.clone() }))
            }
            // Its test needs no secret: only what it would do.
            (Self::Guard(one), Self::Guard(two)) if one.run != two.run => Some(Self::Guard(Guard { run: Sh::new(NEVER), ..one.clone() })),
            _ => None,
        }
    }

    /// Whether this want's content was not compared as a whole.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        match self {
            // What is only there to be there is not compared by anybody.
            Self::File(w) => !w.seed && matches!(w.body, Some(Body::Sealed(_))),
            Self::Leaf(w) => matches!(w.measure, Some(Measure::Machine)),
            Self::Guard(w) => w.title.ends_with(&format!("({NOT_COMPARED})")),
            _ => false,
        }
    }
}

fn sealed(one: &File, two: &File, now: i64) -> Sealed {
    if let Some(ca) = one.certifies {
        return Sealed::Authority { ca, now };
    }
    match (&one.body, &two.body) {
        (Some(Body::Text(one)), Some(Body::Text(two))) if !one.contains("-----BEGIN ") && one.lines().count() == two.lines().count() => {
            Sealed::Lines(one.lines().zip(two.lines()).map(|(one, two)| line(one, two)).collect())
        }
        _ => Sealed::Whole,
    }
}

fn line(one: &str, two: &str) -> SealedLine {
    if one == two {
        return SealedLine::Known(one.to_owned());
    }
    let shared: String = one.chars().zip(two.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    // Where the unknown begins two sets of placeholders may agree by chance, in letters but not in what separates words.
    let word = shared.rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
    SealedLine::Begins(shared[..word].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretText;

    fn of(one: File, two: File) -> Sealed {
        let Some(Want::File(File { body: Some(Body::Sealed(sealed)), .. })) = Want::File(one).sealed(&Want::File(two), 0) else {
            panic!("sealed")
        };
        sealed
    }

    fn peers(keys: [&str; 2]) -> File {
        let text = format!("[Peer]\n# barn\nPublicKey = {}\nEndpoint = a:1\n\n[Peer]\n# cabin\nPublicKey = {}\n", keys[0], keys[1]);
        File::text("/etc/wg0.conf", text)
    }

    #[test]
    fn only_what_is_made_from_secrets_is_not_compared() {
        let sealed = of(peers(["cHVi==", "cHxx=="]), peers(["QXB1==", "QXCx=="]));
        let real = |keys| match peers(keys).body {
            Some(Body::Text(text)) => text,
            _ => panic!("a text"),
        };
        let there = real(["x/1=", "y+2="]);
        assert_eq!(sealed.judge(&there).unwrap(), format!("same but for what is made from secrets; {NOT_COMPARED}"));
        let (why, lines) = sealed.judge(&there.replace("a:1", "b:2")).unwrap_err();
        assert_eq!(why, "content differs");
        let moved: Vec<&String> = lines.iter().filter(|l| l.starts_with(['+', '-']) && l.contains(' ')).collect();
        assert_eq!(moved, ["-Endpoint = b:2", "+Endpoint = a:1"]);
        let one_less = there.split("\n\n").next().unwrap().to_owned() + "\n";
        let (_, lines) = sealed.judge(&one_less).unwrap_err();
        assert!(lines.contains(&"+PublicKey = (not known without the age identity)".to_owned()), "{lines:#?}");
        assert!(!lines.contains(&"-PublicKey = x/1=".to_owned()), "{lines:#?}");
        assert!(sealed.judge("").is_err() && sealed.judge(&format!("{there}\n[Peer]\n")).is_err());
    }

    #[test]
    fn secrets_and_keys_are_not_known_at_all() {
        let secret = |text: &str| File::secret("/etc/key", SecretText::new(text.into()));
        assert_eq!(of(secret("a"), secret("b")), Sealed::Whole);
        let pem = |text: &str| File::text("/etc/sa.pub", format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"));
        assert_eq!(of(pem("a"), pem("b")), Sealed::Whole);
        assert_eq!(of(pem("a").certifies(Ca::Etcd), pem("b").certifies(Ca::Etcd)), Sealed::Authority { ca: Ca::Etcd, now: 0 });
        let same = Want::File(secret("a"));
        assert!(same.sealed(&same, 0).is_none() && !same.is_sealed());
    }

    #[test]
    fn a_test_without_a_secret_is_asked_and_nothing_of_it_runs() {
        let guard = |ok: &str, run: &str| Want::Guard(Guard::new("g", "it is so", ok, run));
        let Some(Want::Guard(asked)) = guard("x", "put a").sealed(&guard("x", "put b"), 0) else { panic!("a guard") };
        assert_eq!((asked.ok.as_str(), asked.run.as_str()), ("x", NEVER));
        let unasked = guard("[ a ]", "").sealed(&guard("[ b ]", ""), 0).unwrap();
        assert!(unasked.is_sealed() && !Want::Guard(asked).is_sealed());
        let seen = super::super::Seen::Guard(super::super::GuardSeen { status: 0, output: String::new() });
        let super::super::Verdict::Settled(why) = unasked.diff(&seen) else { panic!("settled") };
        assert_eq!(why, format!("it is so ({NOT_COMPARED})"));
    }
}
