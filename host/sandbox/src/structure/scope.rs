//! What a component would become when it is instantiated, with all that it instantiates itself.
//!
//! Thirty components of which each instantiates the one before it twice are a few hundred bytes, and a billion
//! instances. So each definition carries what one instance of it costs, and the sums are looked at as they grow.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Instance,
};

use super::ceilings::{CANONICALS, PARTS, Tally};
use crate::component::Refused;
use crate::settings::{CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};

/// What one instance costs.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Instances of modules.
    instances: u64,
    memories: u64,
    tables: u64,
    /// Functions that cross the wall: each is code of its own.
    canonicals: u64,
    /// Whatever else the engine looks at once for each instance.
    parts: u64,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
        self.canonicals = self.canonicals.saturating_add(other.canonicals);
        self.parts = self.parts.saturating_add(other.parts);
    }

    fn check(self) -> Result<(), Refused> {
        let whole = Tally::default();
        whole.within(self.instances, "core instances", CORE_INSTANCES_PER_COMPONENT.into())?;
        whole.within(self.memories, "memories", MEMORIES_PER_COMPONENT.into())?;
        whole.within(self.tables, "tables", TABLES_PER_COMPONENT.into())?;
        whole.within(self.canonicals, "functions across the wall", CANONICALS)?;
        whole.within(self.parts, "parts of all instances", PARTS)
    }
}

/// A component that is being read: what it costs so far, and what it has defined, by index.
#[derive(Debug, Default)]
struct Scope {
    load: Load,
    modules: Vec<Load>,
    components: Vec<Load>,
}

/// The components around the place that is being read, and the module if it is in one.
///
/// An index that does not exist counts nothing: the validator refuses it a moment later.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    components: Vec<Scope>,
    module: Option<Load>,
}

impl Scopes {
    /// As if a component had been opened around a module that stands alone.
    pub(super) fn around_module() -> Self {
        Self { components: vec![Scope::default()], module: None }
    }

    pub(super) fn open_component(&mut self, tally: &Tally) -> Result<(), Refused> {
        self.components.push(Scope::default());
        tally.component_depth(self.components.len())
    }

    pub(super) fn open_module(&mut self) -> Result<(), Refused> {
        if self.components.is_empty() {
            return Err(Refused::CoreModule);
        }
        self.module = Some(Load { instances: 1, ..Load::default() });
        Ok(())
    }

    pub(super) fn close(&mut self) {
        if let Some(module) = self.module.take() {
            self.innermost(|scope| scope.modules.push(module));
        } else if let Some(component) = self.components.pop() {
            self.innermost(|scope| scope.components.push(component.load));
        }
    }

    pub(super) fn add_memories(&mut self, more: u32) {
        if let Some(module) = &mut self.module {
            module.memories += u64::from(more);
        }
    }

    pub(super) fn add_tables(&mut self, more: u32) {
        if let Some(module) = &mut self.module {
            module.tables += u64::from(more);
        }
    }

    /// Functions that are lifted or lowered here.
    pub(super) fn add_canonicals(&mut self, more: u32) -> Result<(), Refused> {
        self.grow(Load { canonicals: more.into(), ..Load::default() })
    }

    /// Instances, aliases, imports and exports of the component itself.
    pub(super) fn add_parts(&mut self, more: u32) -> Result<(), Refused> {
        self.grow(Load { parts: more.into(), ..Load::default() })
    }

    pub(super) fn instantiate_module(&mut self, instance: &Instance<'_>) -> Result<(), Refused> {
        match instance {
            Instance::Instantiate { module_index, .. } => {
                let load = self.component(0).map(|scope| &scope.modules);
                self.grow(at(load, *module_index))
            }
            Instance::FromExports(_) => Ok(()),
        }
    }

    pub(super) fn instantiate_component(&mut self, instance: &ComponentInstance<'_>) -> Result<(), Refused> {
        match instance {
            ComponentInstance::Instantiate { component_index, .. } => {
                let load = self.component(0).map(|scope| &scope.components);
                self.grow(at(load, *component_index))
            }
            ComponentInstance::FromExports(_) => Ok(()),
        }
    }

    pub(super) fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), Refused> {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                let load = at(self.component(*count).map(|scope| &scope.modules), *index);
                self.innermost(|scope| scope.modules.push(load));
                Ok(())
            }
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                let load = at(self.component(*count).map(|scope| &scope.components), *index);
                self.innermost(|scope| scope.components.push(load));
                Ok(())
            }
            ComponentAlias::InstanceExport { kind, .. } => self.import(*kind),
            ComponentAlias::Outer { .. } | ComponentAlias::CoreInstanceExport { .. } => Ok(()),
        }
    }

    /// Something that comes from elsewhere. Of a component nobody could say here what an instance of it costs, and
    /// no toolchain passes one; a module is one instance at least, and the engine counts its memories.
    pub(super) fn import(&mut self, kind: ComponentExternalKind) -> Result<(), Refused> {
        match kind {
            ComponentExternalKind::Component => Tally::default().within(1, "components from elsewhere", 0),
            ComponentExternalKind::Module => {
                let load = Load { instances: 1, ..Load::default() };
                self.innermost(|scope| scope.modules.push(load));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An export gives what it exports a second index.
    pub(super) fn export(&mut self, kind: ComponentExternalKind, index: u32) {
        self.innermost(|scope| match kind {
            ComponentExternalKind::Module => scope.modules.push(at(Some(&scope.modules), index)),
            ComponentExternalKind::Component => scope.components.push(at(Some(&scope.components), index)),
            _ => {}
        });
    }

    fn grow(&mut self, load: Load) -> Result<(), Refused> {
        let mut total = Load::default();
        self.innermost(|scope| {
            scope.load.add(load);
            total = scope.load;
        });
        total.check()
    }

    fn innermost(&mut self, change: impl FnOnce(&mut Scope)) {
        if let Some(scope) = self.components.last_mut() {
            change(scope);
        }
    }

    /// The component so many levels out.
    fn component(&self, outwards: u32) -> Option<&Scope> {
        self.components.iter().rev().nth(outwards as usize)
    }
}

fn at(loads: Option<&Vec<Load>>, index: u32) -> Load {
    loads.and_then(|loads| loads.get(index as usize)).copied().unwrap_or_default()
}
