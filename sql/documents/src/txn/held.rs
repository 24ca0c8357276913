//! What a transaction holds of the documents that it has written or locked, and how it is seen later that somebody else had them meanwhile.
//!
//! A client's transaction may outlive several of MongoDB's, each of which ends with all of its locks. That a document looks as it did is no proof that nobody had it since: FOR UPDATE
//! and foreign keys lock without a change, and what was changed may have been changed back. So whoever writes or locks a document that is there leaves a new mark in it.

use mongodb::bson::{RawDocumentBuf, cstr, oid::ObjectId, raw::CStr};

use super::odd;
use crate::fail::Fail;

/// The mark of who changes or locks a document.
const WRITTEN: &CStr = cstr!("crossfade_written");
/// The mark of who comes to point to it by a foreign key. Many may do that at once, and while it is changed elsewhere than in its key.
const POINTED: &CStr = cstr!("crossfade_pointed");

/// How much of a document is held; each holds what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    /// That it is there as it is: a row points to it (FOR KEY SHARE).
    Pointed,
    /// All but what rows point to: they may come to do so meanwhile (FOR NO KEY UPDATE).
    Columns,
    /// Everything (FOR UPDATE).
    Whole,
}

impl Hold {
    /// The mark that a lock leaves.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Hold::Pointed => POINTED.as_str(),
            Hold::Columns | Hold::Whole => WRITTEN.as_str(),
        }
    }

    /// Whether nobody else has had since what is held of a document.
    pub(super) fn is_kept(
        self,
        before: Option<&RawDocumentBuf>,
        found: Option<&RawDocumentBuf>,
    ) -> Result<bool, Fail> {
        let ignored: &[&CStr] = match self {
            Hold::Pointed | Hold::Columns => &[POINTED],
            Hold::Whole => &[],
        };
        Ok(match (before, found) {
            (None, None) => true,
            (Some(before), Some(found)) => {
                before.as_bytes() == found.as_bytes()
                    || without(before, ignored)?.as_bytes() == without(found, ignored)?.as_bytes()
            }
            (None, Some(_)) | (Some(_), None) => false,
        })
    }
}

/// A document with a new mark. It is another one than any that had one before, also for who knows the other mark.
pub(super) fn marked(document: &RawDocumentBuf) -> Result<RawDocumentBuf, Fail> {
    let mut marked = without(document, &[WRITTEN, POINTED])?;
    marked.append(WRITTEN, ObjectId::new());
    Ok(marked)
}

fn without(document: &RawDocumentBuf, names: &[&CStr]) -> Result<RawDocumentBuf, Fail> {
    let mut left = RawDocumentBuf::new();
    for element in document.iter() {
        let (name, value) = element.map_err(|error| odd(&error))?;
        if !names.contains(&name) {
            left.append(name, value);
        }
    }
    Ok(left)
}
