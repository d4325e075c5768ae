//! From YAML documents to objects of an add-on: lists opened, mistakes found, namespaces and labels put in.

use super::label::{ADDON, HOMECTL, MANAGED_BY};
use super::yaml::{Document, documents};
use crate::error::{Failure, Result, exit};
use crate::kube::Resource;
use crate::want::Object;
use data_encoding::BASE64;
use serde_json::{Map, Value};

/// Fields that only the server writes; people export manifests with them.
const SERVERS: [&str; 6] = ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"];

/// Objects of a catalogue add-on: our own YAML, so a mistake in it is a bug.
pub(super) fn catalogue(addon: &str, yaml: &str) -> Result<Vec<Object>> {
    let read = || -> Result<Vec<Object>> {
        let docs = documents(addon, yaml)?;
        docs.iter().map(|d| object(addon, addon, d, &[])).collect::<Result<Vec<Vec<_>>>>().map(|v| v.concat())
    };
    read().map_err(|e| Failure::bug(format!("the catalogue's {addon} does not render to objects")).seen(e.to_string()))
}

/// Objects of one file of the user's. `custom` are the custom resources that any add-on defines.
///
/// # Errors
/// Names file, document and line of what is wrong.
pub(super) fn file(addon: &str, file: &str, docs: &[Document], custom: &[Resource]) -> Result<Vec<Object>> {
    docs.iter().map(|d| object(addon, file, d, custom)).collect::<Result<Vec<Vec<_>>>>().map(|v| v.concat())
}

/// One document: an object, or a list of them.
fn object(addon: &str, file: &str, doc: &Document, custom: &[Resource]) -> Result<Vec<Object>> {
    let at = |what: &str| {
        Failure::new(exit::INVENTORY, format!("{file}, document {}, line {}: {what}", doc.index, doc.line))
            .help("an object needs apiVersion, kind and metadata.name")
    };
    let mut all = Vec::new();
    for value in opened(doc.value.clone()) {
        all.push(one(addon, value, custom).map_err(|what| at(&what))?);
    }
    Ok(all)
}

/// The items of a `List` (or a `ConfigMapList` and the like), lists in it opened as well; else the thing itself.
fn opened(mut value: Value) -> Vec<Value> {
    let Some(item_kind) = value["kind"].as_str().and_then(|k| k.strip_suffix("List")).map(str::to_owned) else { return vec![value] };
    let version = value["apiVersion"].clone();
    // A custom kind may be called so and have no items.
    let Some(items) = value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) else { return vec![value] };
    let named = |mut item: Value| {
        if !item_kind.is_empty() && item["kind"].is_null() && item.is_object() {
            item["kind"] = item_kind.clone().into();
            item["apiVersion"] = version.clone();
        }
        item
    };
    items.into_iter().flat_map(|item| opened(named(item))).collect()
}

fn one(addon: &str, value: Value, custom: &[Resource]) -> Result<Object, String> {
    if !value.is_object() {
        return Err("this is no object".into());
    }
    let text = |field: &str, v: &Value| match v {
        Value::String(s) if !s.is_empty() => Ok(s.clone()),
        Value::Null => Err(format!("{field} is missing")),
        other => Err(format!("{field} must be text, not {other}")),
    };
    let (version, kind) = (text("apiVersion", &value["apiVersion"])?, text("kind", &value["kind"])?);
    if value["metadata"]["name"].is_null() && value["metadata"]["generateName"].is_string() {
        return Err(format!("{kind} has metadata.generateName, which cannot be applied twice: give it a name"));
    }
    let name = text("metadata.name", &value["metadata"]["name"]).map_err(|e| format!("{kind}: {e}"))?;
    if value["metadata"]["labels"].as_object().is_none() && !value["metadata"]["labels"].is_null() {
        return Err(format!("{kind} {name}: metadata.labels must be a map"));
    }
    let given = match &value["metadata"]["namespace"] {
        Value::Null => String::new(),
        v => text("metadata.namespace", v)?,
    };
    let known =
        Resource::builtin(&version, &kind).or_else(|| custom.iter().find(|r| r.api_version() == version && r.kind == kind).cloned());
    let namespace = match known {
        Some(r) if !r.namespaced => String::new(),
        Some(_) if given.is_empty() => "default".into(),
        // Of kinds that nobody here defines, the API will say whether they are namespaced.
        _ => given,
    };
    Ok(stamp(addon, &version, &kind, &namespace, &name, value))
}

