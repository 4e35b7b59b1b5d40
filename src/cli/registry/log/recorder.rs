//! Lines of the log, from what happens. A line has the spans that it happened in, each as it was written
//! when it began:
//!
//! ```text
//! 2026-11-28T10:15:30.123456Z  INFO request{id=5f1c peer=127.0.0.1:40312}: registry::trace: answered status=200
//! {"timestamp":"…","level":"INFO","fields":{"message":"answered","status":200},"target":"registry::trace","span":{"id":"5f1c","name":"request"}}
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Debug, Write as _};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use slab::Slab;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;
use tracing_subscriber::filter::Targets;

use super::lines::Lines;

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Form {
    Text {
        /// Whether levels have colours.
        colours: bool,
    },
    Json,
}

/// Writes down what happens.
pub(super) struct Recorder {
    filter: Targets,
    form: Form,
    lines: Lines,
    spans: Spans,
}

/// A span that somebody holds.
struct Span {
    metadata: &'static Metadata<'static>,
    /// In the form of the log.
    fields: String,
    holders: usize,
}

/// Parts of [`Spans`]: so many threads, or about, can be at spans at once.
const PARTS: usize = 16;

/// All spans, in parts that have locks of their own.
#[derive(Default)]
struct Spans([Mutex<Slab<Span>>; PARTS]);

thread_local! {
    /// The spans that this thread is in, the innermost last.
    static WITHIN: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
    /// The room of the last line.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
    /// Where this thread's spans are.
    static PART: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % PARTS
    };
}

impl Spans {
    fn add(&self, span: Span) -> Id {
        let part = PART.with(|part| *part);
        let at = locked(&self.0[part]).insert(span);
        // None is 0.
        Id::from_u64((at * PARTS + part + 1) as u64)
    }

    /// Does something with a span, where it is still held.
    fn with<T>(&self, id: &Id, act: impl FnOnce(&mut Span) -> T) -> Option<T> {
        let (mut part, at) = self.find(id);
        part.get_mut(at).map(act)
    }

    /// One holder less. Whether it was the last.
    fn release(&self, id: &Id) -> bool {
        let (mut part, at) = self.find(id);
        let Some(span) = part.get_mut(at) else { return false };
        span.holders -= 1;
        let last = span.holders == 0;
        if last {
            part.remove(at);
        }
        last
    }

    fn find(&self, id: &Id) -> (MutexGuard<'_, Slab<Span>>, usize) {
        let place = usize::try_from(id.into_u64() - 1).unwrap_or(usize::MAX);
        (locked(&self.0[place % PARTS]), place / PARTS)
    }
}

fn locked<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder {
    pub(super) fn new(filter: Targets, form: Form, lines: Lines) -> Self {
        Self { filter, form, lines, spans: Spans::default() }
    }

    /// The first one follows on nothing.
    fn fields<'a>(&self, text: &'a mut String, first: bool) -> Fields<'a> {
        Fields { text, json: self.form == Form::Json, first }
    }

    fn write(&self, line: &mut String, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        #[expect(clippy::disallowed_methods, reason = "the log says when it was written")]
        let now = Timestamp::now();
        match self.form {
            Form::Text { colours } => {
                let (on, off) = if colours { (colour(level), "\x1b[0m") } else { ("", "") };
                write!(line, "{now:.6} {on}{level:>5}{off} ")?;
                let _ = WITHIN.try_with(|within| {
                    for id in &*within.borrow() {
                        self.spans.with(id, |span| {
                            line.extend([span.metadata.name(), "{", &span.fields, "}: "]);
                        });
                    }
                });
                write!(line, "{target}:")?;
                event.record(&mut self.fields(line, false));
            }
            Form::Json => {
                write!(line, "{{\"timestamp\":\"{now:.6}\",\"level\":\"{level}\",\"fields\":{{")?;
                event.record(&mut self.fields(line, true));
                write!(line, "}},\"target\":\"{target}\"")?;
                // The innermost alone: it is the request, as a rule.
                if let Some(id) = innermost() {
                    self.spans.with(&id, |span| {
                        let comma = if span.fields.is_empty() { "" } else { "," };
                        let parts = [",\"span\":{", &span.fields, comma, "\"name\":\""];
                        line.extend(parts.into_iter().chain([span.metadata.name(), "\"}"]));
                    });
                }
                line.push('}');
            }
        }
        line.push('\n');
        Ok(())
    }
}

