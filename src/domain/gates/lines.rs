//! Which lines are new: by content, not by place, so a moved line is not new.

use std::collections::HashMap;

/// Lines without their line ends, numbered from 1.
pub(super) fn numbered(content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    (1u32..).zip(
        content
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line)),
    )
}

/// Lines of `new` that `old` does not hold, or holds less often.
pub(super) fn added<'a>(old: Option<&[u8]>, new: &'a [u8]) -> Vec<(u32, &'a [u8])> {
    let mut left: HashMap<&[u8], u32> = HashMap::new();
    for (_, line) in old.into_iter().flat_map(numbered) {
        *left.entry(line).or_default() += 1;
    }
    numbered(new)
        .filter(|(_, line)| match left.get_mut(line) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_line_is_not_new_and_a_repeated_one_is() {
        let new = added(Some(b"a\nb\r\nc\n"), b"c\nb\na\nb\n");
        assert_eq!(new, [(4, b"b".as_slice())]);
        assert_eq!(added(None, b"x"), [(1, b"x".as_slice())]);
    }
}
