//! Every function of `wasi:http`, charged: for the call, and for the bytes that it brings or takes away.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, ErrorCode, FutureIncomingResponse, FutureTrailers, IncomingBody, IncomingRequest, IncomingResponse,
    IoError, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam,
    Scheme, StatusCode,
};
use wasmtime_wasi_http::p2::{HeaderError, HeaderResult, HttpError, HttpResult};
use wasmtime_wasi_http::{FieldMap, FieldMapError};

use super::streams::{MeteredInput, MeteredOutput};
use crate::state::State;

/// Functions that cost no more than a call.
macro_rules! plain {
    ($trait:ident { $(fn $name:ident($($argument:ident: $type:ty),*) -> $returned:ty;)* }) => {
        impl types::$trait for State {
            $(fn $name(&mut self, $($argument: $type),*) -> $returned {
                types::$trait::$name(&mut self.http(), $($argument),*)
            })*
        }
    };
}

type Trappable<T> = wasmtime::Result<T>;
type Refusable<T> = wasmtime::Result<Result<T, ()>>;

impl outgoing_handler::Host for State {
    fn handle(
        &mut self,
        request: Resource<OutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> HttpResult<Resource<FutureIncomingResponse>> {
        self.charges.request();
        outgoing_handler::Host::handle(&mut self.http(), request, options)
    }
}

plain!(Host {
    fn convert_error_code(error: HttpError) -> Trappable<ErrorCode>;
    fn convert_header_error(error: HeaderError) -> Trappable<types::HeaderError>;
    fn http_error_code(error: Resource<IoError>) -> Trappable<Option<ErrorCode>>;
});

impl types::HostFields for State {
    fn new(&mut self) -> Trappable<Resource<FieldMap>> {
        types::HostFields::new(&mut self.http())
    }

    fn from_list(&mut self, entries: Vec<(String, Vec<u8>)>) -> HeaderResult<Resource<FieldMap>> {
        self.charges.bytes(entries.iter().map(|(name, value)| name.len() + value.len()).sum());
        too_large_is_forbidden(types::HostFields::from_list(&mut self.http(), entries))
    }

    fn get(&mut self, fields: Resource<FieldMap>, name: String) -> Trappable<Vec<Vec<u8>>> {
        let values = types::HostFields::get(&mut self.http(), fields, name)?;
        self.charges.bytes(values.iter().map(Vec::len).sum());
        Ok(values)
    }

    fn has(&mut self, fields: Resource<FieldMap>, name: String) -> Trappable<bool> {
        self.charges.bytes(name.len());
        types::HostFields::has(&mut self.http(), fields, name)
    }

