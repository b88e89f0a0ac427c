//! What is changed in a request on its way out.

use http::request::Parts;
use http::{HeaderName, HeaderValue};
use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use relay_config::{RewriteConfig, RouteConfig};
use relay_core::{RpcStyle, Status, headers};

/// What is changed in a request.
pub(super) struct Rewrite {
    service: Option<HeaderValue>,
    procedure: Option<Procedure>,
    remove: Box<[HeaderName]>,
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
}

enum Procedure {
    Whole(String),
    /// What the `*` of one of these patterns stood for follows the text; the longest pattern counts.
    Rest {
        text: String,
        patterns: Box<[String]>,
    },
}

impl Rewrite {
    /// `None` where nothing is changed.
    ///
    /// # Errors
    /// What cannot stand in a header.
    pub(super) fn new(route: &RouteConfig) -> Result<Option<Self>> {
        let config = &route.rewrite;
        if *config == RewriteConfig::default() {
            return Ok(None);
        }
        let pairs = |pairs: &std::collections::BTreeMap<String, String>| {
            let pairs = pairs.iter().map(|(name, text)| Ok((super::header_name(name)?, value(text)?)));
            pairs.collect::<Result<Box<[_]>>>()
        };
        let procedure = config.procedure.as_ref().map(|text| match text.strip_suffix('*') {
            None => Procedure::Whole(text.clone()),
            Some(text) => {
                let prefix = |pattern: &String| pattern.strip_suffix('*').unwrap_or(pattern).to_owned();
                let mut patterns: Vec<String> = route.procedures.iter().map(prefix).collect();
                patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.len()));
                Procedure::Rest { text: text.to_owned(), patterns: patterns.into() }
            }
        });
        Ok(Some(Self {
            service: config.service.as_deref().map(value).transpose()?,
            procedure,
            remove: config.remove.iter().map(|name| super::header_name(name)).collect::<Result<_>>()?,
            set: pairs(&config.set)?,
            add: pairs(&config.add)?,
        }))
    }

    /// Changes a request; the procedure that it calls from now on.
    ///
    /// # Errors
    /// `invalid-argument` where the new procedure cannot be called.
    pub(super) fn apply(
        &self,
        style: RpcStyle,
        procedure: String,
        head: &mut Parts,
    ) -> Result<String, Status> {
        for name in &self.remove {
            head.headers.remove(name);
        }
        for (name, value) in &self.set {
            head.headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            head.headers.append(name, value.clone());
        }
        if let Some(service) = &self.service {
            head.headers.insert(headers::RPC_SERVICE, service.clone());
        }
        let Some(rewritten) = self.procedure.as_ref().map(|rewrite| rewrite.of(&procedure)) else {
            return Ok(procedure);
        };
        let bad = || Status::invalid_argument(format!("`{rewritten}` is no procedure that can be called"));
        match style {
            RpcStyle::Grpc => {
                let uri = http::Uri::builder().path_and_query(format!("/{rewritten}"));
                head.uri = uri.build().map_err(|_| bad())?;
            }
            RpcStyle::Yarpc | RpcStyle::Http => {
                let value = HeaderValue::try_from(rewritten.as_str()).map_err(|_| bad())?;
                head.headers.insert(headers::RPC_PROCEDURE, value);
            }
        }
        Ok(rewritten)
    }
}

impl Procedure {
    fn of(&self, procedure: &str) -> String {
        match self {
            Self::Whole(text) => text.clone(),
            Self::Rest { text, patterns } => {
                let rest = patterns.iter().find_map(|pattern| procedure.strip_prefix(pattern.as_str()));
                format!("{text}{}", rest.unwrap_or(procedure))
            }
        }
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| {
        OperatorError::new(ErrorKind::Config, format!("`{text}` cannot stand in a header"))
            .caused_by(&error)
            .hint("use printable text")
    })
}
