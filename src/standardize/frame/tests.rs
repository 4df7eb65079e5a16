//! Objects as text in; their records and what is rejected out, whatever the window.

use super::*;
use proptest::prelude::*;

/// Writes down what it is handed: records as they are, rejects after a `!`, lengths after a `>`.
#[derive(Default)]
struct Diary {
    lines: Vec<(u64, String)>,
    open: Vec<u8>,
}

impl Records for Diary {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open).map(|_| cursor.pos)
    }

    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()> {
        self.lines.push((offset, String::from_utf8_lossy(record).into_owned()));
        Ok(())
    }

    fn take_back(&mut self) {}

    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()> {
        let kind = if reason.code == Code::Malformed { "!" } else { "?" };
        self.lines.push((offset, format!("{kind}{}", String::from_utf8_lossy(record))));
        Ok(())
    }

    fn oversized(&mut self, offset: u64, length: u64) -> Result<()> {
        self.lines.push((offset, format!(">{length}")));
        Ok(())
    }
}

fn diary(mut window: Window, unwrap: Option<&str>, limit: usize) -> Vec<(u64, String)> {
    let mut diary = Diary::default();
    super::read(&mut window, &mut diary, unwrap, limit).unwrap();
    diary.lines
}

/// What is read of a text at once, which is also what is read of it in pieces of any size.
#[track_caller]
fn read_all(text: &[u8], unwrap: Option<&str>, limit: usize) -> Vec<(u64, String)> {
    let whole = diary(Window::whole(text.to_vec().into()), unwrap, limit);
    for chunk in [1, 7, 100] {
        let source = Box::new(std::io::Cursor::new(text.to_vec()));
        let pieces = diary(Window::in_pieces(source, chunk), unwrap, limit);
        assert_eq!(pieces, whole, "in pieces of {chunk}: {}", String::from_utf8_lossy(text));
    }
    whole
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let lines: Vec<String> = read_all(text.as_bytes(), None, 1 << 20).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, expected, "{text}");
}

