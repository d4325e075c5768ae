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
