//! What a file is in the image where that is not what it is on disk.

use std::fmt;

use aci::archive::move_attribute_ids;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::FileType;

use crate::attributes::belongs;
use crate::capability::{self, CapabilityError};
use crate::ignore::{Pattern, PatternError};

/// One change to all files that a pattern means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// As the user wrote it.
    text: String,
    pattern: Pattern,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Owner(u32, u32),
    Mode(u32),
    Attribute { name: Vec<u8>, value: Vec<u8> },
    Capability(Vec<u8>),
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// No `=` where one belongs.
    #[error("{text:?} is not {form}")]
    Form {
        /// What was given.
        text: String,
        /// What was wanted.
        form: &'static str,
    },
    /// Not a number of user and group.
    #[error("{0:?} is not UID:GID in numbers of at most 4294967294")]
    Owner(String),
    /// Not a mode.
    #[error("{0:?} is no mode: write it in octal digits, 0 to 7777")]
    Mode(String),
    /// Not the name of an extended attribute.
    #[error(
        "{0:?} is no attribute that an image can have: its name begins with user., security., \
         trusted. or system.posix_acl_, has no \"=\" and at most 255 bytes"
    )]
    AttributeName(String),
    /// An attribute that packing from disk leaves out.
    #[error(
        "{0:?} is no attribute that a build keeps: user.*, security.capability, \
         system.posix_acl_access and system.posix_acl_default are"
    )]
    NotKept(String),
    /// Not the value of an extended attribute.
    #[error("{0:?} is no value: 0x takes hexadecimal digits, 0s base64, and 64 KiB is the most")]
    AttributeValue(String),
    /// Bytes that the kernel would not take for the value of this attribute.
    #[error(
        "{0} has a form of its own, which these bytes are not: write it as setfattr does, from what \
         getfattr -e hex prints, and capabilities with --cap"
    )]
    AttributeForm(String),
    /// Not capabilities.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
}

impl Rule {
    /// `PATTERN` belongs to `UID:GID`.
    pub fn owner(pattern: &str, owner: &str) -> Result<Self, RuleError> {
        let (uid, gid) = ids(owner).ok_or_else(|| RuleError::Owner(owner.to_owned()))?;
        Self::new(format!("{pattern} {owner}"), pattern, Change::Owner(uid, gid))
    }

    /// `PATTERN=MODE`, the mode in octal digits. Symlinks have no mode.
    pub fn mode(text: &str) -> Result<Self, RuleError> {
        let (pattern, mode) =
            text.rsplit_once('=').ok_or_else(|| form(text, "PATTERN=MODE, as /bin/su=4755"))?;
        Self::with_mode(pattern, mode)
    }

    /// The same in its two parts.
    pub(crate) fn with_mode(pattern: &str, mode: &str) -> Result<Self, RuleError> {
        Self::new(format!("{pattern}={mode}"), pattern, Change::Mode(read_mode(mode)?))
    }

    /// `PATTERN:NAME=VALUE`. A value that begins with `0x` is hexadecimal, one with `0s` base64,
    /// as setfattr has it; any other is text.
    pub fn attribute(text: &str) -> Result<Self, RuleError> {
        let wanted = || form(text, "PATTERN:NAME=VALUE, as /bin/x:user.note=text");
        let (target, value) = text.split_once('=').ok_or_else(wanted)?;
        let (pattern, name) = target.rsplit_once(':').ok_or_else(wanted)?;
        Self::any_attribute(pattern, name, value)
    }

    /// The same in its three parts, where a build has to keep it.
    pub(crate) fn with_attribute(
        pattern: &str,
        name: &str,
        value: &str,
    ) -> Result<Self, RuleError> {
        check_kept(name)?;
        Self::any_attribute(pattern, name, value)
    }

    fn any_attribute(pattern: &str, name: &str, value: &str) -> Result<Self, RuleError> {
        let text = format!("{pattern}:{name}={value}");
        let (name, value) = named_value(name, value)?;
        Self::new(text, pattern, Change::Attribute { name, value })
    }

    /// `PATTERN=CAPABILITIES` in the form of getcap, as `/bin/x=cap_net_bind_service+ep`. Only
    /// regular files have capabilities.
    pub fn capability(text: &str) -> Result<Self, RuleError> {
        let (pattern, capabilities) = text
            .split_once('=')
            .ok_or_else(|| form(text, "PATTERN=CAPABILITIES, as /bin/x=cap_net_raw+ep"))?;
        Self::with_capability(pattern, capabilities)
    }

    /// The same in its two parts.
    pub(crate) fn with_capability(pattern: &str, capabilities: &str) -> Result<Self, RuleError> {
        let value = capability::parse(capabilities)?;
        Self::new(format!("{pattern}={capabilities}"), pattern, Change::Capability(value))
    }

    fn new(text: String, pattern: &str, change: Change) -> Result<Self, RuleError> {
        Ok(Self { text, pattern: Pattern::new(pattern)?, change })
    }

