//! The JSON schema of the configuration, for editors.

use schemars::generate::SchemaSettings;

use crate::model::RelayConfig;

/// The schema (JSON Schema 2020-12) of what a relay reads, made of the types that it is read into, as text. It
/// says which keys there are and what they hold; [`RelayConfig::check`] says more.
#[must_use]
pub fn schema() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RelayConfig>();
    format!("{:#}\n", schema.as_value())
}
