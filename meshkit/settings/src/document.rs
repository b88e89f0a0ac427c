//! What the module does, whatever protocol asked for it.

use meshkit_api::{Ask, Caller, Changed, Context, Decision, Gate, now, valid};
use meshkit_model::{ConfigDocument, MeshConfig};
use meshkit_store::{Expect, View, Write};
use relay_core::Status;
use serde_json::Value;

pub(crate) struct Settings {
    pub(crate) gate: Gate,
    pub(crate) view: View,
}

impl Settings {
    pub(crate) fn new(context: &Context) -> Self {
        Self { gate: context.gate.clone(), view: context.view.clone() }
    }

    /// The present document; version 0 where nothing was ever said.
    pub(crate) fn present(&self) -> ConfigDocument {
        self.view.get(ConfigDocument::PRESENT).unwrap_or_else(ConfigDocument::none)
    }

    /// A version that is kept.
    pub(crate) fn version(&self, number: u64) -> Result<ConfigDocument, Status> {
        let present = self.present();
        if number == present.number {
            return Ok(present);
        }
        let kept = self.view.get(&ConfigDocument::archive_key(number));
        kept.ok_or_else(|| {
            Status::not_found(format!("there is no version {number} of the configuration"))
                .with_hint("`omnirelay mesh config history` shows those that are kept")
        })
    }

    /// The versions that are kept, newest first.
    pub(crate) fn history(&self, limit: usize) -> Vec<ConfigDocument> {
        let tables = self.view.read();
        let mut all: Vec<&ConfigDocument> = tables.config().after(None).collect();
        all.sort_unstable_by_key(|document| std::cmp::Reverse(document.number));
        all.into_iter().take(limit).cloned().collect()
    }

    pub(crate) async fn patch(
        &self,
        caller: &Caller,
        ask: &Ask,
        patch: &Value,
    ) -> Result<Changed<ConfigDocument>, Status> {
        self.gate
            .carry_out(caller, ask, ConfigDocument::PRESENT, patch, |found: Option<&ConfigDocument>| {
                let before = found.cloned().unwrap_or_else(ConfigDocument::none);
                let content = valid(before.patched(patch))?;
                self.replaced(caller, ask, before, content, None)
            })
            .await
    }

    pub(crate) async fn roll_back(
        &self,
        caller: &Caller,
        ask: &Ask,
        number: u64,
    ) -> Result<Changed<ConfigDocument>, Status> {
        self.gate
            .carry_out(caller, ask, ConfigDocument::PRESENT, &number, |found: Option<&ConfigDocument>| {
                let before = found.cloned().unwrap_or_else(ConfigDocument::none);
                let content = self.version(number)?.content;
                // The bounds may be others than when it was written.
                valid(content.validate())?;
                self.replaced(caller, ask, before, content, Some(number))
            })
            .await
    }

    /// The document that follows, with the account of the one before beside it. What says the same
    /// as before is no new version.
    fn replaced(
        &self,
        caller: &Caller,
        ask: &Ask,
        before: ConfigDocument,
        content: MeshConfig,
        rolled_back_to: Option<u64>,
    ) -> Result<Decision<ConfigDocument>, Status> {
        if before.number > 0 && before.content == content {
            return Ok(Decision::from(before));
        }
        let mut beside = Vec::new();
        if before.number > 0 {
            beside.push(valid(Write::put(&before.archive(), Expect::Absent))?);
        }
        let oldest = (before.number + 1).checked_sub(ConfigDocument::KEPT);
        let oldest = oldest.and_then(|number| self.view.get(&ConfigDocument::archive_key(number)));
        beside.extend(oldest.as_ref().map(Write::delete::<ConfigDocument>));
        let record = ConfigDocument {
            number: before.number + 1,
            archived: false,
            content,
            changed_at: now(),
            changed_by: caller.id().to_owned(),
            reason: ask.reason.clone(),
            ticket: ask.ticket.clone(),
            rolled_back_to,
            record_version: before.record_version,
        };
        Ok(Decision { beside, ..record.into() })
    }
}
