use proptest::prelude::*;

use super::*;

fn variables() -> BTreeMap<String, String> {
    let all = [("VERSION", "1.0"), ("EMPTY", ""), ("HARD", "a 'b\" ${VERSION} #\\")];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn commands(text: &str) -> Vec<Vec<String>> {
    let script = Script::parse(text.as_bytes(), &variables()).unwrap();
    let texts = |line: &Line| line.words.iter().map(|word| word.text.clone()).collect();
    script.lines().iter().map(texts).collect()
}

/// Line, column and kind.
type At = (usize, usize, ScriptFaultKind);

fn faults(text: &[u8]) -> Vec<At> {
    let faults = Script::parse(text, &variables()).unwrap_err();
    faults.into_iter().map(|fault| (fault.line, fault.column, fault.kind)).collect()
}

/// Each of one line, as acbuild's own tests have them.
#[test]
fn script_words_are_those_of_acbuild() {
    let table: &[(&str, &[&str])] = &[
        ("run -- test", &["run", "--", "test"]),
        ("run -- \t test", &["run", "--", "test"]),
        ("\t run --  test   ", &["run", "--", "test"]),
        ("run  -- #this is a test", &["run", "--"]),
        (r#"this "comment in #a string""#, &["this", "comment in #a string"]),
        ("this 'comment in #another string'", &["this", "comment in #another string"]),
        (r#"set-name \\'hello'\\"""#, &["set-name", r"\hello\"]),
        (r"set-name \'he llo\'", &["set-name", "'he", "llo'"]),
        ("set-name 'he llo'", &["set-name", "he llo"]),
        (r#"set-name \"he llo\""#, &["set-name", "\"he", "llo\""]),
        (r#"set-name "t'es't""#, &["set-name", "t'es't"]),
        (r#"set-name 't"es"t'"#, &["set-name", "t\"es\"t"]),
        (r#"set-name t"es"t"#, &["set-name", "test"]),
        (r#"set-name "te"'st'"#, &["set-name", "test"]),
        (r"set-name 'i\'s' 'a\\'", &["set-name", "i's", r"a\"]),
        (
            r#"set-name 't'h"i's "i\'s" 'a' "t''''e""""s'""'t\\"#,
            &["set-name", r#"thi's i's 'a' tes""t\"#],
        ),
        ("SET-Name Hello", &["set-name", "Hello"]),
        ("copy *.c {a,b} ~ .", &["copy", "*.c", "{a,b}", "~", "."]),
        ("a\u{a0}b c\rd", &["a\u{a0}b", "c\rd"]),
    ];
    for (text, words) in table {
        assert_eq!(commands(text), [*words], "{text}");
    }
}

#[test]
fn script_words_that_acbuild_lost_are_there() {
    let table: &[(&str, &[&str])] = &[
        ("set-exec /bin/a#b", &["set-exec", "/bin/a#b"]),
        ("set-exec ''#b \\#c", &["set-exec", "#b", "#c"]),
        (r#"label add a """#, &["label", "add", "a", ""]),
        ("'' ''", &["", ""]),
    ];
    for (text, words) in table {
        assert_eq!(commands(text), [*words], "{text}");
    }
}

#[test]
fn script_without_commands_is_empty() {
    for text in ["", "\n\n", "#", "  # a", "#!/usr/bin/acbuild\n", "\u{feff}#a", "\\\n", "\r\n\r\n"]
    {
        assert!(commands(text).is_empty(), "{text:?}");
    }
}

#[test]
fn script_lines_are_joined() {
    let table: &[(&str, &[&[&str]])] = &[
        ("a b\nc", &[&["a", "b"], &["c"]]),
        ("a \\\nb", &[&["a", "b"]]),
        ("a\\\n  b\\\r\nc", &[&["a", "b", "c"]]),
        ("a \\ \t\nb", &[&["a", "b"]]),
        ("a \\\n# b\nc", &[&["a"], &["c"]]),
        ("a # b \\\nc", &[&["a"], &["c"]]),
        ("a\\\\\nb", &[&["a\\"], &["b"]]),
        ("a \\\n\nb", &[&["a"], &["b"]]),
        ("a 'b \\\n\t c'd", &[&["a", "b  cd"]]),
        ("a \\\n", &[&["a"]]),
        ("a\\ b", &[&["a b"]]),
    ];
    for (text, lines) in table {
        assert_eq!(commands(text), *lines, "{text:?}");
    }
}

#[test]
fn script_variables_are_parts_of_words() {
    let table: &[(&str, &[&str])] = &[
        ("a v${VERSION}-${VERSION}", &["a", "v1.0-1.0"]),
        ("a \"${VERSION}\"", &["a", "1.0"]),
        ("a '${VERSION}'", &["a", "${VERSION}"]),
        ("a \\${VERSION} \"\\${NONE}\"", &["a", "${VERSION}", "${NONE}"]),
        ("a ${HARD}", &["a", "a 'b\" ${VERSION} #\\"]),
        ("a ${EMPTY} b", &["a", "", "b"]),
        ("a $VERSION $(ls) $ ${ ${} ${1}", &["a", "$VERSION", "$(ls)", "$", "${", "${}", "${1}"]),
        ("a ${VERSION:-x} ${VERSION", &["a", "${VERSION:-x}", "${VERSION"]),
        ("a $${VERSION}", &["a", "$1.0"]),
        ("a # ${NONE}", &["a"]),
    ];
    for (text, words) in table {
        assert_eq!(commands(text), [*words], "{text}");
    }
}

#[test]
fn script_words_know_their_place() {
    let script = Script::parse("é 'ö x'  b \\\n  ${VERSION}c d\n\n e".as_bytes(), &variables());
    let script = script.unwrap();
    let places: Vec<Vec<_>> = script
        .lines()
        .iter()
        .map(|line| line.words.iter().map(|word| (word.line, word.column)).collect())
        .collect();
    assert_eq!(places, [vec![(1, 1), (1, 3), (1, 10), (2, 3), (2, 15)], vec![(4, 2)]]);
    assert_eq!(script.lines()[1].line, 4);
}

#[test]
fn script_faults_are_told_with_their_place() {
    use ScriptFaultKind::*;
    let unknown = |name: &str| UnknownVariable {
        name: name.to_owned(),
        set: vec!["EMPTY".to_owned(), "HARD".to_owned(), "VERSION".to_owned()],
    };
    let table: &[(&[u8], &[At])] = &[
        (b"a 'b", &[(1, 3, UnclosedQuote('\''))]),
        (b"a\nb c\"d # e'\nf", &[(2, 4, UnclosedQuote('"'))]),
        (b"a 'b\\'", &[(1, 3, UnclosedQuote('\''))]),
        (b"a \\", &[(1, 3, EndsInBackslash)]),
        (b"a\n b\\  ", &[(2, 3, EndsInBackslash)]),
        (b"a \"b\\", &[(1, 3, UnclosedQuote('"')), (1, 5, EndsInBackslash)]),
        (b"a b\0c\n# \0", &[(1, 4, Nul), (2, 3, Nul)]),
        (b"\xc3\xa9 \xff\xfe x\n\xc3", &[(1, 3, NotUtf8), (1, 4, NotUtf8), (2, 1, NotUtf8)]),
        (b"a ${NONE} \"b${version}\"", &[(1, 3, unknown("NONE")), (1, 13, unknown("version"))]),
        (
            b"a ${NONE} 'b\nc \\\n\t${NONE}\nd \\",
            &[
                (1, 3, unknown("NONE")),
                (1, 11, UnclosedQuote('\'')),
                (3, 2, unknown("NONE")),
                (4, 3, EndsInBackslash),
            ],
        ),
    ];
    for (text, told) in table {
        assert_eq!(faults(text), *told, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn script_fault_names_the_variables_that_are_set() {
    let told = |names: &[&str]| {
        let variables = names.iter().map(|name| (name.to_string(), String::new())).collect();
        Script::parse(b"a ${X}", &variables).unwrap_err()[0].to_string()
    };
    let end = "; for the shell's own, write \\${X}";
    let start = "line 1, column 3: the variable X is not set";
    assert_eq!(told(&[]), format!("{start} (none is){end}"));
    assert_eq!(told(&["A"]), format!("{start} (only A is){end}"));
    assert_eq!(told(&["A", "B"]), format!("{start} (only A, B are){end}"));
}

#[test]
fn script_arguments_have_two_dashes_before_the_program() {
    let table: &[(&str, &[&str])] = &[
        ("run -- test", &["run", "--", "test"]),
        ("run test", &["run", "--", "test"]),
        ("RUN test --foo", &["run", "--", "test", "--foo"]),
        ("run --foo test --bar", &["run", "--foo", "--", "test", "--bar"]),
        ("run --foo -- test --bar", &["run", "--foo", "--", "test", "--bar"]),
        ("run --engine chroot -x test", &["run", "--engine", "chroot", "-x", "--", "test"]),
        ("run --engine=chroot test", &["run", "--engine=chroot", "--", "test"]),
        ("run --engine -- test", &["run", "--engine", "--", "--", "test"]),
        ("run test -- a", &["run", "--", "test", "--", "a"]),
        ("run --engine", &["run", "--engine"]),
        ("run", &["run"]),
        ("run - a", &["run", "--", "-", "a"]),
        ("run '' a", &["run", "--", "", "a"]),
        ("set-exec /bin/a -b", &["set-exec", "--", "/bin/a", "-b"]),
        ("set-name run a", &["set-name", "run", "a"]),
        ("ru test", &["ru", "test"]),
    ];
    for (text, words) in table {
        let script = Script::parse(text.as_bytes(), &variables()).unwrap();
        assert_eq!(script.lines()[0].arguments(&["--engine"]), *words, "{text}");
    }
}

proptest! {
    #[test]
    fn script_of_any_bytes_is_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Script::parse(&text, &variables());
    }

    #[test]
    fn script_of_its_own_characters_is_read_or_refused(text in r##"([ab\\'"#$\{\} \t\r\n]|VERSION|é|\x00){0,60}"##) {
        match Script::parse(text.as_bytes(), &variables()) {
            Ok(script) => prop_assert!(script.lines().iter().all(|line| !line.words.is_empty())),
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                let lines: Vec<&str> = text.split('\n').collect();
                for fault in faults {
                    let line = lines[fault.line - 1];
                    prop_assert!(fault.column <= line.chars().count(), "{fault}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn script_line_reads_as_it_is_written(texts in prop::collection::vec("[^\n\r\0]{0,12}", 1..6)) {
        let word = |text: &String| Word { text: text.clone(), line: 1, column: 1 };
        let line = Line { line: 1, words: texts.iter().map(word).collect() };
        let script = Script::parse(line.to_string().as_bytes(), &BTreeMap::new()).unwrap();
        let mut wanted = texts.clone();
        wanted[0].make_ascii_lowercase();
        let read: Vec<_> = script.lines()[0].words.iter().map(|word| word.text.clone()).collect();
        prop_assert_eq!(read, wanted);
    }
}
