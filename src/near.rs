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
        if begins && candidate != word { 1 } else { strsim::osa_distance(&word, candidate) }
    };
    let allowed = (word.chars().count() / 3).max(1);
    candidates.map(|candidate| (distance(&candidate.to_lowercase()), candidate)).filter(|(far, _)| *far <= allowed).min().map(|row| row.1)
}

/// A hint: "did you mean `verify`? " in front of what there is to say anyway.
pub fn hint<'c>(word: &str, candidates: impl Iterator<Item = &'c str>, anyway: &str) -> String {
    nearest(word, candidates).map_or(anyway.to_string(), |near| format!("did you mean `{near}`? {anyway}"))
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
    }
}