/// An object of `addon`, in its namespace, with our labels, without what the server writes or a null stands for.
pub(super) fn stamp(addon: &str, version: &str, kind: &str, namespace: &str, name: &str, mut value: Value) -> Object {
    prune_nulls(&mut value);
    if let Value::Object(top) = &mut value {
        top.remove("status");
        let metadata = top.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            for field in SERVERS {
                metadata.remove(field);
            }
            metadata.remove("namespace");
            if !namespace.is_empty() {
                metadata.insert("namespace".into(), namespace.into());
            }
            let labels = metadata.entry("labels").or_insert_with(|| Value::Object(Map::new()));
            labels[MANAGED_BY] = HOMECTL.into();
            labels[ADDON] = addon.into();
        }
        if version == "v1" && kind == "Secret" {
            encode_secret(top);
        }
    }
    Object {
        addon: addon.into(),
        api_version: version.into(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        manifest: value,
        present: true,
        certificate: None,
    }
}

/// `stringData` becomes `data`, as the API server would do, so that both can be compared; line breaks in base64 go.
fn encode_secret(secret: &mut Map<String, Value>) {
    let strings = secret.remove("stringData");
    let mut data = match secret.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    for value in data.values_mut() {
        if let Value::String(s) = value {
            s.retain(|c| !c.is_whitespace());
        }
    }
    for (key, value) in strings.iter().filter_map(Value::as_object).flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        data.insert(key.clone(), BASE64.encode(text.as_bytes()).into());
    }
    if !data.is_empty() {
        secret.insert("data".into(), data.into());
    }
}

/// A null in a manifest means *not set*; server-side apply would take it for a value.
fn prune_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(prune_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(prune_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Object>> {
        file("media", "media/a.yaml", &documents("media/a.yaml", text)?, &[])
    }

    fn addrs(text: &str) -> Vec<String> {
        read(text).unwrap().iter().map(Object::addr).collect()
    }

    #[test]
    fn namespaces_and_lists() {
        let table: [(&str, &[&str]); 6] = [
            ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", &["object:v1:ConfigMap:default/a"]),
            ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: m}\n", &["object:v1:ConfigMap:m/a"]),
            ("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: odd}\n", &["object:v1:Namespace:a"]),
            ("apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: a}\n", &["object:x.io/v1:Thing:a"]),
            (
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: a}}\n- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Secret, metadata: {name: b}}]}\n",
                &["object:v1:Secret:default/a", "object:v1:Secret:default/b"],
            ),
            ("apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}]\n", &["object:v1:ConfigMap:default/a"]),
        ];
        for (text, expected) in table {
            assert_eq!(addrs(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_stamped_and_cleaned() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, uid: x, labels: {app: b}}\nstringData: {k: v}\ndata: {l: \"dg==\\n\"}\nstatus: {}\ntype: ~\n";
        let objects = read(text).unwrap();
        let expected = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "a", "namespace": "default", "labels": {"app": "b", MANAGED_BY: "homectl", ADDON: "media"}},
            "data": {"k": "dg==", "l": "dg=="}});
        assert_eq!(objects[0].manifest, expected);
    }

    #[test]
    fn custom_resources_of_other_files_are_known() {
        let custom =
            [Resource { group: "x.io".into(), version: "v1".into(), kind: "Thing".into(), plural: "things".into(), namespaced: true }];
        let docs = documents("a", "apiVersion: x.io/v1\nkind: Thing\nmetadata: {name: a}\n").unwrap();
        assert_eq!(file("m", "a", &docs, &custom).unwrap()[0].namespace, "default");
    }

    #[test]
    fn mistakes() {
        let table = [
            ("- a\n", "media/a.yaml, document 1, line 1: this is no object"),
            ("# x\n---\nkind: Pod\n", "media/a.yaml, document 2, line 2: apiVersion is missing"),
            ("apiVersion: v1\nkind: Pod\n", "media/a.yaml, document 1, line 1: Pod: metadata.name is missing"),
            (
                "apiVersion: v1\nkind: Pod\nmetadata: {name: 1}\n",
                "media/a.yaml, document 1, line 1: Pod: metadata.name must be text, not 1",
            ),
            (
                "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: x-}\n",
                "media/a.yaml, document 1, line 1: Job has metadata.generateName, which cannot be applied twice: give it a name",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).unwrap_err().what(), expected);
        }
    }
}
