//! Pages of a listing.

use meshkit_model::Invalid;
use meshkit_store::Cursor;
use relay_core::Status;

use crate::error::invalid;

/// The most records of a page.
pub const MAX_PAGE: u32 = 1_000;
const DEFAULT_PAGE: u32 = 100;

/// The size of a page that a caller asked for; 0 means 100.
///
/// # Errors
/// `invalid-argument` above [`MAX_PAGE`].
pub fn page_size(asked: u32) -> Result<u32, Status> {
    match asked {
        0 => Ok(DEFAULT_PAGE),
        1..=MAX_PAGE => Ok(asked),
        _ => Err(invalid(&Invalid::new("limit", format!("is {asked}; a page has 1 to {MAX_PAGE}")))),
    }
}

/// The position that a token stands for; none where there is no token.
///
/// # Errors
/// `invalid-argument` for a token of another listing.
pub fn start_of_page(token: &str, filter: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    Cursor::position(token, filter).map(Some).map_err(|error| invalid(&error))
}
