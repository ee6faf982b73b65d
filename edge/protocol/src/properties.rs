//! Properties of the codecs over messages of every shape.
