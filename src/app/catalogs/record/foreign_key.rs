//! Foreign keys.

use crossfade_store::{FkAction, ForeignKey};
use serde::{Deserialize, Serialize};

use super::{Name, name, qualified};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ForeignKeyRecord {
    name: String,
    child: Name,
    columns: Vec<String>,
    parent: Name,
    parent_columns: Vec<String>,
    on_delete: Action,
    on_update: Action,
    deferrable: bool,
    #[serde(default)]
    initially_deferred: bool,
    #[serde(default)]
    match_full: bool,
    #[serde(default)]
    set_columns: Vec<String>,
}

impl From<&ForeignKey> for ForeignKeyRecord {
    fn from(key: &ForeignKey) -> ForeignKeyRecord {
        ForeignKeyRecord {
            name: key.name.clone(),
            child: name(&key.child),
            columns: key.columns.clone(),
            parent: name(&key.parent),
            parent_columns: key.parent_columns.clone(),
            on_delete: key.on_delete.into(),
            on_update: key.on_update.into(),
            deferrable: key.deferrable,
            initially_deferred: key.initially_deferred,
            match_full: key.match_full,
            set_columns: key.set_columns.clone(),
        }
    }
}

impl ForeignKeyRecord {
    pub(super) fn foreign_key(&self) -> ForeignKey {
        ForeignKey {
            name: self.name.clone(),
            child: qualified(&self.child),
            columns: self.columns.clone(),
            parent: qualified(&self.parent),
            parent_columns: self.parent_columns.clone(),
            on_delete: self.on_delete.into(),
            on_update: self.on_update.into(),
            deferrable: self.deferrable,
            initially_deferred: self.initially_deferred,
            match_full: self.match_full,
            set_columns: self.set_columns.clone(),
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Refuse,
    Cascade,
    SetNull,
    SetDefault,
}

impl From<FkAction> for Action {
    fn from(action: FkAction) -> Action {
        match action {
            FkAction::Refuse => Action::Refuse,
            FkAction::Cascade => Action::Cascade,
            FkAction::SetNull => Action::SetNull,
            FkAction::SetDefault => Action::SetDefault,
        }
    }
}

impl From<Action> for FkAction {
    fn from(action: Action) -> FkAction {
        match action {
            Action::Refuse => FkAction::Refuse,
            Action::Cascade => FkAction::Cascade,
            Action::SetNull => FkAction::SetNull,
            Action::SetDefault => FkAction::SetDefault,
        }
    }
}
