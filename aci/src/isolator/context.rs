//! Names that a security module of the kernel gives meaning to.

use std::fmt;

use serde_json::Value;

use super::IsolatorError;
use super::object::Object;

/// An SELinux security context.
///
/// - No part is empty.
/// - Only the level holds a `:`, which separates the parts in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelinuxContext {
    user: String,
    role: String,
    kind: String,
    level: String,
}

impl SelinuxContext {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let object = Object::of(name, value, &["user", "role", "type", "level"])?;
        let part = |field: &'static str, without: &'static str| {
            let found = object.text(field)?;
            if found.is_empty() || (!without.is_empty() && found.contains(':')) {
                let name = name.to_owned();
                return Err(IsolatorError::Context { name, field, without, found });
            }
            Ok(found)
        };
        Ok(Self {
            user: part("user", " and holds no \":\"")?,
            role: part("role", " and holds no \":\"")?,
            kind: part("type", " and holds no \":\"")?,
            level: part("level", "")?,
        })
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The type, or domain.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The level.
    pub fn level(&self) -> &str {
        &self.level
    }
}

impl fmt::Display for SelinuxContext {
    /// `user:role:type:level`, as the kernel takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.user, self.role, self.kind, self.level)
    }
}

/// The name of an AppArmor profile, which is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApparmorProfile {
    profile: String,
}

impl ApparmorProfile {
    pub(super) fn parse(name: &str, value: &Value) -> Result<Self, IsolatorError> {
        let profile = Object::of(name, value, &["profile"])?.text("profile")?;
        if profile.is_empty() {
            let (name, field, without) = (name.to_owned(), "profile", "");
            return Err(IsolatorError::Context { name, field, without, found: profile });
        }
        Ok(Self { profile })
    }

    /// The profile's name.
    pub fn as_str(&self) -> &str {
        &self.profile
    }
}
