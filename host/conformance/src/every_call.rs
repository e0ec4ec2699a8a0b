//! A guest that calls any one function of the host's with numbers that are hard to bear.
//!
//! It is written from the signatures, so that a function that plugins may import tomorrow is called as well. What a
//! function needs to get as far as its numbers, such as a stream or a place for its answer, is as it should be.

use wit_parser::abi::{AbiVariant, FlatTypes, WasmType};
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, World, WorldItem};

use crate::component::{BuildError, attackers_world};
use crate::program::{Program, SPACE};
use crate::{Guest, imports};

/// The numbers, by the type that they are passed as.
const NUMBERS: [[&str; 3]; 6] = [
    ["0", "0", "0"],
    ["1", "1", "1"],
    ["-1", "-1", "-1"],
    ["0x7fffffff", "0x7fffffffffffffff", "nan"],
    ["0x80000000", "0x8000000000000000", "inf"],
    ["0x0000ffff", "0x00000000ffffffff", "-inf"],
];

/// A guest and the inputs that make it call something.
#[derive(Debug)]
pub struct EveryCall {
    /// The program.
    pub guest: Guest,
    /// Each call: its name, and the input that makes the guest do it.
    pub calls: Vec<(String, Vec<u8>)>,
}

/// The guest that calls every function.
///
/// # Errors
/// The signatures are not well-formed.
pub fn every_call() -> Result<EveryCall, BuildError> {
    let (resolve, world) = attackers_world()?;
    let functions = functions(&resolve, &resolve.worlds[world]);
    let (mut declared, mut cases, mut calls) = (imports::HANDLES.to_owned(), String::new(), Vec::new());
    for (n, (interface, function)) in functions.iter().enumerate() {
        declared += &declaration(&resolve, interface, function, n);
        for (numbers, set) in NUMBERS.iter().enumerate() {
            let case = calls.len();
            cases += &format!(
                "(if (i32.eq (local.get $n) (i32.const {case})) (then {}))\n",
                call(&resolve, function, n, set)
            );
            let input = u16::try_from(case).unwrap_or(u16::MAX).to_le_bytes().to_vec();
            calls.push((format!("{interface} {} with {}", function.name, NUMBERS[numbers][1]), input));
        }
    }
    let body = format!("(local.set $n (i32.load16_u (local.get $in))) {cases}");
    let guest = Program { imports: &declared, pages: 4, body: &body, ..Program::default() }.guest();
    Ok(EveryCall { guest, calls })
}

fn functions<'a>(resolve: &'a Resolve, world: &World) -> Vec<(String, &'a Function)> {
    let interfaces = world.imports.iter().filter_map(|(key, item)| match item {
        WorldItem::Interface { id, .. } => Some((resolve.name_world_key(key), *id)),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    });
    interfaces
        .flat_map(|(name, id)| resolve.interfaces[id].functions.values().map(move |f| (name.clone(), f)))
        .collect()
}

fn declaration(resolve: &Resolve, interface: &str, function: &Function, n: usize) -> String {
    let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
    let list = |types: &[WasmType]| types.iter().map(|ty| name(*ty)).collect::<Vec<_>>().join(" ");
    let (parameters, results) = (list(&signature.params), list(&signature.results));
    let function = &function.name;
    format!("(import \"{interface}\" \"{function}\" (func $f{n} (param {parameters}) (result {results})))\n")
}

/// The call, with one set of numbers wherever the function takes a number.
fn call(resolve: &Resolve, function: &Function, n: usize, set: &[&str; 3]) -> String {
    let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
    let mut arguments = Vec::new();
    if !signature.indirect_params {
        for parameter in &function.params {
            arguments.extend(argument(resolve, &parameter.ty, set));
        }
    }
    // What is left is where parameters lie that are too many, and where the answer is to be written.
    while arguments.len() < signature.params.len() {
        arguments.push(format!("(i32.const {SPACE})"));
    }
    let drops = "(drop)".repeat(signature.results.len());
    format!("{} (call $f{n}) {drops}", arguments.concat())
}

fn argument(resolve: &Resolve, ty: &Type, set: &[&str; 3]) -> Vec<String> {
    if let Some(resource) = resource(resolve, ty) {
        return vec![handle(resource)];
    }
    if is_text_or_list(resolve, ty) {
        return vec![format!("(i32.const {SPACE})"), "(i32.const 0)".to_owned()];
    }
    let mut storage = [WasmType::I32; Resolve::MAX_FLAT_PARAMS];
    let mut flat = FlatTypes::new(&mut storage);
    resolve.push_flat(ty, &mut flat);
    flat.to_vec().into_iter().map(|ty| format!("({}.const {})", name(ty), set[number_of(ty)])).collect()
}

fn number_of(ty: WasmType) -> usize {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => 1,
        WasmType::F32 | WasmType::F64 => 2,
        WasmType::I32 | WasmType::Pointer | WasmType::Length => 0,
    }
}

fn name(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

fn resource<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a str> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => resolve.types[*id].name.as_deref(),
        TypeDefKind::Type(other) => resource(resolve, other),
        _ => None,
    }
}

fn is_text_or_list(resolve: &Resolve, ty: &Type) -> bool {
    match ty {
        Type::String => true,
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::List(_) => true,
            TypeDefKind::Type(other) => is_text_or_list(resolve, other),
            _ => false,
        },
        _ => false,
    }
}

/// A handle of this resource, where a guest without grants can get one.
fn handle(resource: &str) -> String {
    match resource {
        "output-stream" => "(call $stdout)".to_owned(),
        "input-stream" => "(call $stdin)".to_owned(),
        "pollable" => "(call $timer (i64.const 0))".to_owned(),
        "network" => "(call $network)".to_owned(),
        "tcp-socket" => socket("tcp"),
        "udp-socket" => socket("udp"),
        "fields" => "(call $fields)".to_owned(),
        "outgoing-request" => "(call $request (call $fields))".to_owned(),
        "outgoing-response" => "(call $response (call $fields))".to_owned(),
        "request-options" => "(call $options)".to_owned(),
        _ => "(i32.const 1)".to_owned(),
    }
}

fn socket(kind: &str) -> String {
    format!(
        "(block (result i32) (call ${kind} (i32.const 0) (i32.const {SPACE})) (i32.load (i32.const {})))",
        SPACE + 4
    )
}
