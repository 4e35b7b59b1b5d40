//! SHA-512 of what comes piece by piece.

/// The state of a hash. OpenSSL's, where it is there, does in two thirds of the time what the other
/// one does (docs/performance.md).
#[derive(Clone)]
pub struct Sha512(State);

#[cfg(feature = "crypto-openssl")]
type State = openssl::sha::Sha512;
#[cfg(not(feature = "crypto-openssl"))]
type State = sha2::Sha512;

impl Default for Sha512 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha512 {
    /// Of nothing so far.
    pub fn new() -> Self {
        #[cfg(not(feature = "crypto-openssl"))]
        use sha2::Digest as _;
        Self(State::new())
    }

    /// Takes the next bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        #[cfg(not(feature = "crypto-openssl"))]
        use sha2::Digest as _;
        self.0.update(bytes);
    }

    /// The hash of all that came.
    pub fn finish(self) -> [u8; 64] {
        #[cfg(not(feature = "crypto-openssl"))]
        return sha2::Digest::finalize(self.0).into();
        #[cfg(feature = "crypto-openssl")]
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's own example, and pieces of every length against another implementation.
    #[test]
    fn hash_is_that_of_the_standard_however_the_pieces_come() {
        let mut abc = Sha512::new();
        abc.update(b"abc");
        let wanted = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
            2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        assert_eq!(crate::digest::hex(&abc.clone().finish()), wanted);
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(at) >> 5) as u8).collect();
        let (mut hash, mut at) = (Sha512::default(), 0);
        for length in 0.. {
            let end = bytes.len().min(at + length);
            hash.update(&bytes[at..end]);
            at = end;
            if at == bytes.len() {
                break;
            }
        }
        let other: [u8; 64] = <sha2::Sha512 as sha2::Digest>::digest(&bytes).into();
        assert_eq!(hash.finish(), other);
    }
}