    fn concerns(&self, below: &[u8], kind: FileType) -> bool {
        let can = match self.change {
            Change::Owner(..) => true,
            Change::Mode(_) | Change::Attribute { .. } => kind != FileType::Symlink,
            Change::Capability(_) => kind == FileType::RegularFile,
        };
        can && self.pattern.matches(below, kind == FileType::Directory)
    }
}

/// Name and value of an extended attribute that a build keeps, from `NAME=VALUE`. The value as in
/// [`Rule::attribute`].
pub fn extended_attribute(text: &str) -> Result<(Vec<u8>, Vec<u8>), RuleError> {
    let wanted = || form(text, "NAME=VALUE, as user.note=text");
    let (name, value) = text.split_once('=').ok_or_else(wanted)?;
    check_kept(name)?;
    named_value(name, value)
}

/// In a build, root's files have their attributes on disk, and an ordinary user's in a list: what is
/// not packed from disk would be in the image of the one and not of the other.
fn check_kept(name: &str) -> Result<(), RuleError> {
    if belongs(name.as_bytes()) { Ok(()) } else { Err(RuleError::NotKept(name.to_owned())) }
}

/// The bytes of an extended attribute that an image can have.
fn named_value(name: &str, value: &str) -> Result<(Vec<u8>, Vec<u8>), RuleError> {
    let spaces = ["user.", "security.", "trusted.", "system.posix_acl_"];
    let allowed = spaces.iter().any(|&space| name.starts_with(space) && name.len() > space.len());
    if !allowed || name.len() > 255 || name.contains(['\0', '=']) {
        return Err(RuleError::AttributeName(name.to_owned()));
    }
    let bytes = if let Some(digits) = value.strip_prefix("0x") {
        hexadecimal(digits)
    } else if let Some(digits) = value.strip_prefix("0s") {
        STANDARD.decode(digits).ok()
    } else {
        Some(value.as_bytes().to_vec())
    };
    // The kernel's own limit (XATTR_SIZE_MAX): no file could be unpacked with more.
    let bytes = bytes.filter(|bytes| bytes.len() <= 64 << 10);
    let bytes = bytes.ok_or_else(|| RuleError::AttributeValue(value.to_owned()))?;
    // Whatever it says, no file could be unpacked with it.
    if move_attribute_ids(name.as_bytes(), &bytes, somebody, somebody).is_none() {
        return Err(RuleError::AttributeForm(name.to_owned()));
    }
    Ok((name.as_bytes().to_vec(), bytes))
}

/// With the option that takes such a rule.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.change {
            Change::Owner(..) => "--owner-map path",
            Change::Mode(_) => "--mode",
            Change::Attribute { .. } => "--xattr",
            Change::Capability(_) => "--cap",
        };
        write!(f, "{option} {}", self.text)
    }
}

fn form(text: &str, form: &'static str) -> RuleError {
    RuleError::Form { text: text.to_owned(), form }
}

/// The ID, if it can be anybody's. The last of all numbers means "no change" to the kernel, which
/// shows it in an access list for an ID that is none here (posix_acl_to_xattr).
pub(crate) fn somebody(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// User and group as two numbers with a colon between.
pub(crate) fn ids(text: &str) -> Option<(u32, u32)> {
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let id = |text: &str| text.parse().ok().filter(|_| is_digits(text)).and_then(somebody);
    let (uid, gid) = text.split_once(':')?;
    Some((id(uid)?, id(gid)?))
}

/// A mode in octal digits.
pub fn read_mode(text: &str) -> Result<u32, RuleError> {
    let number = u32::from_str_radix(text, 8).ok();
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = number.filter(|&number| digits && number <= 0o7777);
    number.ok_or_else(|| RuleError::Mode(text.to_owned()))
}

fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8));
    rest.is_empty().then(|| bytes.collect())?
}

/// What the rules say of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) mode: Option<u32>,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Override {
    /// What this says, but for what `more` says.
    pub(crate) fn then(mut self, more: Self) -> Self {
        self.owner = more.owner.or(self.owner);
        self.mode = more.mode.or(self.mode);
        for (name, value) in &more.attributes {
            self.set(name, value);
        }
        self
    }

    /// Whether it says what this attribute is.
    pub(crate) fn gives(&self, name: &[u8]) -> bool {
        self.attributes.iter().any(|(own, _)| own == name)
    }

    /// Puts its attributes to those of the file, sorted by name.
    pub(crate) fn attributes(&self, mut all: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
        for (name, value) in &self.attributes {
            all.retain(|(other, _)| other != name);
            all.push((name.clone(), value.clone()));
        }
        all.sort();
        all
    }
}

/// The rules, of which a later one counts more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(pub Vec<Rule>);

impl Overrides {
    /// Refuses attributes that a build does not keep.
    pub fn check_kept(&self) -> Result<(), RuleError> {
        self.0.iter().try_for_each(|rule| match &rule.change {
            Change::Attribute { name, .. } => check_kept(&String::from_utf8_lossy(name)),
            _ => Ok(()),
        })
    }

