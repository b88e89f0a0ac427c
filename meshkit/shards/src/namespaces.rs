//! What is cut into shards: read and changed by operators.

use meshkit_api::{Ask, Caller, Changed, Decision, Gate, page_size, start_of_page, valid};
use meshkit_model::{Handover, Namespace, Strategy};
use meshkit_store::{Cursor, Rows as _, View};
use relay_core::{Code, Status};
use serde::{Deserialize, Serialize};

use crate::shards::no_namespace;

/// The most namespaces of a mesh.
const MAX_NAMESPACES: usize = 1_000;

pub(crate) struct Namespaces {
    pub(crate) view: View,
    pub(crate) gate: Gate,
}

/// One page.
pub(crate) struct NamespacePage {
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) next_cursor: String,
    pub(crate) revision: u64,
}

/// What can change of a namespace; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct NamespacePatch {
    pub(crate) strategy: Option<Strategy>,
    pub(crate) replicas: Option<u32>,
    pub(crate) spread_zones: Option<bool>,
    pub(crate) zones: Option<Vec<String>>,
    pub(crate) handover: Option<Handover>,
}

impl NamespacePatch {
    fn apply(&self, found: &Namespace) -> Namespace {
        Namespace {
            strategy: self.strategy.unwrap_or(found.strategy),
            replicas: self.replicas.unwrap_or(found.replicas),
            spread_zones: self.spread_zones.unwrap_or(found.spread_zones),
            zones: self.zones.clone().unwrap_or_else(|| found.zones.clone()),
            handover: self.handover.unwrap_or(found.handover),
            ..found.clone()
        }
    }
}

impl Namespaces {
    pub(crate) fn list(&self, limit: u32, cursor: &str) -> Result<NamespacePage, Status> {
        let (limit, after) = (page_size(limit)?, start_of_page(cursor, "namespaces")?);
        let page = self.view.list::<Namespace>(after.as_deref(), limit);
        let last = page.items.last().filter(|_| page.more);
        let next_cursor = last.map(|last| Cursor::new("namespaces", last.name.as_str()).token());
        Ok(NamespacePage {
            next_cursor: next_cursor.unwrap_or_default(),
            namespaces: page.items,
            revision: page.revision,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Result<Namespace, Status> {
        self.view.get(name).ok_or_else(|| no_namespace(name))
    }

    pub(crate) async fn create(
        &self,
        caller: &Caller,
        ask: &Ask,
        namespace: Namespace,
    ) -> Result<Changed<Namespace>, Status> {
        let decide = |found: Option<&Namespace>| {
            valid(namespace.validate())?;
            if found.is_some() {
                let message = format!("there is a namespace `{}`", namespace.name);
                return Err(Status::new(Code::AlreadyExists, message)
                    .with_hint("change it by PATCH, or give the new one another name"));
            }
            if self.view.read().shards().of(&namespace.name).count() > 0 {
                let message = format!("shards of an earlier `{}` are still being removed", namespace.name);
                return Err(Status::unavailable(message).with_hint("try again in a moment"));
            }
            if self.view.read().namespaces().count() >= MAX_NAMESPACES {
                let message = format!("a mesh has at most {MAX_NAMESPACES} namespaces");
                return Err(Status::resource_exhausted(message).with_hint("delete one that nobody uses"));
            }
            Ok(Decision::from(namespace.clone()))
        };
        self.gate.carry_out(caller, ask, &namespace.name, &namespace, decide).await
    }

    pub(crate) async fn update(
        &self,
        caller: &Caller,
        ask: &Ask,
        name: &str,
        patch: &NamespacePatch,
    ) -> Result<Changed<Namespace>, Status> {
        let decide = |found: Option<&Namespace>| {
            let found = found.ok_or_else(|| no_namespace(name))?;
            let changed = patch.apply(found);
            valid(found.validate_change(&changed))?;
            Ok(Decision::from(changed))
        };
        self.gate.carry_out(caller, ask, name, patch, decide).await
    }

    /// Removes a namespace; its shards follow.
    pub(crate) async fn delete(
        &self,
        caller: &Caller,
        ask: &Ask,
        name: &str,
    ) -> Result<Changed<Namespace>, Status> {
        let decide = |found: Option<&Namespace>| {
            let found = found.ok_or_else(|| no_namespace(name))?;
            Ok(Decision { is_deletion: true, ..found.clone().into() })
        };
        self.gate.carry_out(caller, ask, name, &(), decide).await
    }
}
