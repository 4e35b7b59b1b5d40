//! Make images: pack a tree.
