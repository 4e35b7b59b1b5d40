//! The meta tags of a discovery page (spec: discovery.md, "Discovery URL").
//!
//! Read as rkt reads them: by a tokenizer, so a tag counts wherever it stands in
//! the document, but not inside a comment or an element whose content is text
//! (`script`, `style`, `title`, …). Text and entities are decoded; a tag cut off
//! by the end of the page is none.

use std::cell::RefCell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

/// One `<meta name="ac-…" content="PREFIX VALUE">`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaTag {
    /// `ac-discovery`, `ac-discovery-pubkeys`, or another name that begins with `ac-`.
    pub name: String,
    /// What stands before the first space of the content.
    pub prefix: String,
    /// What stands after it.
    pub value: String,
}

/// All `ac-…` meta tags of a page, in document order.
pub fn meta_tags(page: &str) -> Vec<MetaTag> {
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(page));
    // The sink never asks for a pause, so one feed reads it all.
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    tokenizer.sink.tags.into_inner()
}

#[derive(Default)]
struct Sink {
    tags: RefCell<Vec<MetaTag>>,
}

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        if tag.kind != TagKind::StartTag {
            return TokenSinkResult::Continue;
        }
        match &*tag.name {
            "meta" => {
                self.tags.borrow_mut().extend(meta_tag(&tag));
                TokenSinkResult::Continue
            }
            "script" => TokenSinkResult::RawData(RawKind::ScriptData),
            "style" | "xmp" | "iframe" | "noembed" | "noframes" | "noscript" => {
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }
}

fn meta_tag(tag: &Tag) -> Option<MetaTag> {
    // Of an attribute given twice browsers take the first and rkt the last: a page
    // that says two things to two readers is not listened to.
    if tag.had_duplicate_attributes {
        return None;
    }
    let attribute =
        |name: &str| tag.attrs.iter().find(|a| &*a.name.local == name).map(|a| &*a.value);
    let name = attribute("name").filter(|name| name.starts_with("ac-"))?;
    // At the first space, as rkt does: a tab or a line break does not separate.
    let (prefix, value) = attribute("content")?.trim().split_once(' ')?;
    Some(MetaTag {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        value: value.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = r#"<meta name="ac-discovery" content="example.com https://s/{name}.{ext}">"#;

    fn read(page: &str) -> Vec<(String, String, String)> {
        meta_tags(page).into_iter().map(|t| (t.name, t.prefix, t.value)).collect()
    }

    #[test]
    fn meta_tag_anywhere_counts() {
        for page in [
            TAG.to_owned(),
            format!("<html><head>{TAG}</head></html>"),
            format!("<body><div><svg>{TAG}</svg></div>"),
            format!("<html><<<>>>{TAG}"),
            format!("<script>x</script>{TAG}"),
            format!("<title>a</title>{TAG}"),
            format!("\u{feff}{TAG}"),
        ] {
            assert_eq!(read(&page).len(), 1, "{page}");
        }
    }

    #[test]
    fn meta_tag_inside_text_or_comment_does_not_count() {
        for element in [
            "script",
            "style",
            "title",
            "textarea",
            "noscript",
            "xmp",
            "iframe",
            "noembed",
            "noframes",
            "plaintext",
            "SCRIPT",
            "script src=x /",
        ] {
            assert_eq!(read(&format!("<{element}>{TAG}")), [], "{element}");
        }
        assert_eq!(read(&format!("<!-- {TAG} -->")), []);
        assert_eq!(read(&format!("<![CDATA[ {TAG}")).len(), 0);
        assert_eq!(read(TAG.trim_end_matches('>')), []);
    }

    #[test]
    fn meta_tag_content_splits_at_the_first_space() {
        let content = |text: &str| {
            read(&format!("<META NAME=ac-x CONTENT=\"{text}\"/>"))
                .pop()
                .map(|(_, prefix, value)| (prefix, value))
        };
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(content(" a   b c "), pair("a", "b c"));
        assert_eq!(content("a https://s/?x=1&amp;y=2"), pair("a", "https://s/?x=1&y=2"));
        assert_eq!(content("a\tb c"), pair("a\tb", "c"));
        assert_eq!(content("a\tb"), None);
        assert_eq!(content("a"), None);
        assert_eq!(content(""), None);
    }

    #[test]
    fn meta_tag_with_an_attribute_twice_does_not_count() {
        for page in [
            r#"<meta name="ac-x" content="a b" name="other">"#,
            r#"<meta name="other" content="a b" name="ac-x">"#,
            r#"<meta name="ac-x" content="a b" content="c d">"#,
        ] {
            assert_eq!(read(page), []);
        }
    }
}