#[test]
fn records_stand_in_any_framing() {
    let (a, b) = (r#"{"a":1}"#, r#"{"b":[2]}"#);
    for between in ["", "\n", "\r\n", "\r", ",", ",\n", "\\n", "\\r\\n", " ", "\n\n", "\u{feff}", "\n\u{feff}"] {
        check(&format!("{a}{between}{b}"), &[a, b]);
        check(&format!("{between}{a}{between}{b}{between}"), &[a, b]);
    }
    check("", &[]);
    check(" \n\u{feff}\r\n", &[]);
    let pretty = "{\n  \"a\": {\n    \"b\": 1\n  }\n}";
    check(&format!("{pretty}\n{pretty}{pretty}"), &[pretty; 3]);
}

#[test]
fn a_missing_comma_in_an_array_costs_no_record() {
    check(r#"[{"a":1}{"a":2} {"a":3},{"a":4}]{"a":5}"#, &[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":4}"#, r#"{"a":5}"#]);
}

#[test]
fn a_cut_document_costs_no_document_behind_it() {
    let text = r#"{"Records":[{"a":1}{"Records":[{"a":2},{"a":3}]}{"Records":[{"a":4}]}"#;
    let lines: Vec<String> = read_all(text.as_bytes(), Some("Records"), 1 << 20).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [r#"!{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, r#"{"a":4}"#]);
}

#[test]
fn of_arrays_one_a_line_a_broken_one_costs_itself() {
    check(
        "[{\"a\":1},{\"a\":2,}]\n[{\"a\":3},{\"a\":4}]\n[{\"a\":5}]",
        &[r#"{"a":1}"#, "!{\"a\":2,}]", r#"{"a":3}"#, r#"{"a":4}"#, r#"{"a":5}"#],
    );
}

#[test]
fn elements_of_a_top_level_array_are_records() {
    check(r#"[{"a":1},{"a":2}]"#, &[r#"{"a":1}"#, r#"{"a":2}"#]);
    check("[\n  {\"a\":1},\n  {\"a\":2}\n]\n[]\n{\"a\":3}", &[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
    check(r#"[1,"x",null,[2]] [] {"a":3}"#, &["1", "\"x\"", "null", "[2]", r#"{"a":3}"#]);
}

#[test]
fn a_broken_array_keeps_its_whole_elements() {
    check(r#"[{"a":1},{"a":2"#, &[r#"{"a":1}"#, r#"!{"a":2"#]);
    check(r#"[{"a":1}"#, &[r#"{"a":1}"#, "!"]);
    check(r#"[{"a":1},"#, &[r#"{"a":1}"#, "!"]);
    check(
        r#"[{"a":1},{"a":tru,"b":[{"c":1},{"c":2}]},{"a":3},{"a":4}]{"a":5}"#,
        &[r#"{"a":1}"#, r#"!{"a":tru,"b":[{"c":1},{"c":2}]},"#, r#"{"a":3}"#, r#"{"a":4}"#, r#"{"a":5}"#],
    );
    check("[1,2\n{\"a\":1}\n{\"a\":2}\n", &["1", "!2", r#"{"a":1}"#, r#"{"a":2}"#]);
    for text in ["[", "[1", "[1,", "[1,]", "[,1]", "[1 true]", "[\"a", "]", "[1}", "[-01]", "[1.]", "[nul]"] {
        let lines = read_all(text.as_bytes(), None, 1 << 20);
        assert!(lines.iter().filter(|(_, line)| line.starts_with('!')).count() == 1, "{text}: {lines:?}");
    }
}

#[test]
fn scalars_stand_for_themselves_and_end_where_they_end() {
    check("1 2{\"a\":1}true\"x\"null", &["1", "2", r#"{"a":1}"#, "true", "\"x\"", "null"]);
    check("12abc", &["!12abc"]);
    check("01", &["!01"]);
    check("-", &["!-"]);
    check("tru", &["!tru"]);
}

#[test]
fn records_in_documents_are_unwrapped() {
    let read =
        |text: &str| -> Vec<String> { read_all(text.as_bytes(), Some("Records"), 1 << 20).into_iter().map(|(_, line)| line).collect() };
    assert_eq!(read(r#"{"v":[0], "Records": [ {"a":1} ,2,[]], "w":{"x":1} }{"Records":[]}"#), [r#"{"a":1}"#, "2", "[]"]);
    assert_eq!(read(r#"{"Records":[1],"R\u0065cords":[2]}"#), ["1", "2"]);
    assert_eq!(read(r#"[{"Records":[1]},{"Records":[2]}]"#), ["1", "2"]);
    assert_eq!(read(r#"{"Records":[{"a":1},{"a":2},{"a""#), [r#"{"a":1}"#, r#"{"a":2}"#, r#"!{"a""#], "a cut document keeps its records");
    for text in ["{}", r#"{"records":[1]}"#, r#"{"Records":{"a":1}}"#, "7", "[7]"] {
        let expected = format!("?{}", text.trim_matches(['[', ']']));
        assert_eq!(read(text), [expected.as_str()], "{text}");
    }
    assert_eq!(read(r#"{"Records":[1],"x":tru}{"Records":[2]}"#), ["1", r#"!,"x":tru}"#, "2"]);
}

#[test]
fn what_is_longer_than_a_record_may_be_is_passed_over() {
    let long = format!(r#"{{"a":"{}","b":[{{"c":"}}"}}]}}"#, "x".repeat(100));
    let text = format!(r#"{{"a":1}}{long}{{"a":2}}[{long},{{"a":3}}]"#);
    let read: Vec<String> = read_all(text.as_bytes(), None, 60).into_iter().map(|(_, line)| line).collect();
    let length = format!(">{}", long.len());
    assert_eq!(read, [r#"{"a":1}"#, &length, r#"{"a":2}"#, &length, r#"{"a":3}"#]);
    let exact = format!(r#"{{"a":"{}"}}"#, "x".repeat(52));
    assert_eq!(read_all(exact.as_bytes(), None, 60), [(0, exact.clone())]);
    assert_eq!(read_all(exact.as_bytes(), None, 59), [(0, ">60".to_string())]);
}

#[test]
fn a_long_broken_stretch_is_cut_into_pieces() {
    let text = format!("{{\"a\":1}}{}\n{{\"a\":2}}", "x".repeat(250));
    let read = read_all(text.as_bytes(), None, 100);
    let lengths: Vec<(u64, usize)> = read.iter().map(|(offset, line)| (*offset, line.len())).collect();
    assert_eq!(lengths, [(0, 7), (7, 101), (107, 101), (207, 51), (258, 7)]);
}

#[test]
fn white_space_behind_a_piece_is_no_record() {
    let text = format!("{{\"a\":1}}{}{}", "x".repeat(100), "\n".repeat(450));
    let read = read_all(text.as_bytes(), None, 100);
    let lengths: Vec<(u64, usize)> = read.iter().map(|(offset, line)| (*offset, line.len())).collect();
    assert_eq!(lengths, [(0, 7), (7, 101)]);
}

/// Pieces that objects are put together from, so that all states are met often.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(r#"{"id":1,"b":[{"c":1},{"c":2}]}"#),
        2 => Just(r#"{"id":tru}"#),
        1 => Just(r#"{"id":"cut"#),
        2 => Just("["),
        2 => Just("]"),
        3 => Just(","),
        2 => Just("\n"),
        1 => Just("\\n"),
        1 => Just(" "),
        1 => Just("\u{feff}"),
        1 => Just("12"),
        1 => Just("null"),
        1 => Just("\""),
        1 => Just("}"),
        1 => Just(r#"{"Records":[{"id":1}],"x":1}"#),
        1 => Just(r#"{"Records":["#),
        1 => Just("xyz"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_window_does_not_matter(text in soup(), unwrap in any::<bool>(), limit in prop_oneof![Just(40usize), Just(90), Just(1 << 20)]) {
        // A cut through a character would change the length of what is written down.
        let text = if limit < 100 { text.replace('\u{feff}', " ") } else { text };
        let lines = read_all(text.as_bytes(), unwrap.then_some("Records"), limit);
        let mut end = 0;
        for (offset, line) in &lines {
            prop_assert!(*offset >= end, "records overlap: {lines:?}");
            end = offset + line.len() as u64 - u64::from(line.starts_with(['!', '?']));
            if line.starts_with('>') {
                end = *offset;
            }
        }
        prop_assert!(end <= text.len() as u64);
    }

    #[test]
    fn every_byte_is_read_or_is_one_that_may_stand_between_records(text in soup()) {
        let mut rest = text.clone().into_bytes();
        for (offset, line) in read_all(text.as_bytes(), None, 1 << 20) {
            let length = line.len() - usize::from(line.starts_with('!'));
            rest[usize::try_from(offset).unwrap()..][..length].fill(b' ');
        }
        let rest = String::from_utf8(rest).unwrap().replace("\\n", "").replace('\u{feff}', "");
        prop_assert!(rest.chars().all(|c| " \n,[]".contains(c)), "{rest:?} of {text:?}");
    }
}
