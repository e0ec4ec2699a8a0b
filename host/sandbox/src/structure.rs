//! Refuses a component whose structure alone would cost the host too much, before any compiler sees it.
//!
//! A few kilobytes can keep a compiler busy for a minute: a thousand parameters, half a million functions, blocks
//! within blocks. Here the component is read once, its parts are counted against ceilings, and it is validated with
//! exactly the features that the engine runs, so that the time is that of reading and the memory is bounded. What
//! is below every ceiling and still dear to compile is the compiler's own limits' concern.

mod ceilings;
mod declarations;
mod flow;
mod scope;

use wasmparser::{
    BinaryReaderError, CompositeInnerType, CoreType, ElementItems, Encoding, FuncToValidate,
    FuncValidatorAllocations, FunctionBody, ModuleTypeDeclaration, Parser, Payload, RecGroup, ValidPayload,
    Validator, ValidatorResources, WasmFeatures,
};

use crate::component::Refused;
pub use ceilings::Excess;
use ceilings::Tally;
use flow::Flow;
use scope::Scopes;

/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;

/// Checks the structure of a component. `most_memory` is what any memory of this host may hold, in bytes; the answer is
/// what the largest one has from the start.
pub(crate) fn check(wasm: &[u8], features: WasmFeatures, most_memory: u64) -> Result<u64, Refused> {
    walk(wasm, features, most_memory, Scopes::default())
}

/// The same for a module of which a component is to be made.
pub(crate) fn check_module(wasm: &[u8], features: WasmFeatures, most_memory: u64) -> Result<u64, Refused> {
    walk(wasm, features, most_memory, Scopes::around_module())
}

fn walk(wasm: &[u8], features: WasmFeatures, most_memory: u64, scopes: Scopes) -> Result<u64, Refused> {
    let mut walk = Walk {
        wasm,
        features,
        most_pages: most_memory / PAGE_BYTES,
        largest_memory: 0,
        tally: Tally::default(),
        scopes,
        validator: Validator::new_with_features(features),
        allocations: FuncValidatorAllocations::default(),
    };
    let mut parser = Parser::new(0);
    parser.set_features(features);
    for payload in parser.parse_all(wasm) {
        walk.visit(&payload.map_err(broken)?)?;
    }
    Ok(walk.largest_memory.saturating_mul(PAGE_BYTES))
}

fn broken(error: BinaryReaderError) -> Refused {
    Refused::Broken(error.to_string())
}

struct Walk<'a> {
    wasm: &'a [u8],
    features: WasmFeatures,
    most_pages: u64,
    /// In pages.
    largest_memory: u64,
    tally: Tally,
    scopes: Scopes,
    validator: Validator,
    allocations: FuncValidatorAllocations,
}

impl<'a> Walk<'a> {
    /// Counts first and validates afterwards: the validator keeps what it has seen, and has ceilings of its own
    /// that are far too high for a host.
    fn visit(&mut self, payload: &Payload<'a>) -> Result<(), Refused> {
        self.count_module(payload)?;
        self.count_component(payload)?;
        match self.validator.payload(payload).map_err(broken)? {
            ValidPayload::Func(function, body) => self.function(function, &body),
            ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => Ok(()),
        }
    }

