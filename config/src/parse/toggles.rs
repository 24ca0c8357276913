//! `[toggle.NAME]`.

use std::{collections::BTreeMap, ops::Range};

use crossfade_phase::Phase;
use toml::de::DeValue;

use super::tables;
use crate::{
    StoreConfig, TableConfig, ToggleConfig, keys, names,
    reader::{Reader, Section, kind_of},
    suggest::nearest,
};

/// A mapped table with the places that its mistakes are told at.
pub(crate) struct PlacedTable {
    /// Its toggle.
    pub(crate) toggle: String,
    pub(crate) config: TableConfig,
    /// Where the name of the old table stands.
    pub(crate) old_at: Range<usize>,
    /// Where the target stands; the name, if it has none.
    pub(crate) new_at: Range<usize>,
}

/// Reads every toggle; the tables come a second time with their places, for the checks that compare them.
pub(crate) fn toggles(
    reader: &mut Reader<'_>,
    root: &Section<'_>,
    old: Option<&StoreConfig>,
    new: Option<&StoreConfig>,
) -> (BTreeMap<String, ToggleConfig>, Vec<PlacedTable>) {
    let mut toggles = BTreeMap::new();
    let mut tables = Vec::new();
    let Some(all) = root.get("toggle").and_then(|field| reader.open(&field)) else {
        return (toggles, tables);
    };
    for field in all.fields() {
        let name = all.name_of(&field).to_owned();
        if !matches!(field.value.get_ref(), DeValue::Table(_)) {
            let what = format!(
                "\"{}\" is {}, not a toggle",
                field.path,
                kind_of(field.value.get_ref())
            );
            reader.mistake(
                field.at(),
                what,
                "a toggle is a table: [toggle.NAME] and its keys below",
            );
            continue;
        }
        if let Err(why) = names::toggle(&name) {
            reader.mistake(
                field.key_at.clone(),
                format!("the toggle name {name:?} {why}"),
                "write a name such as \"shop\"",
            );
        }
        let Some(section) = reader.section(&all, &name, &keys::TOGGLE) else {
            continue;
        };
        let placed = tables::tables(reader, &section, &name, old, new);
        let phase = phase(reader, &section);
        let configs = placed.iter().map(|table| table.config.clone()).collect();
        tables.extend(placed);
        if let Some(phase) = phase {
            toggles.insert(
                name,
                ToggleConfig {
                    phase,
                    tables: configs,
                },
            );
        }
    }
    (toggles, tables)
}

fn phase(reader: &mut Reader<'_>, section: &Section<'_>) -> Option<Phase> {
    const EXPECTED: &str = "a phase such as \"use-old\", or its number from 1 to 8";
    let Some(field) = section.get("phase") else {
        let what = format!("{} has no \"phase\"", section.title());
        reader.missing(
            section.at.clone(),
            what,
            "add phase = \"deploy-new\" to begin with",
        );
        return None;
    };
    let phase = match field.value.get_ref() {
        DeValue::Integer(number) => u8::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(Phase::from_number),
        DeValue::String(_) => {
            let text = reader.text(&field, EXPECTED)?;
            let phase = text.value.trim().parse().ok();
            if phase.is_none()
                && let Some(near) = nearest(&text.value, Phase::ALL.map(Phase::name))
            {
                let what = format!("\"{}\" is not a phase: {:?}", field.path, text.typed);
                reader.mistake(field.at(), what, format!("did you mean \"{near}\"?"));
                return None;
            }
            phase
        }
        _ => {
            reader.wrong_type(&field, EXPECTED);
            return None;
        }
    };
    if phase.is_none() {
        let names: Vec<String> = Phase::ALL
            .iter()
            .map(|phase| format!("{} {phase}", phase.number()))
            .collect();
        let what = format!("\"{}\" is not a phase", field.path);
        reader.mistake(
            field.at(),
            what,
            format!("write one of {}", names.join(", ")),
        );
    }
    phase
}
