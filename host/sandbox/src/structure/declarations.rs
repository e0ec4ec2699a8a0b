//! Types within types, read without recursion.
//!
//! An instance type may declare instance types. Whoever reads them by a function that calls itself has its stack
//! overflown by a component of some megabytes, and the whole process ends. So the depth is looked at first, with a
//! stack on the heap that is never larger than its ceiling.

use wasmparser::{
    BinaryReader, BinaryReaderError, ComponentAlias, ComponentExternName, ComponentImport, ComponentType,
    ComponentTypeRef, CoreType, InstanceTypeDeclaration, WasmFeatures,
};

use super::broken;
use super::ceilings::Tally;
use crate::component::Refused;

/// First bytes of the two types that declare others.
const COMPONENT_TYPE: u8 = 0x41;
const INSTANCE_TYPE: u8 = 0x42;

/// First bytes of declarations.
const CORE_TYPE: u8 = 0x00;
const TYPE: u8 = 0x01;
const ALIAS: u8 = 0x02;
const IMPORT: u8 = 0x03;
const EXPORT: u8 = 0x04;

/// Counts the types of a section and looks at how deep they are. `bytes` begin at `offset`, after the count.
pub(super) fn check(
    bytes: &[u8],
    offset: usize,
    count: u32,
    features: WasmFeatures,
    tally: &mut Tally,
) -> Result<(), Refused> {
    let mut reader = BinaryReader::new_features(bytes, offset, features);
    // How many declarations each open type still has; the first level is the section.
    let mut open = vec![count];
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        tally.types(1)?;
        let inside = open.len() > 1;
        if let Some(declared) = read_next(&mut reader, inside).map_err(broken)? {
            open.push(declared);
            tally.type_depth(open.len())?;
        }
    }
    Ok(())
}

/// Reads one declaration. If it opens another level, says how many declarations that one has.
fn read_next(reader: &mut BinaryReader<'_>, inside: bool) -> Result<Option<u32>, BinaryReaderError> {
    let whole = reader.clone();
    match if inside { reader.read_u8()? } else { TYPE } {
        CORE_TYPE => reader.read::<CoreType<'_>>().map(drop)?,
        TYPE => {
            if matches!(reader.clone().read_u8()?, COMPONENT_TYPE | INSTANCE_TYPE) {
                reader.read_u8()?;
                return reader.read_var_u32().map(Some);
            }
            reader.read::<ComponentType<'_>>().map(drop)?;
        }
        ALIAS => reader.read::<ComponentAlias<'_>>().map(drop)?,
        IMPORT => reader.read::<ComponentImport<'_>>().map(drop)?,
        EXPORT => {
            reader.read::<ComponentExternName<'_>>()?;
            reader.read::<ComponentTypeRef>()?;
        }
        // No declaration begins so; the parser has the words for it.
        _ => whole.clone().read::<InstanceTypeDeclaration<'_>>().map(drop)?,
    }
    Ok(None)
}
