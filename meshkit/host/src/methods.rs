//! Which methods a path takes, where the router knows less: a verb stands behind the id that it is for
//! (`/meshkit/peers/{id}:drain`), and to the router that is an id.

use http::Method;
use meshkit_api::Operation;

/// The methods of each path.
pub(crate) struct Methods(Vec<(&'static str, Vec<&'static str>)>);

impl Methods {
    /// Those of operations.
    pub(crate) fn new(operations: &[Operation]) -> Self {
        let mut paths: Vec<(&'static str, Vec<&'static str>)> = Vec::new();
        for (method, path) in operations.iter().map(Operation::place) {
            match paths.iter_mut().find(|(known, _)| *known == path) {
                Some((_, methods)) => methods.push(method),
                None => paths.push((path, vec![method])),
            }
        }
        Self(paths)
    }

    /// What `allow` says of a path; none where nothing is known of it.
    pub(crate) fn allowed(&self, path: &str) -> Option<String> {
        let fitting = self.0.iter().filter(|(template, _)| fits(template, path));
        // With a verb behind the id it is that verb's.
        let (_, methods) = fitting.max_by_key(|(template, _)| template.len())?;
        let mut names = methods.clone();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.sort_unstable();
        Some(names.join(","))
    }

    /// What `allow` says where a request asks a verb behind an id for what it does not do.
    pub(crate) fn refused(&self, method: &Method, path: &str) -> Option<String> {
        let (_, last) = path.rsplit_once('/')?;
        if *method == Method::POST || !last.contains(':') {
            return None;
        }
        let allowed = self.allowed(path)?;
        let is_taken = allowed.split(',').any(|name| name == method.as_str());
        (!is_taken).then_some(allowed)
    }
}

/// Whether a path is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    // A leader's scope may have two parts.
    let parts = if template.starts_with("/meshkit/leaders/") { 4 } else { usize::MAX };
    let mut segments = path.splitn(parts, '/');
    let fitting = template.split('/').all(|wanted| {
        segments.next().is_some_and(|segment| match wanted.split_once('{') {
            None => segment == wanted,
            Some((_, named)) => {
                let verb = named.split_once('}').map_or("", |(_, verb)| verb);
                segment.strip_suffix(verb).is_some_and(|id| !id.is_empty())
            }
        })
    });
    fitting && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_behind_an_id_is_told_from_an_id() {
        assert!(fits("/meshkit/peers/{id}", "/meshkit/peers/a"));
        assert!(fits("/meshkit/peers/{id}:drain", "/meshkit/peers/a:drain"));
        assert!(!fits("/meshkit/peers/{id}:drain", "/meshkit/peers/a"));
        assert!(!fits("/meshkit/peers/{id}:drain", "/meshkit/peers/:drain"));
        assert!(!fits("/meshkit/peers/{id}", "/meshkit/peers/a/b"));
        assert!(fits("/meshkit/leaders/{id}:resign", "/meshkit/leaders/module/shards:resign"));
        assert!(fits("/meshkit/shards/{namespace}/{id}/history", "/meshkit/shards/orders/7/history"));
        assert!(!fits("/meshkit/shards/{namespace}/{id}", "/meshkit/shards/orders"));
    }
}
