//! sqlparser's tokenizer and parser, with Hive's lexical rules and with errors that start with the place.

use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::checks;
use crate::error::{Error, Result};

/// The lexical rules of Athena's DDL, which are Hive's: backticks for names, single or double quotes for literals, backslash for
/// escapes. sqlparser's `HiveDialect` has no escapes, takes double quotes for names and `#` for a comment.
#[derive(Debug)]
struct AthenaDdl;

impl Dialect for AthenaDdl {
    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphanumeric() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.is_identifier_start(ch)
    }

    fn supports_numeric_prefix(&self) -> bool {
        true
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        true
    }
}

/// A statement and how far it was read.
pub(super) struct Reader {
    parser: Parser<'static>,
}

impl Reader {
    pub(super) fn new(text: &str) -> Result<Self> {
        let tokens = Tokenizer::new(&AthenaDdl, text)
            .tokenize_with_location()
            .map_err(|e| Self::wrong_at(e.location, &format!("cannot read the statement: {}", e.message)))?;
        Ok(Self { parser: Parser::new(&AthenaDdl).with_tokens_with_locations(tokens) })
    }

    /// The place of the next token.
    pub(super) fn place(&self) -> Location {
        self.parser.peek_token_ref().span.start
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.parser.peek_token_ref().token == Token::EOF
    }

    /// The next tokens, as written.
    pub(super) fn upcoming<const N: usize>(&self) -> [String; N] {
        self.parser.peek_tokens_ref::<N>().map(|token| written(&token.token))
    }

    /// Takes the keywords if all of them come next.
    pub(super) fn keywords(&mut self, keywords: &[Keyword]) -> bool {
        self.parser.parse_keywords(keywords)
    }

    pub(super) fn takes(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    pub(super) fn expect_keywords(&mut self, keywords: &[Keyword], wanted: &str) -> Result<()> {
        if self.keywords(keywords) { Ok(()) } else { Err(self.unexpected(wanted)) }
    }

    pub(super) fn expect(&mut self, token: &Token, wanted: &str) -> Result<()> {
        if self.takes(token) { Ok(()) } else { Err(self.unexpected(&format!("`{token}`: {wanted}"))) }
    }

    /// A name, in backticks or not. (The parser's own `parse_identifier` takes literals too.)
    pub(super) fn name(&mut self, wanted: &str) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::Word(_) => self.parser.parse_identifier().map(|name| name.value).map_err(|e| Error::internal(e.to_string())),
            _ => Err(self.unexpected(wanted)),
        }
    }

    /// A literal. (The parser's own `parse_literal_string` takes bare words too.)
    pub(super) fn literal(&mut self, wanted: &str) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {
                self.parser.parse_literal_string().map_err(|e| Error::internal(e.to_string()))
            }
            _ => Err(self.unexpected(&format!("{wanted}, in quotes"))),
        }
    }

    /// Everything up to the end of a column's type: its `COMMENT`, or a `,` or `)` that does not belong to the type.
    ///
    /// `<` and `>` are counted in the token's text, since the tokenizer makes one token of `>>` and of `<>`.
    pub(super) fn type_text(&mut self) -> String {
        let mut text = String::new();
        let (mut angles, mut parentheses) = (0i64, 0i64);
        loop {
            match &self.parser.peek_token_no_skip().token {
                Token::EOF | Token::SemiColon => break,
                Token::Comma if angles <= 0 && parentheses == 0 => break,
                Token::RParen if parentheses == 0 => break,
                Token::Word(word) if angles <= 0 && word.keyword == Keyword::COMMENT => break,
                Token::LParen => parentheses += 1,
                Token::RParen => parentheses -= 1,
                Token::Word(_) | Token::SingleQuotedString(_) | Token::DoubleQuotedString(_) => {}
                other => {
                    let mark = other.to_string();
                    angles += mark.chars().map(|c| i64::from(c == '<') - i64::from(c == '>')).sum::<i64>();
                }
            }
            match self.parser.next_token_no_skip().map(|next| &next.token) {
                Some(Token::Whitespace(_)) => text.push(' '),
                Some(token) => text.push_str(&token.to_string()),
                None => break,
            }
        }
        text.trim().to_string()
    }

    /// The error that something else stands where `wanted` has to be.
    pub(super) fn unexpected(&self, wanted: &str) -> Error {
        let [found] = self.upcoming::<1>();
        self.wrong_here(&checks::refused_clause(&found).unwrap_or_else(|| format!("expected {wanted}, found {found}")))
    }

    /// An error at the next token.
    pub(super) fn wrong_here(&self, problem: &str) -> Error {
        Self::wrong_at(self.place(), problem)
    }

    /// An error at a place; line 0 is sqlparser's sign for the end.
    pub(super) fn wrong_at(place: Location, problem: &str) -> Error {
        match place.line {
            0 => Error::config(format!("at the end: {problem}")),
            line => Error::config(format!("line {line}, column {}: {problem}", place.column)),
        }
    }
}

/// A token in an error message.
fn written(token: &Token) -> String {
    match token {
        Token::EOF => "the end".to_string(),
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        other => format!("`{other}`"),
    }
}
