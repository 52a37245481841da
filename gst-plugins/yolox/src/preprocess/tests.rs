//! Against slow, obvious references.
