//! `rearguard schema`.

use super::Error;

pub(super) fn run() -> Result<String, Error> {
    Err(Error::NotBuilt)
}
