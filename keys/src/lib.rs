//! OpenPGP for images: key material, signing, the one verification, the trust store.
