//! Who we are to etcd, beside the certificate.

use std::path::PathBuf;

use omnirelay_runtime::file::read_at_most;
use omnirelay_runtime::{ErrorKind, OperatorError};

use crate::error::EtcdError;

/// The most bytes of a password's file.
const MAX_PASSWORD: u64 = 4 << 10;

/// A user of etcd. The password is read from its file whenever a token is needed, and kept nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserConfig {
    /// The user's name.
    pub name: String,
    /// The file that holds the password; a line end behind it does not count.
    pub password_file: PathBuf,
}

impl UserConfig {
    pub(crate) fn password(&self) -> Result<String, EtcdError> {
        self.read().map_err(|error| EtcdError::Auth(error.to_string()))
    }

    /// Reads the password, to say early that it cannot be read.
    ///
    /// # Errors
    /// A file that is missing, unreadable, empty, longer than 4 KiB or not text.
    pub fn read(&self) -> Result<String, OperatorError> {
        let refused = |cause: String| {
            OperatorError::new(ErrorKind::Config, "the password of etcd's user cannot be read")
                .at(self.password_file.display().to_string())
                .because(cause)
                .hint("write the password alone into the file, readable by the user that runs meshkitd")
        };
        let bytes =
            read_at_most(&self.password_file, MAX_PASSWORD).map_err(|error| refused(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not text".to_owned()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(refused("it is empty".to_owned())),
            password => Ok(password.to_owned()),
        }
    }
}
