//! Where the picture and the parameters stand: the payload is the picture and the task headers hold the parameters,
//! or, for publishers that cannot send bytes, the payload is a JSON envelope that holds both.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use saggar_plugin::{Error, FromInput, Json, OrFail, context};
use serde::Deserialize;

use crate::parameters::{BAD_PARAMETER, Given, NAMES, Parameters};

const PREFIX: &str = "Thumbnail-";

pub struct Request {
    pub image: Vec<u8>,
    pub parameters: Parameters,
}

impl Request {
    pub fn read(payload: Vec<u8>) -> Result<Self, Error> {
        if payload_is_json() {
            Json::<Envelope>::from_input(payload)?.0.open()
        } else {
            refuse_unknown_headers()?;
            Ok(Self { image: payload, parameters: Parameters::read(header)? })
        }
    }
}

/// `{"image": "<base64>", "width": 64, …}`. A misspelt member is an error rather than a thumbnail of the wrong size.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    image: String,
    width: Option<Scalar>,
    height: Option<Scalar>,
    fit: Option<Scalar>,
    format: Option<Scalar>,
    quality: Option<Scalar>,
}

/// Numbers may be written as text, as in a header.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(f64),
    Text(String),
}

impl Envelope {
    fn open(self) -> Result<Request, Error> {
        let image = BASE64_STANDARD
            .decode(&self.image)
            .or_reject("the member `image` is not base64")
            .map_err(|error| error.code("bad-input"))?;
        Ok(Request { image, parameters: Parameters::read(|name| self.member(name))? })
    }

    fn member(&self, name: &str) -> Option<Given> {
        let value = match name {
            "width" => &self.width,
            "height" => &self.height,
            "fit" => &self.fit,
            "format" => &self.format,
            _ => &self.quality,
        };
        let text = match value.as_ref()? {
            Scalar::Number(number) => number.to_string(),
            Scalar::Text(text) => text.clone(),
        };
        Some(Given { name: format!("the member `{name}`"), text })
    }
}

fn header(name: &str) -> Option<Given> {
    let (initial, rest) = name.split_at(1);
    let header = format!("{PREFIX}{}{rest}", initial.to_uppercase());
    let text = context::header(&header)?;
    Some(Given { name: format!("the header `{header}`"), text })
}

/// Like a misspelt member.
fn refuse_unknown_headers() -> Result<(), Error> {
    for (name, _) in context::headers() {
        let own = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX));
        let known = |rest: &str| NAMES.iter().any(|known| known.eq_ignore_ascii_case(rest));
        if own.is_some() && !known(&name[PREFIX.len()..]) {
            let reason = format!(
                "the header `{name}` is not known; there are `Thumbnail-Width`, `Thumbnail-Height`, \
                 `Thumbnail-Fit`, `Thumbnail-Format` and `Thumbnail-Quality`"
            );
            return Err(Error::reject(reason).code(BAD_PARAMETER));
        }
    }
    Ok(())
}

fn payload_is_json() -> bool {
    let content_type = context::content_type().unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}
