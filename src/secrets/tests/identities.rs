//! Identity files: found, made, refused.

use super::super::identity::Places;
use super::*;

fn places(place: &Place, named: Option<&str>) -> Places {
    Places { named: named.map(|n| place.dir.path().join(n)), default: place.dir.path().join("config/homectl/identity.txt") }
}

#[test]
fn made_once_private_and_said() {
    let place = Place::new();
    let places = places(&place, None);
    assert!(places.find().unwrap().is_none());
    let made = places.find_or_create(&place.file()).unwrap();
    assert!(made.created);
    assert_eq!((mode(&made.path), mode(made.path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&made.path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# created: 20"), "{}", lines[0]);
    assert_eq!(lines[1], format!("# public key: {}", made.identity.recipient()));
    assert!(lines[2].starts_with("AGE-SECRET-KEY-1") && lines.len() == 3);
    let again = places.find_or_create(&place.file()).unwrap();
    assert!(!again.created);
    assert_eq!(again.identity.recipient(), made.identity.recipient());
    // A second run that was as quick takes the first one's.
    let raced = create_identity(&made.path).unwrap();
    assert_eq!((raced.created, raced.identity.recipient()), (false, made.identity.recipient()));
}

#[test]
fn not_made_where_it_could_open_nothing() {
    let place = Place::new();
    place.save(&secrets());
    let places = places(&place, None);
    let failure = places.find_or_create(&place.file()).unwrap_err();
    assert_eq!(failure.exit_code(), exit::INVENTORY);
    assert_eq!(failure.evidence(), [format!("encrypted to {}", place.identity.recipient())]);
    assert!(!places.default.exists());
}

#[test]
fn a_named_one_must_exist() {
    let place = Place::new();
    let failure = places(&place, Some("id.txt")).find_or_create(&place.file()).unwrap_err();
    assert_eq!(failure.exit_code(), exit::USAGE);
    assert!(failure.remedy().unwrap().contains("age-keygen -o"), "{failure}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn the_flag_goes_before_the_environment() {
    let of = |flag: Option<&str>, env: Option<&str>| Places::new(flag.map(Path::new), env.map(Into::into)).unwrap().named;
    assert_eq!(of(Some("a"), Some("b")), Some("a".into()));
    assert_eq!(of(None, Some("b")), Some("b".into()));
    assert_eq!(of(None, Some("")), None);
    assert!(Places::new(None, None).unwrap().default.ends_with("homectl/identity.txt"));
}

#[test]
fn one_that_others_can_read_is_refused() {
    let place = Place::new();
    let made = create_identity(&place.dir.path().join("it's.txt")).unwrap();
    for (bits, fine) in [(0o400, true), (0o600, true), (0o640, false), (0o604, false), (0o610, false)] {
        fs::set_permissions(&made.path, fs::Permissions::from_mode(bits)).unwrap();
        let found = places(&place, Some("it's.txt")).find();
        assert_eq!(found.is_ok(), fine, "{bits:o}");
        if let Err(failure) = found {
            assert!(failure.what().ends_with(&format!("is open to others (mode {bits:04o})")), "{failure}");
            assert_eq!(failure.remedy().unwrap(), format!("chmod 600 '{}'", made.path.display().to_string().replace('\'', r"'\''")));
        }
    }
}

#[test]
fn files_of_other_kinds_are_named_and_never_quoted() {
    let place = Place::new();
    for (text, what) in [
        ("", "holds no age identity"),
        ("# nothing\n", "holds no age identity"),
        ("age-encryption.org/v1\n-> scrypt x 18\n", "is protected by a passphrase, which is not supported yet"),
        ("-----BEGIN AGE ENCRYPTED FILE-----\n", "is protected by a passphrase, which is not supported yet"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "is an SSH or PEM key, not an age identity"),
        ("AGE-PLUGIN-YUBIKEY-1QQQ\n", "needs an age plugin, which is not supported"),
        ("# x\nAGE-SECRET-KEY-1HUNTER2\n", "has no age identity on line 2"),
    ] {
        let path = place.dir.path().join("id.txt");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let failure = places(&place, Some("id.txt")).find().unwrap_err();
        assert!(failure.what().ends_with(what), "{failure}");
        assert!(!failure.to_string().contains("HUNTER2"));
        assert_eq!(failure.exit_code(), exit::INVENTORY);
    }
}

#[test]
fn one_file_may_hold_several() {
    let place = Place::new();
    let (one, two) = (create_identity(&place.dir.path().join("1")).unwrap(), create_identity(&place.dir.path().join("2")).unwrap());
    let both = fs::read_to_string(one.path).unwrap() + "\r\n" + &fs::read_to_string(two.path).unwrap();
    let path = place.dir.path().join("both");
    fs::write(&path, both).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let found = places(&place, Some("both")).find().unwrap().unwrap();
    assert_eq!(found.identity.recipient(), one.identity.recipient());
    let secrets = secrets();
    save(&place.file(), &secrets, &two.identity, &[]).unwrap();
    assert_eq!(open(&place.file(), "home", &found.identity).unwrap(), secrets);
    // The key that opens it is one of ours already: nobody is added.
    assert!(!save(&place.file(), &secrets, &found.identity, &[]).unwrap());
}
