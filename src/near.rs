//! The nearest word, for "did you mean".

/// Longer than any name, so no mistyped one; comparing takes time by the square.
const LONGEST: usize = 64;

/// The candidate a user most likely meant: one that is a beginning of the word (stm32h743 → stm32h7), the other way
/// round, or one at most a third of its letters away.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.chars().nth(LONGEST).is_some() {
        return None;
    }
    let word = word.to_lowercase();
    let distance = |candidate: &str| {
        let begins = candidate.len() >= 3 && word.starts_with(candidate) || word.len() >= 3 && candidate.starts_with(&word);
        if begins && candidate != word { 1 } else { edits(&word, candidate) }
    };
    let allowed = (word.chars().count() / 3).max(1);
    candidates.map(|candidate| (distance(&candidate.to_lowercase()), candidate)).filter(|(far, _)| *far <= allowed).min().map(|row| row.1)
}

/// A hint: "did you mean `verify`? " in front of what there is to say anyway.
pub fn hint<'c>(word: &str, candidates: impl Iterator<Item = &'c str>, anyway: &str) -> String {
    nearest(word, candidates).map_or(anyway.to_string(), |near| format!("did you mean `{near}`? {anyway}"))
}

/// Letters to insert, delete, replace or swap with their neighbour between two words (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_near() {
        assert_eq!(nearest("verfiy", ["verify", "reset"].into_iter()), Some("verify"));
        assert_eq!(nearest("prog", ["probe list", "program"].into_iter()), Some("program"));
        assert_eq!(nearest("xyz", ["verify", "reset"].into_iter()), None);
        // In a debug build too this takes no time.
        assert_eq!(nearest(&"verify".repeat(1_000_000), ["verify", "reset"].into_iter()), None);
        assert_eq!((edits("abc", "acb"), edits("", "ab"), edits("kitten", "sitting")), (1, 2, 3));
    }
}
