//! Following records as they change, until nobody reads any more.

use meshkit_client::{Followed, MeshError};
use omnirelay_runtime::Result;
use serde_json::{Value, json};

use crate::output::{self, ListFormat, Notation};
use crate::table::Table;

/// How records of a kind are shown.
pub(super) struct Shown<T> {
    /// What one is called in a document.
    pub(super) name: &'static str,
    pub(super) record: fn(&T) -> Value,
    pub(super) table: fn(&[T]) -> Table,
}

impl<T> Shown<T> {
    /// Prints what `next` tells for as long as somebody reads. What cannot be printed ends it, and is told apart from what
    /// the control plane refuses.
    pub(super) async fn follow(
        &self,
        format: ListFormat,
        mut next: impl AsyncFnMut() -> Result<Followed<T>, MeshError>,
    ) -> Result<Result<()>, MeshError> {
        let mut has_begun = false;
        loop {
            let change = next().await?;
            if std::mem::replace(&mut has_begun, true) && matches!(change, Followed::Listed(_)) {
                output::note("changes were missed, so this is all there is now");
            }
            match self.print(format, &change) {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Prints one change; says whether anybody still reads.
    fn print(&self, format: ListFormat, change: &Followed<T>) -> Result<bool> {
        if let Some(notation) = format.notation() {
            return self.print_documents(notation, change);
        }
        match change {
            // What is to come has no widths, so it follows the table line by line.
            Followed::Listed(records) => {
                output::print_line((self.table)(records).render(0, format.look()).trim_end())
            }
            Followed::Put(record) => {
                let row = (self.table)(std::slice::from_ref(&**record)).rows(format.look());
                output::print_line(&format!("put  {}", row.join("\n")))
            }
            Followed::Deleted(id) => output::print_line(&output::printable(&format!("deleted  {id}"))),
        }
    }

    fn print_documents(&self, notation: Notation, change: &Followed<T>) -> Result<bool> {
        let put = |what: &str, record: &T| {
            output::print_event(notation, &json!({ "event": what, self.name: (self.record)(record) }))
        };
        match change {
            Followed::Listed(records) => {
                for record in records {
                    if !put("is", record)? {
                        return Ok(false);
                    }
                }
                // Without it nobody could tell that all were there, nor that there are none.
                output::print_event(notation, &json!({ "event": "listed", "count": records.len() }))
            }
            Followed::Put(record) => put("put", record),
            Followed::Deleted(id) => output::print_event(notation, &json!({ "event": "deleted", "key": id })),
        }
    }
}