    /// What they say of one file; `used` is told which of them do.
    pub(crate) fn of(&self, below: &[u8], kind: FileType, mut used: impl FnMut(usize)) -> Override {
        let mut found = Override::default();
        for (at, rule) in self.0.iter().enumerate() {
            if !rule.concerns(below, kind) {
                continue;
            }
            used(at);
            match &rule.change {
                Change::Owner(uid, gid) => found.owner = Some((*uid, *gid)),
                Change::Mode(mode) => found.mode = Some(*mode),
                Change::Attribute { name, value } => found.set(name, value),
                Change::Capability(value) => found.set(capability::NAME, value),
            }
        }
        found
    }
}

impl Override {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        self.attributes.retain(|(other, _)| other != name);
        self.attributes.push((name.to_vec(), value.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rules: &[Rule], below: &str, kind: FileType) -> Override {
        Overrides(rules.to_vec()).of(below.as_bytes(), kind, |_| ())
    }

    #[test]
    fn rule_that_comes_later_counts_more() {
        let rules = [
            Rule::mode("*=0644").unwrap(),
            Rule::mode("/bin/*=755").unwrap(),
            Rule::owner("/bin/", "1:2").unwrap(),
        ];
        let file = FileType::RegularFile;
        assert_eq!(of(&rules, "etc/x", file).mode, Some(0o644));
        assert_eq!(of(&rules, "bin/x", file).mode, Some(0o755));
        assert_eq!(of(&rules, "bin/x", file).owner, None, "only the folder");
        assert_eq!(of(&rules, "bin", FileType::Directory).owner, Some((1, 2)));
        assert_eq!(of(&rules, "bin/x", FileType::Symlink).mode, None, "a link has none");
    }

    #[test]
    fn attribute_rule_reads_text_hexadecimal_and_base64() {
        let value = |text: &str| {
            let rule = Rule::attribute(&format!("/a:b:user.note={text}")).unwrap();
            let Change::Attribute { name, value } = rule.change else { panic!("{rule}") };
            assert_eq!(name, b"user.note");
            assert!(rule.pattern.matches(b"a:b", false));
            value
        };
        assert_eq!(value("a=b"), b"a=b");
        assert_eq!(value(""), b"");
        assert_eq!(value("0x00fF"), [0, 255]);
        assert_eq!(value("0sAP8="), [0, 255]);
        for wrong in ["0x0", "0xzz", "0s!", &"x".repeat(65537)] {
            let text = format!("/a:user.note={wrong}");
            assert!(matches!(Rule::attribute(&text), Err(RuleError::AttributeValue(_))), "{text}");
        }
        for wrong in ["security.capability=junk", "system.posix_acl_access=0x02"] {
            let text = format!("/a:{wrong}");
            assert!(matches!(Rule::attribute(&text), Err(RuleError::AttributeForm(_))), "{text}");
        }
        let empty_list = Rule::attribute("/a:system.posix_acl_default=0x02000000");
        assert!(empty_list.is_ok());
        for wrong in ["a:user.=x", "a:system.other=x", "a:note=x"] {
            assert!(matches!(Rule::attribute(wrong), Err(RuleError::AttributeName(_))), "{wrong}");
        }
        for wrong in ["trusted.a=1", "security.foo=1", "user.overlay.opaque=y", "note=x"] {
            assert!(matches!(extended_attribute(wrong), Err(RuleError::NotKept(_))), "{wrong}");
            let rule = Rule::attribute(&format!("/a:{wrong}"));
            assert_eq!(rule.is_ok(), wrong != "note=x", "packing takes it: {wrong}");
            assert!(rule.map_or(true, |rule| Overrides(vec![rule]).check_kept().is_err()));
        }
        for wrong in ["/a", "user.note=x"] {
            assert!(matches!(Rule::attribute(wrong), Err(RuleError::Form { .. })), "{wrong}");
        }
    }

    #[test]
    fn attribute_rule_takes_the_place_of_the_files_own() {
        let rules = [
            Rule::attribute("/a:user.b=1").unwrap(),
            Rule::attribute("/a:user.b=2").unwrap(),
            Rule::capability("/a=cap_chown=ep").unwrap(),
        ];
        let own = vec![(b"user.b".to_vec(), b"own".to_vec()), (b"user.c".to_vec(), b"c".to_vec())];
        let all = of(&rules, "a", FileType::RegularFile).attributes(own);
        let names: Vec<_> = all.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [capability::NAME, b"user.b", b"user.c"]);
        assert_eq!(all[1].1, b"2");
        assert_eq!(of(&rules, "a", FileType::Directory).attributes(Vec::new()).len(), 1);
    }

    #[test]
    fn rule_that_is_none_is_refused() {
        for wrong in ["/a", "/a=", "/a=8", "/a=u+x", "/a=10000", "/a=+7"] {
            assert!(Rule::mode(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(Rule::mode("=755"), Err(RuleError::Pattern(_))));
        for wrong in ["1", "1:", ":1", "a:b", "1:4294967295", "-1:0"] {
            assert!(Rule::owner("/a", wrong).is_err(), "{wrong}");
        }
        assert!(Rule::capability("/a").is_err());
        assert!(Rule::capability("/a=cap_fly+p").is_err());
    }
}