    fn set(&mut self, fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> HeaderResult<()> {
        self.charges.bytes(name.len() + values.iter().map(Vec::len).sum::<usize>());
        too_large_is_forbidden(types::HostFields::set(&mut self.http(), fields, name, values))
    }

    fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> HeaderResult<()> {
        self.charges.bytes(name.len());
        types::HostFields::delete(&mut self.http(), fields, name)
    }

    fn append(&mut self, fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> HeaderResult<()> {
        self.charges.bytes(name.len() + value.len());
        too_large_is_forbidden(types::HostFields::append(&mut self.http(), fields, name, value))
    }

    fn entries(&mut self, fields: Resource<FieldMap>) -> Trappable<Vec<(String, Vec<u8>)>> {
        let entries = types::HostFields::entries(&mut self.http(), fields)?;
        self.charges.bytes(entries.iter().map(|(name, value)| name.len() + value.len()).sum());
        Ok(entries)
    }

    fn clone(&mut self, fields: Resource<FieldMap>) -> Trappable<Resource<FieldMap>> {
        // All that there can be: to clone fields and change one of them copies the rest.
        self.charges.bytes(super::FIELDS_MAX_BYTES);
        types::HostFields::clone(&mut self.http(), fields)
    }

    fn drop(&mut self, fields: Resource<FieldMap>) -> Trappable<()> {
        types::HostFields::drop(&mut self.http(), fields)
    }
}

/// Fields that hold no more are an error that the guest can act on. The interface has no word of its own for it; that a
/// header is not permitted comes closest.
fn too_large_is_forbidden<T>(result: HeaderResult<T>) -> HeaderResult<T> {
    result.map_err(|error| match error.downcast() {
        Ok(typed) => typed.into(),
        Err(trap) => match trap.downcast_ref::<FieldMapError>() {
            Some(FieldMapError::TotalSizeTooBig | FieldMapError::TooManyFields) => {
                types::HeaderError::Forbidden.into()
            }
            _ => HeaderError::trap(trap),
        },
    })
}

plain!(HostIncomingRequest {
    fn method(request: Resource<IncomingRequest>) -> Trappable<Method>;
    fn path_with_query(request: Resource<IncomingRequest>) -> Trappable<Option<String>>;
    fn scheme(request: Resource<IncomingRequest>) -> Trappable<Option<Scheme>>;
    fn authority(request: Resource<IncomingRequest>) -> Trappable<Option<String>>;
    fn headers(request: Resource<IncomingRequest>) -> Trappable<Resource<FieldMap>>;
    fn consume(request: Resource<IncomingRequest>) -> Refusable<Resource<IncomingBody>>;
    fn drop(request: Resource<IncomingRequest>) -> Trappable<()>;
});

/// What a guest may make a part of a URL of. The rest is not looked at: it is refused where it is sent.
const PART_MAX_BYTES: usize = 64 << 10;

impl types::HostOutgoingRequest for State {
    fn new(&mut self, headers: Resource<FieldMap>) -> Trappable<Resource<OutgoingRequest>> {
        types::HostOutgoingRequest::new(&mut self.http(), headers)
    }

    fn body(&mut self, request: Resource<OutgoingRequest>) -> Refusable<Resource<OutgoingBody>> {
        types::HostOutgoingRequest::body(&mut self.http(), request)
    }

    fn method(&mut self, request: Resource<OutgoingRequest>) -> Trappable<Method> {
        types::HostOutgoingRequest::method(&mut self.http(), request)
    }

    fn set_method(&mut self, request: Resource<OutgoingRequest>, method: Method) -> Refusable<()> {
        let length = if let Method::Other(method) = &method { method.len() } else { 0 };
        self.charges.bytes(length);
        if length > PART_MAX_BYTES {
            self.charges.call();
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_method(&mut self.http(), request, method)
    }

    fn path_with_query(&mut self, request: Resource<OutgoingRequest>) -> Trappable<Option<String>> {
        let path = types::HostOutgoingRequest::path_with_query(&mut self.http(), request)?;
        self.charges.bytes(path.as_ref().map_or(0, String::len));
        Ok(path)
    }

    fn set_path_with_query(
        &mut self,
        request: Resource<OutgoingRequest>,
        path: Option<String>,
    ) -> Refusable<()> {
        if self.is_long(path.as_deref()) {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_path_with_query(&mut self.http(), request, path)
    }

    fn scheme(&mut self, request: Resource<OutgoingRequest>) -> Trappable<Option<Scheme>> {
        types::HostOutgoingRequest::scheme(&mut self.http(), request)
    }

    fn set_scheme(&mut self, request: Resource<OutgoingRequest>, scheme: Option<Scheme>) -> Refusable<()> {
        if let Some(Scheme::Other(other)) = &scheme
            && self.is_long(Some(other))
        {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_scheme(&mut self.http(), request, scheme)
    }

    fn authority(&mut self, request: Resource<OutgoingRequest>) -> Trappable<Option<String>> {
        types::HostOutgoingRequest::authority(&mut self.http(), request)
    }

    fn set_authority(
        &mut self,
        request: Resource<OutgoingRequest>,
        authority: Option<String>,
    ) -> Refusable<()> {
        if self.is_long(authority.as_deref()) {
            return Ok(Err(()));
        }
        types::HostOutgoingRequest::set_authority(&mut self.http(), request, authority)
    }

    fn headers(&mut self, request: Resource<OutgoingRequest>) -> Trappable<Resource<FieldMap>> {
        types::HostOutgoingRequest::headers(&mut self.http(), request)
    }

    fn drop(&mut self, request: Resource<OutgoingRequest>) -> Trappable<()> {
        types::HostOutgoingRequest::drop(&mut self.http(), request)
    }
}

impl State {
    /// Charges for a part of a URL, and says whether it is more than is kept. One that is has had its call.
    fn is_long(&mut self, part: Option<&str>) -> bool {
        let length = part.map_or(0, str::len);
        self.charges.bytes(length);
        let is_long = length > PART_MAX_BYTES;
        if is_long {
            self.charges.call();
        }
        is_long
    }
}

plain!(HostRequestOptions {
    fn new() -> Trappable<Resource<RequestOptions>>;
    fn connect_timeout(options: Resource<RequestOptions>) -> Trappable<Option<u64>>;
    fn set_connect_timeout(options: Resource<RequestOptions>, duration: Option<u64>) -> Refusable<()>;
    fn first_byte_timeout(options: Resource<RequestOptions>) -> Trappable<Option<u64>>;
    fn set_first_byte_timeout(options: Resource<RequestOptions>, duration: Option<u64>) -> Refusable<()>;
    fn between_bytes_timeout(options: Resource<RequestOptions>) -> Trappable<Option<u64>>;
    fn set_between_bytes_timeout(options: Resource<RequestOptions>, duration: Option<u64>) -> Refusable<()>;
    fn drop(options: Resource<RequestOptions>) -> Trappable<()>;
});

plain!(HostResponseOutparam {
    fn drop(outparam: Resource<ResponseOutparam>) -> Trappable<()>;
    fn set(
        outparam: Resource<ResponseOutparam>,
        response: Result<Resource<OutgoingResponse>, ErrorCode>
    ) -> Trappable<()>;
    fn send_informational(
        outparam: Resource<ResponseOutparam>,
        status: u16,
        headers: Resource<FieldMap>
    ) -> HttpResult<()>;
});

plain!(HostIncomingResponse {
    fn status(response: Resource<IncomingResponse>) -> Trappable<StatusCode>;
    fn headers(response: Resource<IncomingResponse>) -> Trappable<Resource<FieldMap>>;
    fn consume(response: Resource<IncomingResponse>) -> Refusable<Resource<IncomingBody>>;
    fn drop(response: Resource<IncomingResponse>) -> Trappable<()>;
});

impl types::HostIncomingBody for State {
    fn stream(&mut self, body: Resource<IncomingBody>) -> Refusable<Resource<DynInputStream>> {
        let view = self.http();
        let Some(stream) = view.table.get_mut(&body)?.take_stream() else { return Ok(Err(())) };
        let metered = MeteredInput { inner: Box::new(stream), meter: self.http_meter() };
        Ok(Ok(self.table.push_child(Box::new(metered) as DynInputStream, &body)?))
    }

    fn finish(&mut self, body: Resource<IncomingBody>) -> Trappable<Resource<FutureTrailers>> {
        types::HostIncomingBody::finish(&mut self.http(), body)
    }

    fn drop(&mut self, body: Resource<IncomingBody>) -> Trappable<()> {
        types::HostIncomingBody::drop(&mut self.http(), body)
    }
}

plain!(HostFutureTrailers {
    fn subscribe(trailers: Resource<FutureTrailers>) -> Trappable<Resource<DynPollable>>;
    fn get(
        trailers: Resource<FutureTrailers>
    ) -> Trappable<Option<Result<Result<Option<Resource<FieldMap>>, ErrorCode>, ()>>>;
    fn drop(trailers: Resource<FutureTrailers>) -> Trappable<()>;
});

plain!(HostOutgoingResponse {
    fn new(headers: Resource<FieldMap>) -> Trappable<Resource<OutgoingResponse>>;
    fn status_code(response: Resource<OutgoingResponse>) -> Trappable<StatusCode>;
    fn set_status_code(response: Resource<OutgoingResponse>, status: StatusCode) -> Refusable<()>;
    fn headers(response: Resource<OutgoingResponse>) -> Trappable<Resource<FieldMap>>;
    fn body(response: Resource<OutgoingResponse>) -> Refusable<Resource<OutgoingBody>>;
    fn drop(response: Resource<OutgoingResponse>) -> Trappable<()>;
});

impl types::HostOutgoingBody for State {
    fn write(&mut self, body: Resource<OutgoingBody>) -> Refusable<Resource<DynOutputStream>> {
        let view = self.http();
        let Some(inner) = view.table.get_mut(&body)?.take_output_stream() else { return Ok(Err(())) };
        let metered = MeteredOutput { inner, meter: self.http_meter() };
        Ok(Ok(self.table.push_child(Box::new(metered) as DynOutputStream, &body)?))
    }

    fn finish(
        &mut self,
        body: Resource<OutgoingBody>,
        trailers: Option<Resource<FieldMap>>,
    ) -> HttpResult<()> {
        types::HostOutgoingBody::finish(&mut self.http(), body, trailers)
    }

    fn drop(&mut self, body: Resource<OutgoingBody>) -> Trappable<()> {
        types::HostOutgoingBody::drop(&mut self.http(), body)
    }
}

plain!(HostFutureIncomingResponse {
    fn subscribe(response: Resource<FutureIncomingResponse>) -> Trappable<Resource<DynPollable>>;
    fn get(
        response: Resource<FutureIncomingResponse>
    ) -> Trappable<Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>>;
    fn drop(response: Resource<FutureIncomingResponse>) -> Trappable<()>;
});
