//! Counts in words, with the right number.

/// `1 row`, `2 rows`; `1 entry`, `2 entries`.
pub fn counted(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(entr)) => format!("{number} {entr}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}

/// `is` of one, `are` of several.
pub fn are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

/// The first few of some names, and how many others there are.
pub fn few(names: &[String], most: usize) -> String {
    let others = names.len().saturating_sub(most);
    let named = names.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    if others > 0 { format!("{named} and {others} more") } else { named }
}

/// A time of so many seconds: `2 d 3 h`, `1 h 10 min`, `5 min`.
pub fn span(seconds: i64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_others_are_many() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "landed object")), ["0 landed objects", "1 landed object", "2 landed objects"]);
        assert_eq!([1, 2].map(|number| counted(number, "entry")), ["1 entry", "2 entries"]);
        assert_eq!((are(1), are(0)), ("is", "are"));
        let names = ["a", "b", "c"].map(String::from);
        assert_eq!((few(&names, 2).as_str(), few(&names, 3).as_str()), ("a, b and 1 more", "a, b, c"));
    }

    #[test]
    fn spans_are_told_in_two_units() {
        assert_eq!([59, 3600, 90_000].map(span), ["0 min", "1 h 0 min", "1 d 1 h"]);
    }
}
