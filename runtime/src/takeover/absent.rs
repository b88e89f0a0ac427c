//! Where processes cannot hand sockets over.

use std::sync::Arc;

use super::{Estate, Heirloom, TakeoverConfig};
use crate::bootstrap::Startup;
use crate::error::{ErrorKind, OperatorError, Result};

/// Nothing is ever inherited here.
#[derive(Debug)]
pub struct Inheritance;

impl Inheritance {
    /// Nothing, unless that was asked for.
    ///
    /// # Errors
    /// A configuration that asks for it.
    pub async fn of(config: Option<&TakeoverConfig>, _startup: &Startup) -> Result<Self> {
        let Some((_key, problem, remedy)) = config.and_then(TakeoverConfig::problem) else { return Ok(Self) };
        Err(OperatorError::new(ErrorKind::Config, problem).hint(remedy))
    }

    /// Nothing.
    pub fn take(&mut self, _name: &str) -> Option<Estate> {
        None
    }

    /// Nobody has to let go.
    ///
    /// # Errors
    /// None.
    pub async fn claim(&mut self, _heirlooms: &[Arc<dyn Heirloom>]) -> Result<()> {
        Ok(())
    }

    /// Nobody follows.
    ///
    /// # Errors
    /// None.
    pub async fn serving(self, _heirlooms: Vec<Arc<dyn Heirloom>>, _startup: &Startup) -> Result<()> {
        Ok(())
    }
}
