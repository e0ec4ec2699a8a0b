//! Whether a file is what a schema says: as much of JSON Schema as our schemas use, and a panic at anything else.

use regex::Regex;
use serde_json::Value;

/// Words that say nothing about what is taken.
const REMARKS: [&str; 5] = ["$schema", "title", "description", "default", "definitions"];

/// Whether `value` is what `part` of `schema` says.
pub fn is_valid(schema: &Value, part: &Value, value: &Value) -> bool {
    if let Some(pointer) = part["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
        return is_valid(schema, schema.pointer(pointer).expect("it is defined"), value);
    }
    let is = |part: &Value, value: &Value| is_valid(schema, part, value);
    let words = part.as_object().expect("a schema is an object");
    let holds = |(word, said): (&String, &Value)| match word.as_str() {
        "type" => is_of(said.as_str().expect("one type"), value),
        "const" => value == said,
        "enum" => array(said).contains(value),
        "pattern" => {
            value.as_str().is_none_or(|text| Regex::new(said.as_str().unwrap()).unwrap().is_match(text))
        }
        "minimum" => value.as_f64().is_none_or(|number| number >= said.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|number| number <= said.as_f64().unwrap()),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= said.as_u64().unwrap()),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= said.as_u64().unwrap()),
        "uniqueItems" => value
            .as_array()
            .is_none_or(|items| items.iter().enumerate().all(|(place, item)| !items[..place].contains(item))),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| is(said, item))),
        "required" => value
            .as_object()
            .is_none_or(|keys| array(said).iter().all(|key| keys.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|keys| {
            keys.iter().all(|(key, value)| said.get(key).is_none_or(|part| is(part, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|keys| {
            let mut others = keys.iter().filter(|(key, _)| part["properties"].get(key).is_none());
            others.all(|(_, value)| said.as_bool().unwrap_or_else(|| is(said, value)))
        }),
        "propertyNames" => {
            value.as_object().is_none_or(|keys| keys.keys().all(|key| is(said, &Value::from(key.as_str()))))
        }
        "allOf" => array(said).iter().all(|part| is(part, value)),
        "oneOf" => array(said).iter().filter(|part| is(part, value)).count() == 1,
        "not" => !is(said, value),
        word => REMARKS.contains(&word) || panic!("`{word}` is no word that is checked"),
    };
    words.iter().all(holds)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        kind => panic!("`{kind}` is no type that is checked"),
    }
}
