//! Certificates' ends as an iCalendar file (RFC 5545): an all-day event each, with a reminder two weeks before.
//!
//! An event keeps its identity when the certificate is renewed: a calendar that reads the file again moves it.

use super::Certificate;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Bytes of a line without its end.
const WIDTH: usize = 75;

/// The calendar of `cluster`; `now` in Unix seconds.
#[must_use]
pub fn calendar(cluster: &str, certificates: &[Certificate], now: i64) -> String {
    let mut text = String::new();
    let name = format!("Certificates of {cluster}");
    for line in ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//homectl//certs//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH"] {
        fold(&mut text, line);
    }
    fold(&mut text, &format!("X-WR-CALNAME:{}", escaped(&name)));
    for (at, certificate) in certificates.iter().enumerate() {
        let before = certificates[..at].iter().filter(|other| place(other) == place(certificate)).count();
        for line in event(cluster, certificate, before, now) {
            fold(&mut text, &line);
        }
    }
    fold(&mut text, "END:VCALENDAR");
    text
}

/// Where a certificate lies, and whose it is.
fn place(c: &Certificate) -> [&str; 3] {
    [&c.node, &c.path, &c.subject]
}

/// `before`: how many of the same place come before it, in a file of several: authorities of one name, while they are exchanged.
fn event(cluster: &str, c: &Certificate, before: usize, now: i64) -> Vec<String> {
    let mut place = format!("{cluster}\n{}", place(c).join("\n"));
    if before > 0 {
        let _ = write!(place, "\n{before}");
    }
    let id = data_encoding::HEXLOWER.encode(&Sha256::digest(place.as_bytes())[..16]);
    let summary = format!("{cluster}: {} on {} ends", short(&c.path), c.node);
    let about = format!("{}\nsubject {}\nissuer {}\nrenewed by {}\nends {}", c.path, c.subject, c.issuer, c.renewal, utc(c.ends));
    vec![
        "BEGIN:VEVENT".into(),
        format!("UID:{id}@homectl"),
        format!("DTSTAMP:{}", utc(now)),
        format!("DTSTART;VALUE=DATE:{}", day(c.ends)),
        format!("SUMMARY:{}", escaped(&summary)),
        format!("DESCRIPTION:{}", escaped(&about)),
        "TRANSP:TRANSPARENT".into(),
        "BEGIN:VALARM".into(),
        "ACTION:DISPLAY".into(),
        format!("DESCRIPTION:{}", escaped(&summary)),
        "TRIGGER:-P14D".into(),
        "END:VALARM".into(),
        "END:VEVENT".into(),
    ]
}

/// The last part of a path.
fn short(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `20270917T120000Z`.
fn utc(seconds: i64) -> String {
    format_at(seconds, "%Y%m%dT%H%M%SZ")
}

/// `20270917`.
fn day(seconds: i64) -> String {
    format_at(seconds, "%Y%m%d")
}

fn format_at(seconds: i64, form: &str) -> String {
    // An end past the year 9999 is as good as that year's.
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(jiff::tz::TimeZone::UTC).strftime(form).to_string()
}

/// As a TEXT value; control characters of strangers are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// A content line, folded between characters.
fn fold(text: &mut String, line: &str) {
    let mut width = 0;
    for c in line.chars() {
        if width + c.len_utf8() > WIDTH {
            text.push_str("\r\n ");
            width = 1;
        }
        let _ = write!(text, "{c}");
        width += c.len_utf8();
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::certificates::tests::left;
    use super::*;
    use crate::report::Renewal;
    use icalendar::parser::{read_calendar, unfold};
    use icalendar::{Calendar, CalendarComponent, Component as _, DatePerhapsTime};

    const NOW: i64 = 1_795_219_200;

    #[test]
    fn what_is_written_is_what_others_read() {
        let mut odd = left(12, Renewal::Nobody("it was; twice, \\ broken".into()));
        odd.node = "außenstelle".repeat(9);
        odd.subject = "CN=x\u{1b}[2J\r\nEND:VCALENDAR".into();
        let text = calendar("home", &[left(300, Renewal::Timer), odd.clone()], NOW);
        assert!(text.split_inclusive("\r\n").all(|line| line.ends_with("\r\n") && line.len() <= WIDTH + 2), "{text}");
        assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\u{1b}']));

        let unfolded = unfold(&text);
        let read = Calendar::from(read_calendar(&unfolded).unwrap());
        assert_eq!(read.property_value("VERSION"), Some("2.0"));
        let events: Vec<_> = read.components.iter().filter_map(CalendarComponent::as_event).collect();
        assert_eq!((events.len(), read.components.len()), (2, 2));
        assert_eq!(events[0].get_summary(), Some("home: apiserver.crt on attic ends"));
        let Some(DatePerhapsTime::Date(day)) = events[0].get_start() else { panic!("a day: {text}") };
        assert_eq!(day.to_string(), "2027-09-17");
        assert_eq!(events[0].property_value("DTSTAMP"), Some("20261121T000000Z"));
        assert_eq!(events[1].get_summary(), Some(format!("home: apiserver.crt on {} ends", odd.node).as_str()));
        let about = events[1].get_description().unwrap();
        assert!(about.contains("renewed by nobody: it was; twice, \\ broken") && about.contains("ends 20261203T120000Z"), "{about}");
        assert_ne!(events[0].get_uid(), events[1].get_uid());
    }

    #[test]
    fn two_authorities_of_one_name_in_one_file_are_two_events() {
        let ids = |all: &[i64]| {
            let all: Vec<Certificate> = all.iter().map(|days| left(*days, Renewal::Timer)).collect();
            let text = calendar("home", &all, NOW);
            text.lines().filter(|l| l.starts_with("UID:")).map(str::to_owned).collect::<Vec<_>>()
        };
        let both = ids(&[20, 3650]);
        assert_ne!(both[0], both[1]);
        assert_eq!(ids(&[3650]), both[..1], "the one that stays takes the place of the one that went");
    }

    #[test]
    fn an_event_moves_when_its_certificate_is_renewed() {
        let id = |days| {
            let text = calendar("home", &[left(days, Renewal::Timer)], NOW);
            text.lines().find(|l| l.starts_with("UID:")).unwrap().to_owned()
        };
        assert_eq!(id(20), id(300));
    }
}