    fn count_module(&mut self, payload: &Payload<'a>) -> Result<(), Refused> {
        let tally = &mut self.tally;
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    count_group(tally, &group.map_err(broken)?)?;
                }
            }
            Payload::ImportSection(section) => tally.imports(section.count())?,
            Payload::FunctionSection(section) => tally.functions(section.count())?,
            Payload::TableSection(section) => {
                self.scopes.add_tables(section.count());
                for table in section.clone() {
                    tally.table(table.map_err(broken)?.ty.initial)?;
                }
            }
            Payload::MemorySection(section) => {
                self.scopes.add_memories(section.count());
                for memory in section.clone() {
                    let pages = memory.map_err(broken)?.initial;
                    tally.memory(pages, self.most_pages)?;
                    self.largest_memory = self.largest_memory.max(pages);
                }
            }
            Payload::GlobalSection(section) => tally.globals(section.count())?,
            Payload::ExportSection(section) => tally.exports(section.count())?,
            Payload::ElementSection(section) => {
                tally.element_segments(section.count())?;
                for element in section.clone() {
                    tally.elements(match element.map_err(broken)?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    })?;
                }
            }
            Payload::DataSection(section) => tally.data_segments(section.count())?,
            _ => {}
        }
        Ok(())
    }

    fn count_component(&mut self, payload: &Payload<'a>) -> Result<(), Refused> {
        let tally = &mut self.tally;
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.scopes.open_module()?;
                tally.open_module();
            }
            Payload::Version { encoding: Encoding::Component, .. } => self.scopes.open_component(tally)?,
            Payload::End(_) => {
                self.scopes.close();
                tally.close_module();
            }
            Payload::CoreTypeSection(section) => {
                for ty in section.clone() {
                    match ty.map_err(broken)? {
                        CoreType::Rec(group) => count_group(tally, &group)?,
                        CoreType::Module(declarations) => {
                            for declaration in declarations {
                                match declaration {
                                    ModuleTypeDeclaration::Type(group) => count_group(tally, &group)?,
                                    _ => tally.types(1)?,
                                }
                            }
                        }
                    }
                }
            }
            Payload::ComponentTypeSection(section) => {
                // The parser's own reader calls itself for a type within a type, as deep as the bytes say.
                let range = section.original_position()..section.range().end;
                let bytes = self.wasm.get(range.clone()).unwrap_or_default();
                declarations::check(bytes, range.start, section.count(), self.features, tally)?;
            }
            Payload::ComponentCanonicalSection(section) => self.scopes.add_canonicals(section.count())?,
            Payload::InstanceSection(section) => {
                self.scopes.add_parts(section.count())?;
                for instance in section.clone() {
                    self.scopes.instantiate_module(&instance.map_err(broken)?)?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                self.scopes.add_parts(section.count())?;
                for instance in section.clone() {
                    self.scopes.instantiate_component(&instance.map_err(broken)?)?;
                }
            }
            Payload::ComponentAliasSection(section) => {
                tally.aliases(section.count())?;
                self.scopes.add_parts(section.count())?;
                for alias in section.clone() {
                    self.scopes.alias(&alias.map_err(broken)?)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                tally.imports(section.count())?;
                self.scopes.add_parts(section.count())?;
                for import in section.clone() {
                    self.scopes.import(import.map_err(broken)?.ty.kind())?;
                }
            }
            Payload::ComponentExportSection(section) => {
                tally.exports(section.count())?;
                self.scopes.add_parts(section.count())?;
                for export in section.clone() {
                    let export = export.map_err(broken)?;
                    self.scopes.export(export.kind, export.index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'a>,
    ) -> Result<(), Refused> {
        self.tally.open_function(function.index);
        self.tally.body(body.range().len())?;
        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(broken)?;
        reader.set_features(self.features);
        let locals = validator.len_locals();
        self.tally.locals(locals)?;
        let mut flow = Flow::default();
        while !reader.eof() {
            flow.look(&reader).map_err(broken)?;
            self.tally.flow(&flow, locals)?;
            let visited = reader.visit_operator(&mut validator.visitor(reader.original_position()));
            visited.and_then(|valid| valid).map_err(broken)?;
        }
        reader.finish_expression(&validator.visitor(reader.original_position())).map_err(broken)?;
        self.allocations = validator.into_allocations();
        self.tally.close_function();
        Ok(())
    }
}

fn count_group(tally: &mut Tally, group: &RecGroup) -> Result<(), Refused> {
    for ty in group.types() {
        tally.types(1)?;
        if let CompositeInnerType::Func(function) = &ty.composite_type.inner {
            tally.signature(function.params().len(), function.results().len())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
