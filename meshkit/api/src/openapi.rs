//! What REST takes and gives, as OpenAPI 3.1 says it: made of the table of verbs and of the types that handlers read and
//! write, so that neither can drift from what is served.
//!
//! A module names its [operations](Operation) beside its routes; [`document`] makes one document of those that run.

mod document;
mod parameters;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::verb::{Effect, Verb};

pub use document::document;

/// Makes the schema of a type; the types that it is made of go among the components.
type Make = fn(&mut Schemas) -> Value;

/// One thing that REST does: a verb at its path.
#[derive(Clone, Debug)]
pub struct Operation {
    verb: Verb,
    path: Option<&'static str>,
    query: Option<Make>,
    listed: Option<&'static [&'static str]>,
    body: Option<Make>,
    answer: Answer,
    is_conditional: bool,
    /// It makes a record, and says 201 where it was new.
    creates: bool,
    /// There is no version that a caller could have seen.
    is_new: bool,
}

/// What an operation answers with.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// A document.
    Document(Make),
    /// Records under a name, and how far the mesh was under another.
    Page { records: &'static str, record: Make, at: &'static str },
    /// A record under a name, as a change left it.
    Changed { name: &'static str, record: Make },
    /// Server-sent events until the caller ends them; in words, which.
    Events { record: Make, about: &'static str },
    /// JSON lines.
    Lines(Make),
    /// Bytes of a media type, with headers that tell of them.
    Bytes { kind: &'static str, headers: &'static [(&'static str, &'static str)] },
}

impl Operation {
    const fn new(verb: Verb, answer: Answer) -> Self {
        Self {
            verb,
            path: None,
            query: None,
            listed: None,
            body: None,
            answer,
            is_conditional: false,
            creates: false,
            is_new: false,
        }
    }

    /// A document is read.
    #[must_use]
    pub const fn read<R: JsonSchema>(verb: Verb) -> Self {
        Self::new(verb, Answer::Document(answered::<R>))
    }

    /// A page of records is read, under the name `records`; `at` is the member that says how far the mesh was, empty where
    /// none does.
    #[must_use]
    pub const fn page<R: JsonSchema>(verb: Verb, records: &'static str, at: &'static str) -> Self {
        Self::new(verb, Answer::Page { records, record: answered::<R>, at })
    }

    /// Records are followed: `put`, `deleted`, `bookmark` and `resync-required`.
    #[must_use]
    pub const fn watch<R: JsonSchema>(verb: Verb) -> Self {
        let about = "`put` with `{key, revision, record}`, `deleted` with `{key, revision}`, `bookmark` with `{revision}` and \
                     `resync-required` with `{reason}`; the `id` of each is where a later call goes on";
        Self::events::<R>(verb, about)
    }

    /// Events are followed that `about` tells.
    #[must_use]
    pub const fn events<R: JsonSchema>(verb: Verb, about: &'static str) -> Self {
        Self::new(verb, Answer::Events { record: answered::<R>, about })
    }

    /// Records are read as JSON lines.
    #[must_use]
    pub const fn lines<R: JsonSchema>(verb: Verb) -> Self {
        Self::new(verb, Answer::Lines(answered::<R>))
    }

    /// Bytes of the media type `kind` are read, with headers that tell of them.
    #[must_use]
    pub const fn bytes(
        verb: Verb,
        kind: &'static str,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self::new(verb, Answer::Bytes { kind, headers })
    }

    /// A caller tells of itself.
    #[must_use]
    pub const fn report<B: JsonSchema, R: JsonSchema>(verb: Verb) -> Self {
        let mut this = Self::read::<R>(verb);
        this.body = Some(sent::<B>);
        this
    }

    /// A record changes, which is answered under the name `record`.
    #[must_use]
    pub const fn change<B: JsonSchema, R: JsonSchema>(verb: Verb, record: &'static str) -> Self {
        let mut this = Self::new(verb, Answer::Changed { name: record, record: answered::<R> });
        this.body = Some(sent::<B>);
        this
    }

    /// It answers with a document of its own.
    #[must_use]
    pub const fn answers<R: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Document(answered::<R>);
        self
    }

    /// With the parameters of a query.
    #[must_use]
    pub const fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(sent::<Q>);
        self
    }

    /// Filtered, sorted and in pages; sparse where there are `fields` to choose from.
    #[must_use]
    pub const fn listed(mut self, fields: &'static [&'static str]) -> Self {
        self.listed = Some(fields);
        self
    }

    /// `If-None-Match` is answered with 304 where nothing changed.
    #[must_use]
    pub const fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    /// It makes a record: 201 with its place where it was new.
    #[must_use]
    pub const fn creates(mut self) -> Self {
        self.creates = true;
        self.is_new = true;
        self
    }

    /// There is no version that a caller could have seen.
    #[must_use]
    pub const fn of_nothing_seen(mut self) -> Self {
        self.is_new = true;
        self
    }

    /// At another path than its verb's own.
    #[must_use]
    pub const fn at(mut self, path: &'static str) -> Self {
        self.path = Some(path);
        self
    }

    /// The verb.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        self.verb
    }

    /// The method and the path.
    #[must_use]
    pub fn place(&self) -> (&'static str, &'static str) {
        let (method, path) = self.verb.row().rest.split_once(' ').unwrap_or(("GET", ""));
        (method, self.path.unwrap_or(path))
    }

    const fn changes(&self) -> bool {
        matches!(self.verb.row().effect, Effect::Change | Effect::Destructive)
    }
}

/// Schemas in the making: of what is answered, and of what is sent, where more may be left out.
struct Schemas {
    answered: SchemaGenerator,
    sent: SchemaGenerator,
}

/// Where components are, and what the names of those that are sent end with.
const COMPONENTS: &str = "#/components/schemas/";
const SENT: &str = "Input";

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            answered: settings().for_serialize().into_generator(),
            sent: settings().for_deserialize().into_generator(),
        }
    }

    /// All components that were needed.
    fn components(mut self) -> Map<String, Value> {
        let mut all = self.answered.take_definitions(true);
        all.extend(self.sent.take_definitions(true).into_iter().map(|(name, mut schema)| {
            to_sent(&mut schema);
            (format!("{name}{SENT}"), schema)
        }));
        all.values_mut().for_each(plain);
        all
    }
}

/// What is answered: a reference where the type has a name.
fn answered<T: JsonSchema>(schemas: &mut Schemas) -> Value {
    schemas.answered.subschema_for::<T>().to_value()
}

/// What is sent, in full.
fn sent<T: JsonSchema>(schemas: &mut Schemas) -> Value {
    let mut schema = T::json_schema(&mut schemas.sent).to_value();
    to_sent(&mut schema);
    plain(&mut schema);
    schema
}

/// Has references name what is sent.
fn to_sent(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if name == "$ref" => text.push_str(SENT),
                    other => to_sent(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(to_sent),
        _ => {}
    }
}

/// Takes away what says nothing on the wire: line breaks of comments, and defaults that are empty anyway.
fn plain(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            if members.get("default").is_some_and(|value| !value.is_number() && !value.is_boolean()) {
                members.remove("default");
            }
            members.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        _ => {}
    }
}

/// A reference to a component.
fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{COMPONENTS}{name}") })
}
