//! What the proxies of one migration share: a few small entries in a store, beside the application's tables.

use futures::future::BoxFuture;

use crate::StoreResult;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name among the entries of its toggle.
    pub name: String,
    /// Grows with every change.
    pub serial: i64,
    /// What it says.
    pub body: String,
}

/// The entries of one side of the migration, in a store. Two sides that are one database keep theirs apart.
///
/// Every change is one atomic step in the store, durable when it resolves. A call that fails may have taken effect all the same: who needs to know
/// reads again.
pub trait Control: Send + Sync + 'static {
    /// Makes room for entries where there is none. Idempotent, also beside others that do the same.
    ///
    /// # Errors
    /// The store's, for want of a right above all.
    fn prepare(&self) -> BoxFuture<'_, StoreResult<()>>;

    /// The entries of a toggle; none in a store that was never prepared.
    fn entries<'a>(&'a self, toggle: &'a str) -> BoxFuture<'a, StoreResult<Vec<Entry>>>;

    /// Puts `entry` in the place of the one of its name with the serial number `seen`, or, where that is `None`, where there is none of its name.
    /// `false` when another is there by now.
    fn swap<'a>(
        &'a self,
        toggle: &'a str,
        seen: Option<i64>,
        entry: &'a Entry,
    ) -> BoxFuture<'a, StoreResult<bool>>;

    /// Puts a body under a name, whatever is there, with the next serial number.
    fn put<'a>(
        &'a self,
        toggle: &'a str,
        name: &'a str,
        body: &'a str,
    ) -> BoxFuture<'a, StoreResult<()>>;

    /// Takes an entry away, if it is there.
    fn remove<'a>(&'a self, toggle: &'a str, name: &'a str) -> BoxFuture<'a, StoreResult<()>>;
}
