//! A manifest, and which layer of it is the component.

use saggar_model::{Digest, escape_and_cut};
use serde::Deserialize;

/// The kind of manifest that is asked for and understood.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What Wasm artifacts have for a configuration.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// What a component is as a layer. Compressed ones have another kind, and are not taken.
const LAYER: &str = "application/wasm";

/// Why a manifest is not one of a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("the manifest cannot be read: {0}")]
    Unreadable(String),
    /// It is something else: an index of several artifacts, say, or a container image.
    #[error("{what} is `{found}`, and `{wanted}` is wanted: the artifact is no Wasm component")]
    Kind {
        /// The manifest, its configuration or its layer.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        wanted: &'static str,
    },
    /// A component is one layer.
    #[error("the artifact has {0} layers, and a component is one")]
    Layers(usize),
    /// The manifest names itself as its layer, or its configuration.
    #[error("the artifact's layer {0} is not a component of its own, but its manifest or its configuration")]
    NotALayer(Digest),
}

/// The layer that is the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Finds the component of an artifact in its manifest, which has this digest and was served as this kind.
pub(crate) fn component(manifest: &[u8], digest: &Digest, served_as: &str) -> Result<Layer, ManifestError> {
    let kind = |what, found: &str, wanted| {
        // Media types are compared as they are written; a server that spells them otherwise is not what it says.
        (found == wanted).then_some(()).ok_or_else(|| ManifestError::Kind {
            what,
            found: escape_and_cut(found, 128),
            wanted,
        })
    };
    kind("the manifest", served_as.split(';').next().unwrap_or_default().trim(), MANIFEST)?;
    let unreadable = |error: String| ManifestError::Unreadable(escape_and_cut(&error, 256));
    let read: Manifest = serde_json::from_slice(manifest).map_err(|error| unreadable(error.to_string()))?;
    if read.schema_version != 2 {
        return Err(unreadable(format!("its schema has version {}", read.schema_version)));
    }
    kind("the manifest", read.media_type.as_deref().unwrap_or(MANIFEST), MANIFEST)?;
    kind("the configuration", &read.config.media_type, CONFIG)?;
    let [layer] = &read.layers[..] else { return Err(ManifestError::Layers(read.layers.len())) };
    kind("the layer", &layer.media_type, LAYER)?;
    let named: Digest = layer.digest.parse().map_err(|error| unreadable(format!("{error}")))?;
    if named == *digest || layer.digest == read.config.digest {
        return Err(ManifestError::NotALayer(named));
    }
    Ok(Layer { digest: named, size: layer.size })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn honest() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": Digest::of(b"config"), "size": 6 },
            "layers": [{ "mediaType": LAYER, "digest": Digest::of(b"wasm"), "size": 4 }],
            "annotations": { "org.opencontainers.image.title": "thumbnail" },
        })
    }

    fn read(manifest: &Value) -> Result<Layer, ManifestError> {
        let bytes = manifest.to_string();
        component(bytes.as_bytes(), &Digest::of(bytes.as_bytes()), MANIFEST)
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut manifest = honest();
        *manifest.pointer_mut(pointer).unwrap() = value;
        manifest
    }

    #[test]
    fn the_one_layer_is_the_component() {
        assert_eq!(read(&honest()), Ok(Layer { digest: Digest::of(b"wasm"), size: 4 }));
        let mut without = honest();
        without.as_object_mut().unwrap().remove("mediaType");
        assert!(read(&without).is_ok(), "the field is optional");
    }

    #[test]
    fn attack_50_other_kinds_and_spellings_are_no_component() {
        let layer = honest()["layers"][0].clone();
        let digest = Digest::of(b"wasm").to_string();
        let bad = [
            with("/schemaVersion", json!(1)),
            with("/mediaType", json!("application/vnd.oci.image.index.v1+json")),
            with("/config/mediaType", json!("application/vnd.oci.image.config.v1+json")),
            with("/layers", json!([])),
            with("/layers", json!([layer, layer])),
            with("/layers/0/mediaType", json!("application/wasm+gzip")),
            with("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar+gzip")),
            with("/layers/0/mediaType", json!("Application/Wasm")),
            with("/layers/0/digest", json!(digest.to_uppercase())),
            with("/layers/0/digest", json!(&digest[..70])),
            with("/layers/0/digest", json!(digest.replace("sha256", "sha512"))),
            with("/layers/0/digest", json!(format!("{digest}/../../x"))),
            with("/layers/0/digest", json!(Digest::of(b"config"))),
            with("/layers/0/size", json!(-1)),
            with("/layers/0/size", json!(4.5)),
            json!({ "schemaVersion": 2, "manifests": [] }),
        ];
        for manifest in bad {
            assert!(read(&manifest).is_err(), "{manifest}");
        }
        let bytes = honest().to_string();
        let other = component(bytes.as_bytes(), &Digest::of(b"x"), "application/json").unwrap_err();
        assert!(other.to_string().contains("application/json"));
    }

    #[test]
    fn attack_50_a_manifest_is_not_taken_for_its_layer() {
        let bytes = honest().to_string();
        let refused = component(bytes.as_bytes(), &Digest::of(b"wasm"), MANIFEST);
        assert_eq!(refused, Err(ManifestError::NotALayer(Digest::of(b"wasm"))));
    }

    #[test]
    fn attack_51_json_without_end_is_no_manifest() {
        let twice = r#"{"schemaVersion":2,"schemaVersion":2}"#.to_owned();
        for text in ["[".repeat(60_000), "{\"a\":".repeat(10_000), String::new(), "null".to_owned(), twice] {
            assert!(matches!(
                component(text.as_bytes(), &Digest::of(b"x"), MANIFEST),
                Err(ManifestError::Unreadable(_))
            ));
        }
    }
}
