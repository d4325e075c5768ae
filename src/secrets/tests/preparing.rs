//! What verbs do first.

use super::*;

fn with_identity(place: &Place) -> PathBuf {
    create_identity(&place.dir.path().join("id.txt")).unwrap().path
}

#[test]
fn made_once_then_kept() {
    let place = Place::new();
    let id = with_identity(&place);
    let first = prepare(&place.file(), &cluster(), Some(&id), NOW).unwrap();
    assert!(first.made && first.changes.is_empty() && first.warnings.is_empty());
    let bytes = fs::read(place.file()).unwrap();
    let second = prepare(&place.file(), &cluster(), Some(&id), NOW + DAY).unwrap();
    assert!(!second.made && second.changes.is_empty());
    assert_eq!(second.secrets, first.secrets);
    assert_eq!(fs::read(place.file()).unwrap(), bytes);

    let mut grown = cluster();
    grown.nodes.push(node(3, "garage", Role::Worker));
    let third = prepare(&place.file(), &grown, Some(&id), NOW).unwrap();
    assert_eq!(third.changes, ["garage/wireguard: made", "garage/kubelet: made"]);
    assert_eq!(prepare(&place.file(), &grown, Some(&id), NOW).unwrap().secrets, third.secrets);
}

#[test]
fn lost_secrets_of_a_living_cluster_are_not_made_anew() {
    let place = Place::new();
    let id = with_identity(&place);
    let mut living = cluster();
    living.etcd_cluster_id = Some("0123456789abcdef".into());
    let failure = prepare(&place.file(), &living, Some(&id), NOW).unwrap_err();
    assert_eq!(failure.exit_code(), exit::REFUSED);
    assert!(!place.file().exists());
}

#[test]
fn an_authority_that_has_ended_keeps_nobody_from_looking() {
    let place = Place::new();
    let id = with_identity(&place);
    let first = prepare(&place.file(), &cluster(), Some(&id), NOW).unwrap();
    let late = NOW + 3651 * DAY;
    let refusal = prepare(&place.file(), &cluster(), Some(&id), late).unwrap_err();
    assert!(refusal.remedy().unwrap().contains("homectl certs rescue"), "{refusal}");
    let as_is = prepare_as_is(&place.file(), &cluster(), Some(&id), late).unwrap();
    assert_eq!(as_is.secrets, first.secrets);
    assert_eq!(as_is.warnings.len(), 3, "{:?}", as_is.warnings);
    assert!(matches!(prepare_to_look(&place.file(), &cluster(), Some(&id), late), Ok(ToLook::Open(_))));
    // Where none has, it makes what is missing, as ever.
    let early = prepare_as_is(&place.file(), &cluster(), Some(&id), NOW + 300 * DAY).unwrap();
    assert!(!early.changes.is_empty());
}
