//! Comparing passwords, which is dear on purpose: a few at a time, and not twice in a moment.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ring::hmac;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::user::{Password, PasswordHash};
use crate::error::ApiError;
use crate::token::random;

/// Comparisons at once. Each takes 19 MiB and a processor.
const AT_ONCE: usize = 4;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(10);
/// How long a password that was right is remembered. A push is a few requests, one after another.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How many are.
const MOST: usize = 1024;
/// What is kept of no password, for users that are not there.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What compares passwords.
///
/// - What is remembered is an HMAC of the password and of what is kept of it, under a key that is
///   nowhere but in this process: so a password that was changed is another one at once.
/// - Only passwords that were right are remembered. Each node does so for itself.
pub(crate) struct Passwords {
    places: Arc<Semaphore>,
    key: hmac::Key,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    #[cfg(test)]
    compared: std::sync::atomic::AtomicU32,
}

impl Passwords {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?),
            right: Mutex::default(),
            #[cfg(test)]
            compared: 0.into(),
        })
    }

    /// Whether a password was found to be this one a moment ago.
    pub(super) fn remembers(&self, password: &Password, kept: &PasswordHash) -> bool {
        let until = self.right().get(&self.digest(password, kept)).copied();
        until.is_some_and(|until| until > Instant::now())
    }

    /// Whether the password is this one; never where there is none to compare it with, which takes
    /// as long.
    pub(super) async fn compare(
        &self,
        password: &Password,
        kept: Option<&PasswordHash>,
    ) -> Result<bool, ApiError> {
        let place = self.turn().await?;
        #[cfg(test)]
        self.compared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (given, against) = (password.clone(), kept.cloned());
        let right = tokio::task::spawn_blocking(move || {
            // Held here: a client that goes away must not make room for more of them.
            let _place = place;
            match against {
                Some(kept) => kept.verify(&given),
                None => NOBODY.parse().is_ok_and(|nobody: PasswordHash| nobody.verify(&given)),
            }
        });
        let right = right.await? && kept.is_some();
        if let Some(kept) = kept.filter(|_| right) {
            self.remember(self.digest(password, kept));
        }
        Ok(right)
    }

    /// What is to be kept of a password, in the same turn as those that are compared.
    pub(super) async fn hash(&self, password: Password) -> Result<PasswordHash, ApiError> {
        let place = self.turn().await?;
        let hash = tokio::task::spawn_blocking(move || {
            let _place = place;
            password.hash()
        });
        hash.await?.map_err(ApiError::internal)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.places).acquire_owned()).await;
        turn.map_err(|_| ApiError::TooManyLogins)?.map_err(ApiError::internal)
    }

    fn remember(&self, digest: [u8; 32]) {
        let now = Instant::now();
        let mut right = self.right();
        if right.len() >= MOST {
            right.retain(|_, until| *until > now);
        }
        if right.len() < MOST {
            right.insert(digest, now + REMEMBERED);
        }
    }

    fn digest(&self, password: &Password, kept: &PasswordHash) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        // Texts of the PHC format hold no zero byte.
        context.update(kept.as_str().as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    fn right(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Instant>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Password {
        Password::given(text).unwrap()
    }

    #[tokio::test]
    async fn password_is_compared_once_in_a_moment_and_a_wrong_one_each_time() {
        let passwords = Passwords::new().unwrap();
        let compared = || passwords.compared.load(std::sync::atomic::Ordering::Relaxed);
        let right = given("correct horse battery");
        let kept = right.hash().unwrap();
        assert!(!passwords.remembers(&right, &kept));
        assert!(passwords.compare(&right, Some(&kept)).await.unwrap());
        assert!(passwords.remembers(&right, &kept));
        // After it was set anew, even to the same.
        assert!(!passwords.remembers(&right, &right.hash().unwrap()));
        let wrong = given("wrong horse battery");
        assert!(!passwords.compare(&wrong, Some(&kept)).await.unwrap());
        assert!(!passwords.remembers(&wrong, &kept));
        assert_eq!(compared(), 2);
        tokio::time::pause();
        tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
        assert!(!passwords.remembers(&right, &kept));
    }

    /// Who asks for a user that is not there waits for the same comparison.
    #[tokio::test]
    async fn password_of_nobody_is_compared_as_well() {
        let passwords = Passwords::new().unwrap();
        assert!(NOBODY.parse::<PasswordHash>().is_ok(), "of the same cost as a user's");
        assert!(!passwords.compare(&given(""), None).await.unwrap());
        assert_eq!(passwords.compared.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn passwords_are_remembered_up_to_a_number() {
        let passwords = Passwords::new().unwrap();
        for at in 0..2 * MOST as u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&at.to_le_bytes());
            passwords.remember(digest);
        }
        assert_eq!(passwords.right().len(), MOST);
    }
}
