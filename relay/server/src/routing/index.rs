//! Finds the first route that takes a call without looking at those of other services and procedures.

use std::collections::HashMap;

/// Routes by service, by procedure and by beginnings of procedures; each list in the order of the
/// configuration.
#[derive(Default)]
pub(super) struct Index(HashMap<Box<str>, Service>);

type Lists = HashMap<Box<str>, Vec<u32>>;

#[derive(Default)]
struct Service {
    exact: Lists,
    /// By their length in bytes: a look-up for each length that a pattern has.
    prefixes: Vec<(usize, Lists)>,
}

impl Index {
    /// A route takes these procedures of a service: patterns, or all where there are none.
    pub(super) fn add(&mut self, service: &str, procedures: &[String], route: u32) {
        let service = self.0.entry(service.into()).or_default();
        let mut add = |pattern: &str| {
            let list = match pattern.strip_suffix('*') {
                None => service.exact.entry(pattern.into()).or_default(),
                Some(prefix) => service.prefix(prefix),
            };
            if list.last() != Some(&route) {
                list.push(route);
            }
        };
        match procedures {
            [] => add("*"),
            patterns => patterns.iter().for_each(|pattern| add(pattern)),
        }
    }

    pub(super) fn knows(&self, service: &str) -> bool {
        self.0.contains_key(service)
    }

    /// The first route of a service and procedure that `takes` the call.
    pub(super) fn first(
        &self,
        service: &str,
        procedure: &str,
        mut takes: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let service = self.0.get(service)?;
        let prefixed =
            service.prefixes.iter().filter_map(|(length, lists)| lists.get(procedure.get(..*length)?));
        let lists = prefixed.chain(service.exact.get(procedure));
        lists.fold(None, |best: Option<u32>, list| {
            let earlier = list.iter().copied().take_while(|route| best.is_none_or(|best| *route < best));
            earlier.into_iter().find(|route| takes(*route)).or(best)
        })
    }
}

impl Service {
    fn prefix(&mut self, prefix: &str) -> &mut Vec<u32> {
        let at = self.prefixes.iter().position(|(length, _)| *length == prefix.len());
        let at = at.unwrap_or_else(|| {
            self.prefixes.push((prefix.len(), Lists::new()));
            self.prefixes.len() - 1
        });
        self.prefixes[at].1.entry(prefix.into()).or_default()
    }
}
