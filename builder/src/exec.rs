//! A look at the program that an image runs: is it there, can it be run, and by this machine?
//!
//! What is found becomes warnings, never an error: an image may be made to be completed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aci::ImageManifest;
use elf::abi;
use elf::endian::{AnyEndian, EndianParse};
use elf::file::FileHeader;
use elf::segment::SegmentTable;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::tree::Tree;

/// What is wrong with the program that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecWarning {
    /// The first word of `app.exec`.
    pub program: String,
    /// What is wrong with it.
    pub fault: ExecFault,
}

/// What is wrong with a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecFault {
    /// It is not in the tree.
    Absent,
    /// It is something else than a regular file.
    NoFile,
    /// Nobody may execute it; these are its permission bits.
    NotExecutable(u32),
    /// It is for another machine than the label `arch` says.
    Architecture {
        /// What it was built for.
        built: String,
        /// The label.
        label: String,
    },
    /// What it is run with is not in the tree: a script's interpreter, or a dynamic linker.
    Interpreter(String),
}

impl fmt::Display for ExecWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec {:?} ", self.program)?;
        match &self.fault {
            ExecFault::Absent => write!(f, "is not in the tree"),
            ExecFault::NoFile => write!(f, "is no regular file"),
            ExecFault::NotExecutable(mode) => {
                write!(f, "is not executable: its mode is {mode:04o}")
            }
            ExecFault::Architecture { built, label } => {
                write!(f, "is built for {built}, and the label arch says {label}")
            }
            ExecFault::Interpreter(path) => write!(f, "needs {path:?}, which is not in the tree"),
        }
    }
}

/// What a manifest says of its program.
pub(crate) struct Exec<'a> {
    program: &'a str,
    /// Folders to look in, each ending in `/`; one that is empty for a program with a path.
    folders: Vec<String>,
    arch: Option<&'a str>,
    /// Whether files may come from other images.
    has_dependencies: bool,
}

impl<'a> Exec<'a> {
    /// `None` where there is no program, or it is for a system whose programs are not looked at.
    pub(crate) fn of(manifest: &'a ImageManifest) -> Option<Self> {
        let app = manifest.app.as_ref()?;
        let program = app.exec.first()?.as_str();
        if manifest.labels.value("os").is_some_and(|os| os != "linux") {
            return None;
        }
        let here = format!("{}/", app.working_directory.as_deref().unwrap_or("/"));
        // Spec: aci.md, "exec": as the shell searches, and as execvp(3) without a PATH.
        let folders = if program.starts_with('/') {
            vec![String::new()]
        } else if program.contains('/') {
            vec![here]
        } else if let Some(path) = app.environment.iter().find(|variable| variable.name == "PATH") {
            path.value.split(':').map(|folder| format!("{folder}/")).collect()
        } else {
            vec![here, "/bin/".to_owned(), "/usr/bin/".to_owned()]
        };
        Some(Self {
            program,
            folders,
            arch: manifest.labels.value("arch"),
            has_dependencies: !manifest.dependencies.is_empty(),
        })
    }

    /// Looks at the program in the tree.
    pub(crate) fn look(&self, tree: &Tree<'_>) -> Vec<ExecWarning> {
        let Ok(inside) = Inside::new(tree) else { return Vec::new() };
        let found = self
            .folders
            .iter()
            .find_map(|folder| inside.find(&format!("{folder}{}", self.program)).transpose());
        let faults = match found {
            Some(Ok(found)) => self.faults(&inside, found),
            // A kernel without `openat2`, or a file that this user may not look at.
            Some(Err(_)) => Vec::new(),
            None if self.has_dependencies => Vec::new(),
            None => vec![ExecFault::Absent],
        };
        let program = self.program.to_owned();
        faults.into_iter().map(|fault| ExecWarning { program: program.clone(), fault }).collect()
    }

    fn faults(&self, inside: &Inside<'_>, found: Program) -> Vec<ExecFault> {
        let Some(mode) = found.mode else { return vec![ExecFault::NoFile] };
        let mut faults = Vec::new();
        if mode & 0o111 == 0 {
            faults.push(ExecFault::NotExecutable(mode));
        }
        // A broken program is the user's affair.
        let Ok(needs) = Needs::of(found.file) else { return faults };
        if let (Some(machine), Some(label)) = (needs.machine, self.arch)
            && let Some(wanted) = machine_of(label)
            && wanted != machine
        {
            let built = name_of(machine);
            faults.push(ExecFault::Architecture { built, label: label.to_owned() });
        }
        if let Some(interpreter) = needs.interpreter
            && !self.has_dependencies
            && matches!(inside.find(&interpreter), Ok(None))
        {
            faults.push(ExecFault::Interpreter(interpreter));
        }
        faults
    }
}

/// The tree as a program in it sees it: links lead nowhere else.
struct Inside<'a> {
    tree: &'a Tree<'a>,
    root: OwnedFd,
}

struct Program {
    file: File,
    /// The permission bits of a regular file.
    mode: Option<u32>,
}