impl Subscriber for Recorder {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.would_enable(metadata.target(), metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let named = self.filter.iter().map(|(_, level)| level);
        named.chain(self.filter.default_level()).max()
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = String::with_capacity(256);
        attributes.record(&mut self.fields(&mut fields, true));
        self.spans.add(Span { metadata: attributes.metadata(), fields, holders: 1 })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        // Not under the lock: what is written may log something itself.
        let mut fields = String::new();
        values.record(&mut self.fields(&mut fields, false));
        self.spans.with(id, |span| {
            // What stands before a field that follows on another is one byte.
            let from = usize::from(span.fields.is_empty());
            span.fields.push_str(fields.get(from..).unwrap_or_default());
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // Taken, since what is written may log something itself; and there is none while a thread ends.
        let mut line = LINE.try_with(RefCell::take).unwrap_or_default();
        line.clear();
        if self.write(&mut line, event).is_ok() {
            self.lines.put(line.as_bytes());
        }
        let _ = LINE.try_with(|room| room.replace(line));
    }

    fn enter(&self, id: &Id) {
        let _ = WITHIN.try_with(|within| within.borrow_mut().push(id.clone()));
    }

    fn exit(&self, id: &Id) {
        let _ = WITHIN.try_with(|within| {
            let mut within = within.borrow_mut();
            if let Some(at) = within.iter().rposition(|entered| entered == id) {
                within.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.spans.with(id, |span| span.holders += 1);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        self.spans.release(&id)
    }

    fn current_span(&self) -> Current {
        innermost()
            .and_then(|id| {
                let metadata = self.spans.with(&id, |span| span.metadata)?;
                Some(Current::new(id, metadata))
            })
            .unwrap_or_else(Current::none)
    }
}

/// The span that this thread is in.
fn innermost() -> Option<Id> {
    WITHIN.try_with(|within| within.borrow().last().cloned()).ok()?
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        _ => "\x1b[35m",
    }
}

/// Writes fields after those that are there: ` name=value` or `,"name":value`.
struct Fields<'a> {
    text: &'a mut String,
    json: bool,
    first: bool,
}

impl Fields<'_> {
    /// Writing to a string does not fail; what is written may, and is left out then.
    fn name(&mut self, name: &str) {
        let first = mem::take(&mut self.first);
        let _ = if self.json {
            let comma = if first { "" } else { "," };
            write!(self.text, "{comma}\"{name}\":")
        } else {
            if !first {
                self.text.push(' ');
            }
            // A message is no value of something.
            if name == "message" { Ok(()) } else { write!(self.text, "{name}=") }
        };
    }

    fn plain(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.name(field.name());
        let _ = self.text.write_fmt(value);
    }

    /// Text that may hold anything.
    fn strange(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.name(name);
        let json = self.json;
        if json {
            self.text.push('"');
        }
        let _ = Escaping { text: self.text, json }.write_fmt(value);
        if json {
            self.text.push('"');
        }
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() || !self.json {
            self.plain(field, format_args!("{value}"));
        } else {
            self.plain(field, format_args!("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.json || field.name() == "message" {
            self.strange(field.name(), format_args!("{value}"));
        } else {
            self.plain(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.strange(field.name(), format_args!("{}", discovery::chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.strange(field.name(), format_args!("{value:?}"));
    }
}

/// Writes text so that it stays in its line and its string.
struct Escaping<'a> {
    text: &'a mut String,
    json: bool,
}

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let json = self.json;
        let special = |c: char| c.is_control() || (json && (c == '"' || c == '\\'));
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            self.text.push_str(&rest[..at]);
            let mut after = rest[at..].chars();
            match after.next() {
                Some(c @ ('"' | '\\')) => self.text.extend(['\\', c]),
                Some('\n') => self.text.push_str("\\n"),
                Some(c) if json => write!(self.text, "\\u{:04x}", u32::from(c))?,
                Some(c) => self.text.extend(c.escape_unicode()),
                None => {}
            }
            rest = after.as_str();
        }
        self.text.push_str(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tracing::field::Empty;
    use tracing::subscriber::with_default;
    use tracing::{Dispatch, dispatcher};

    use super::*;

    /// What is logged, without times.
    fn logged(filter: &str, form: Form, act: impl FnOnce()) -> Vec<String> {
        let lines = Lines::default();
        with_default(Recorder::new(filter.parse().unwrap(), form, lines.clone()), act);
        lines.take().lines().map(str::to_owned).collect()
    }

    fn happen() {
        let span = tracing::info_span!("request", id = %"5f1c", path = "/a \"b\"", caller = Empty);
        let _entered = span.enter();
        span.record("caller", "token:1");
        tracing::info!(status = 200, good = true, "answered {}", "well\n\x1b[31m\"so\"");
        let inner = tracing::debug_span!("inner");
        let _inner = inner.enter();
        let error = std::io::Error::other(fmt::Error);
        let error: &dyn Error = &error;
        tracing::warn!(error, part = 0.5, "it failed");
        tracing::debug!("little");
    }

    #[test]
    fn lines_of_text_have_their_spans_and_stay_lines() {
        let lines = logged("debug", Form::Text { colours: false }, happen);
        let rest: Vec<_> = lines.iter().map(|line| line.split_once(' ').unwrap()).collect();
        let target = module_path!();
        let request = "request{id=5f1c path=\"/a \\\"b\\\"\" caller=\"token:1\"}: ";
        let wanted = [
            format!(
                " INFO {request}{target}: answered well\\n\\u{{1b}}[31m\"so\" status=200 good=true"
            ),
            format!(
                " WARN {request}inner{{}}: {target}: it failed error=an error occurred when formatting an argument part=0.5"
            ),
            format!("DEBUG {request}inner{{}}: {target}: little"),
        ];
        assert_eq!(
            rest.iter().map(|(_, rest)| rest).collect::<Vec<_>>(),
            wanted.iter().collect::<Vec<_>>()
        );
        for (time, _) in rest {
            assert_eq!(time.len(), "2026-11-28T10:15:30.123456Z".len(), "{time}");
            time.parse::<Timestamp>().unwrap();
        }
        let coloured = logged("warn", Form::Text { colours: true }, happen);
        assert!(coloured[0].contains("\x1b[33m WARN\x1b[0m "), "{coloured:?}");
    }

    #[test]
    fn lines_of_json_are_objects() {
        let lines = logged("info", Form::Json, happen);
        let mut lines = lines.iter().map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["timestamp"].take().as_str().unwrap().parse::<Timestamp>().unwrap();
            line
        });
        let span =
            json!({"id": "5f1c", "path": "/a \"b\"", "caller": "token:1", "name": "request"});
        let fields =
            json!({"message": "answered well\n\x1b[31m\"so\"", "status": 200, "good": true});
        let line = json!({"timestamp": null, "level": "INFO", "fields": fields, "target": module_path!(), "span": span});
        assert_eq!(lines.next().unwrap(), line);
        let line = lines.next().unwrap();
        assert_eq!(line["fields"]["part"], 0.5);
        assert_eq!(lines.next(), None, "what the filter leaves out");
    }

    #[test]
    fn spans_end_with_their_last_holder() {
        let filter = "info".parse().unwrap();
        let recorder = Dispatch::new(Recorder::new(filter, Form::Json, Lines::default()));
        let held = || -> usize {
            let spans = &recorder.downcast_ref::<Recorder>().unwrap().spans;
            spans.0.iter().map(|part| locked(part).len()).sum()
        };
        dispatcher::with_default(&recorder, || {
            let one = tracing::info_span!("one");
            let other = tracing::info_span!("other");
            let again = one.clone();
            assert_eq!(held(), 2);
            drop(one);
            assert_eq!(held(), 2);
            drop(again);
            assert_eq!(held(), 1);
            other.in_scope(|| assert_eq!(tracing::Span::current(), other));
            assert_eq!(held(), 1);
        });
        assert_eq!(held(), 0);
    }
}
