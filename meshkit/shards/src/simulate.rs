//! What would move if peers came, went or weighed otherwise.

use std::collections::{BTreeMap, BTreeSet};

use meshkit_api::{invalid, valid};
use meshkit_model::placement::{Node, Placed, Takes, place};
use meshkit_model::{Invalid, Namespace, PeerId};
use meshkit_store::NamespaceShards;
use relay_core::Status;
use serde::Serialize;

use crate::owners::clamp;
use crate::plan::placed;
use crate::shards::{Shards, no_namespace};

/// Peers that a question names, and moves that its answer lists.
const MAX: usize = 1_000;

/// The question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Question {
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) add: Vec<Asked>,
    pub(crate) remove: Vec<String>,
    pub(crate) reweight: Vec<Asked>,
}

/// A peer as a question names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) zone: String,
    pub(crate) weight: u32,
}

/// The answer.
#[derive(Debug, Default, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Simulation")]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) moves: Vec<Move>,
    pub(crate) moved: u32,
    pub(crate) shards: u32,
    pub(crate) moved_percent: f64,
    pub(crate) loads: Vec<Load>,
    pub(crate) revision: u64,
}

/// A shard that would move.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "ShardMove")]
pub(crate) struct Move {
    pub(crate) namespace: String,
    pub(crate) id: u32,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// How many shards a peer has, and would have.
#[derive(Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "OwnerLoad")]
pub(crate) struct Load {
    pub(crate) node: String,
    pub(crate) before: u32,
    pub(crate) after: u32,
}

impl Question {
    /// Reads `ID`, `ID:ZONE` or `ID:ZONE:WEIGHT`, separated by commas.
    pub(crate) fn nodes(field: &str, text: &str) -> Result<Vec<Asked>, Status> {
        let one = |text: &str| {
            let mut parts = text.split(':');
            let (id, zone) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let weight = parts.next().map_or(Ok(1), str::parse);
            match (weight, parts.next()) {
                (Ok(weight), None) => Ok(Asked { id: id.to_owned(), zone: zone.to_owned(), weight }),
                _ => Err(invalid(&Invalid::new(
                    field,
                    format!("has {text:?}; write ID, ID:ZONE or ID:ZONE:WEIGHT"),
                ))),
            }
        };
        text.split(',').filter(|text| !text.is_empty()).map(one).collect()
    }
}

impl Shards {
    /// Answers from the shards and peers as they are now; nothing is written.
    pub(crate) fn simulate(&self, question: &Question) -> Result<Answer, Status> {
        let (namespaces, revision) = {
            let tables = self.view.read();
            let chosen = tables.namespaces().after(None);
            let chosen = chosen.filter(|one| question.namespace.is_empty() || one.name == question.namespace);
            let of = |namespace: &Namespace| {
                let nodes = self.owners.standing(namespace, &tables).nodes;
                (namespace.clone(), nodes, tables.shards().of(&namespace.name))
            };
            (chosen.map(of).collect::<Vec<_>>(), tables.revision())
        };
        if namespaces.is_empty() && !question.namespace.is_empty() {
            return Err(no_namespace(&question.namespace));
        }
        let mut answer = Answer { revision, ..Answer::default() };
        let mut loads: BTreeMap<PeerId, Load> = BTreeMap::new();
        for (namespace, before, shards) in &namespaces {
            let after = changed(before, question)?;
            one(&mut answer, &mut loads, (namespace, shards), before, &after);
        }
        answer.moved_percent = match answer.shards {
            0 => 0.0,
            shards => f64::from(answer.moved) * 100.0 / f64::from(shards),
        };
        answer.loads = loads.into_values().collect();
        Ok(answer)
    }
}

/// Adds what would move of one namespace.
fn one(
    answer: &mut Answer,
    loads: &mut BTreeMap<PeerId, Load>,
    (namespace, shards): (&Namespace, &NamespaceShards),
    before: &[Node],
    after: &[Node],
) {
    let now = place(namespace, before, &placed(namespace, before, shards));
    // Those who stay keep what they have; the others' shards are free.
    let carried: Vec<Placed> = placed(namespace, after, shards)
        .into_iter()
        .zip(&now)
        .map(|(placed, owner)| match placed.stays {
            true => placed,
            false => {
                let id = owner.and_then(|at| before.get(at)).map(|node| &node.id);
                let owner = id.and_then(|id| after.binary_search_by(|node| node.id.cmp(id)).ok());
                Placed { owner, stays: false }
            }
        })
        .collect();
    let then = place(namespace, after, &carried);
    for node in before.iter().chain(after) {
        let load = || Load { node: node.id.to_string(), before: 0, after: 0 };
        loads.entry(node.id.clone()).or_insert_with(load);
    }
    for (id, (now, then)) in (0_u32..).zip(now.into_iter().zip(then)) {
        let from = now.and_then(|at| before.get(at)).map(|node| &node.id);
        let to = then.and_then(|at| after.get(at)).map(|node| &node.id);
        answer.shards += 1;
        if let Some(load) = from.and_then(|from| loads.get_mut(from)) {
            load.before += 1;
        }
        if let Some(load) = to.and_then(|to| loads.get_mut(to)) {
            load.after += 1;
        }
        if from != to {
            answer.moved += 1;
            if answer.moves.len() < MAX {
                let text = |peer: Option<&PeerId>| peer.map(ToString::to_string).unwrap_or_default();
                let (namespace, from, to) = (namespace.name.clone(), text(from), text(to));
                answer.moves.push(Move { namespace, id, from, to });
            }
        }
    }
}

/// The peers as they would be, by id.
fn changed(nodes: &[Node], question: &Question) -> Result<Vec<Node>, Status> {
    for (field, count) in [
        ("add", question.add.len()),
        ("remove", question.remove.len()),
        ("reweight", question.reweight.len()),
    ] {
        if count > MAX {
            return Err(invalid(&Invalid::new(
                field,
                format!("names {count} peers; at most {MAX} are allowed"),
            )));
        }
    }
    let unknown = |field: &str, id: &str| {
        Status::not_found(format!("`{field}` names `{id}`, which owns and takes nothing now"))
            .with_hint("`omnirelay mesh peers list` shows who is there")
    };
    let removed: BTreeSet<&str> = question.remove.iter().map(String::as_str).collect();
    let known = |id: &str| nodes.iter().any(|node| node.id.as_str() == id);
    if let Some(id) = removed.iter().find(|id| !known(id) && !question.namespace.is_empty()) {
        return Err(unknown("remove", id));
    }
    let mut after: Vec<Node> =
        nodes.iter().filter(|node| !removed.contains(node.id.as_str())).cloned().collect();
    for asked in &question.reweight {
        match after.iter_mut().find(|node| node.id.as_str() == asked.id) {
            Some(node) => node.weight = clamp(asked.weight),
            None if question.namespace.is_empty() => {}
            None => return Err(unknown("reweight", &asked.id)),
        }
    }
    for asked in &question.add {
        let id = valid(PeerId::new(asked.id.as_str()))?;
        if after.iter().any(|node| node.id == id) {
            return Err(invalid(&Invalid::new("add", format!("names `{id}`, which is there already"))));
        }
        after.push(Node { id, zone: asked.zone.clone(), weight: clamp(asked.weight), takes: Takes::Share });
    }
    after.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(after)
}