impl<'a> Inside<'a> {
    fn new(tree: &'a Tree<'a>) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { tree, root: rustix::fs::open(tree.root, flags, Mode::empty())? })
    }

    /// The file that this path leads to, its links followed; `None` where none is packed.
    fn find(&self, path: &str) -> io::Result<Option<Program>> {
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if self.tree.one_file_system {
            resolve |= ResolveFlags::NO_XDEV;
        }
        // A pipe or a device is not waited for.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let real = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}"));
        let (root, real) = (real(self.root.as_raw_fd())?, real(file.as_raw_fd())?);
        let below = real.strip_prefix(&root).unwrap_or(Path::new("")).as_os_str().as_bytes();
        if self.tree.ignore.hidden(below) {
            return Ok(None);
        }
        let stat = rustix::fs::fstat(&file)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let changed = self.tree.overrides.of(below, kind, |_| ()).mode;
        let mode = changed.unwrap_or(stat.st_mode & 0o7777);
        Ok(Some(Program { file, mode: (kind == FileType::RegularFile).then_some(mode) }))
    }
}

/// What a program needs to be run.
#[derive(Default)]
struct Needs {
    machine: Option<Machine>,
    interpreter: Option<String>,
}

/// An ELF machine, and whether its high byte comes first.
type Machine = (u16, bool);

/// A path the kernel takes (`PATH_MAX`).
const LONGEST_PATH: u64 = 4096;
/// Of 64-bit files; that of others is shorter.
const ELF_HEADER_BYTES: u64 = 64;
/// Programs have a dozen program headers of 56 bytes.
const LONGEST_TABLE: u64 = 64 << 10;

impl Needs {
    fn of(mut file: File) -> io::Result<Self> {
        let mut magic = [0; 4];
        let got = file.read(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        match &magic[..got] {
            [b'#', b'!', ..] => Self::of_script(file),
            b"\x7fELF" => Self::of_elf(file).map_err(io::Error::other),
            _ => Ok(Self::default()),
        }
    }

    fn of_script(file: File) -> io::Result<Self> {
        let mut line = Vec::new();
        BufReader::new(file).take(LONGEST_PATH).read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line[2..]).into_owned();
        Ok(Self {
            interpreter: line
                .trim_end_matches('\n')
                .split([' ', '\t'])
                .find(|word| !word.is_empty())
                .map(Into::into),
            machine: None,
        })
    }

    /// Only the header and the program headers, which are small, are read: how long the tables of a
    /// file say they are is its own word.
    fn of_elf(mut file: File) -> Result<Self, elf::ParseError> {
        let mut header = Vec::new();
        file.by_ref().take(ELF_HEADER_BYTES).read_to_end(&mut header)?;
        let (ident, tail) = header.split_at_checked(abi::EI_NIDENT).unwrap_or_default();
        let mut ident_bytes = [0; abi::EI_NIDENT];
        ident_bytes[..ident.len()].copy_from_slice(ident);
        let ident = elf::file::parse_ident::<AnyEndian>(&ident_bytes)?;
        let elf = FileHeader::parse_tail(ident, tail)?;
        let mut needs =
            Self { machine: Some((elf.e_machine, elf.endianness.is_big())), interpreter: None };
        let mut part = |offset, bytes| {
            let mut part = Vec::new();
            file.seek(SeekFrom::Start(offset))?;
            file.by_ref().take(bytes).read_to_end(&mut part).map(|_| part)
        };
        let bytes = u64::from(elf.e_phnum) * u64::from(elf.e_phentsize);
        let table = part(elf.e_phoff, bytes.min(LONGEST_TABLE))?;
        let segments = SegmentTable::new(elf.endianness, elf.class, &table);
        if let Some(segment) = segments.iter().find(|segment| segment.p_type == abi::PT_INTERP) {
            let path = part(segment.p_offset, segment.p_filesz.min(LONGEST_PATH))?;
            let path = path.split(|&b| b == 0).next().unwrap_or_default();
            needs.interpreter = String::from_utf8(path.to_vec()).ok().filter(|p| !p.is_empty());
        }
        Ok(needs)
    }
}

/// The machine of each value of the label `arch` that the specification has for Linux.
const MACHINES: &[(&str, Machine)] = &[
    ("amd64", (abi::EM_X86_64, false)),
    ("i386", (abi::EM_386, false)),
    ("aarch64", (abi::EM_AARCH64, false)),
    ("aarch64_be", (abi::EM_AARCH64, true)),
    ("armv7l", (abi::EM_ARM, false)),
    ("armv6l", (abi::EM_ARM, false)),
    ("armv7b", (abi::EM_ARM, true)),
    ("ppc64", (abi::EM_PPC64, true)),
    ("ppc64le", (abi::EM_PPC64, false)),
    ("s390x", (abi::EM_S390, true)),
];

fn machine_of(arch: &str) -> Option<Machine> {
    MACHINES.iter().find(|(name, _)| *name == arch).map(|(_, machine)| *machine)
}

fn name_of(machine: Machine) -> String {
    let known = MACHINES.iter().find(|(_, known)| *known == machine);
    known.map_or_else(|| format!("ELF machine {}", machine.0), |(name, _)| (*name).to_owned())
}
