//! The crate as its users see it: files on disk, variables, documents.

#[cfg(test)]
mod directory;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod load;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
