//! Nothing that is written into an inventory reaches a shell, a template, a unit file, YAML or nftables as anything but
//! itself: what could be more than a word is refused where it is read. For every field that takes a text.

#![expect(clippy::expect_used, reason = "a test ends at the first surprise")]

use homectl::inventory;
use proptest::prelude::*;

/// Every text that an inventory takes and that travels to machines; `@` stands for it, quoted.
const FIELDS: [(&str, &str); 19] = [
    ("cluster name", "[cluster]\nname = @\nkubernetes = \"1.36.3\"\n"),
    ("kubernetes", "[cluster]\nname = \"home\"\nkubernetes = @\n"),
    ("domain", "[network]\ndomain = @\n"),
    ("overlay", "[network]\noverlay = @\n"),
    ("api name", "[api]\nnames = [@]\n"),
    ("user", "[ssh]\nuser = @\n"),
    ("jump", "[ssh]\njump = @\n"),
    ("mirror", "[artifacts]\nmirror = @\n"),
    ("registry", "[registries.@]\nmirrors = [\"http://nas.lan:5000\"]\n"),
    ("registry's mirror", "[registries.\"docker.io\"]\nmirrors = [@]\n"),
    ("node name", "[[node]]\nname = @\naddress = \"192.168.1.3\"\n"),
    ("address", "[[node]]\nname = \"barn\"\naddress = @\n"),
    ("site", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\nsite = @\n"),
    ("endpoint", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\nendpoint = @\n"),
    ("host key", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\nhost-key = @\n"),
    ("label", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\nlabels = { @ = \"x\" }\n"),
    ("label's value", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\nlabels = { \"example.net/x\" = @ }\n"),
    ("taint", "[[node]]\nname = \"barn\"\naddress = \"192.168.1.3\"\ntaints = [@]\n"),
    ("add-on", "[[addon]]\nname = @\nmanifests = [\"*.yaml\"]\n"),
];

/// What a word may consist of, in any of these languages.
fn is_word(text: &str) -> bool {
    !text.starts_with('-') && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:[]+/=@".contains(c))
}

fn is_accepted(template: &str, value: &str) -> bool {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("all.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\n").expect("written");
    let file = home.path().join("inventory.toml");
    let mut text = template.replace('@', &toml::Value::String(value.to_owned()).to_string());
    if !template.starts_with("[cluster]") {
        text = format!("[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n{text}");
    }
    text += "[[node]]\nname = \"attic\"\naddress = \"192.168.1.2\"\nrole = \"control-plane\"\n";
    std::fs::write(&file, text).expect("written");
    inventory::inspect(&file).expect("it can be read").is_ok()
}

/// Pieces that mean something to somebody.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "$(touch x)",
        "`id`",
        ";",
        "\"",
        "'",
        "\n",
        "\r",
        "{{ 7 }}",
        "{% x %}",
        "%n",
        "\nExecStart=/bin/x",
        " ",
        "#",
        "-",
        "--x",
        "*",
        "?",
        "~",
        "&",
        "|",
        "<",
        ">",
        "\\",
        "!",
        "$HOME",
        "\t",
        "\u{0}",
        "\u{1b}[2J",
        "../",
        "é",
        "a",
        "attic",
        "0",
        ".",
        "/",
        ":",
        "{",
        "}",
        ",",
        "=",
        "@",
        "http://nas.lan",
        "SHA256:",
        "192.168.1.9",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 1..5).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_more_than_a_word_is_refused((name, template) in proptest::sample::select(FIELDS.to_vec()), value in hostile()) {
        if !is_word(&value) {
            prop_assert!(!is_accepted(template, &value), "{name} = {value:?} was accepted");
        }
    }
}

#[test]
fn each_field_takes_a_word() {
    let good = |name: &str| match name {
        "kubernetes" => "1.36.3",
        "overlay" => "10.66.0.0/24",
        "api name" | "domain" => "k8s.home.lan",
        "jump" => "me@bastion:22",
        "mirror" | "registry's mirror" => "http://nas.lan:5000",
        "registry" => "quay.io",
        "endpoint" => "cabin.example.net:51820",
        "host key" => "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "label" => "example.net/y",
        "taint" => "example.net/slow=yes:NoSchedule",
        _ => "word",
    };
    for (name, template) in FIELDS {
        assert!(is_accepted(template, good(name)), "{name}: the template itself is refused");
    }
}
