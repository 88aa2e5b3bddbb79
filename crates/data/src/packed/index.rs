//! Lists of the members of a shard, as DALI's `wds2idx` writes them beside it.
//!
//! The first line is `v1.2` and the number of samples; each other one is a sample: ending, first
//! byte, length and name of each member, with spaces between.

/// The first word of a list.
const VERSION: &str = "v1.2";
/// Tar writes a block of this length before each member.
pub(super) const BLOCK: u64 = 512;

/// One file of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// The first byte of what it holds.
    pub(crate) start: u64,
    pub(crate) length: u64,
}

/// Key and part of a member: what stands before and behind the first dot of its last name.
pub(super) fn parted(name: &str) -> Option<(&str, &str)> {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = start + name[start..].find('.')?;
    let (key, part) = (&name[..dot], &name[dot + 1..]);
    (dot > start && !part.is_empty()).then_some((key, part))
}

/// The members that a list of a shard of `length` bytes names; none where it cannot be of it, as
/// one of another version, or with names of several words.
pub(super) fn parsed(text: &[u8], length: u64) -> Option<Vec<Member>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    let samples: usize = lines.next()?.strip_prefix(VERSION)?.trim().parse().ok()?;
    let (mut members, mut count) = (Vec::new(), 0);
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        for words in words.chunks(4) {
            members.push(member(words, length)?);
        }
        count += 1;
    }
    (count == samples && !members.is_empty()).then_some(members)
}

fn member(words: &[&str], length: u64) -> Option<Member> {
    let [part, start, size, name] = words else { return None };
    let (start, size): (u64, u64) = (start.parse().ok()?, size.parse().ok()?);
    let inside = start >= BLOCK
        && start.is_multiple_of(BLOCK)
        && start.checked_add(size).is_some_and(|end| end <= length);
    let fits = inside && parted(name).is_some_and(|(_, found)| found == *part);
    fits.then(|| Member { name: (*name).to_owned(), start, length: size })
}

/// The list of `members`, which stand in the order of the shard.
pub(super) fn written(members: &[Member]) -> String {
    let key = |member: &Member| parted(&member.name).map(|(key, _)| key.to_owned());
    let samples: Vec<&[Member]> = members.chunk_by(|one, other| key(one) == key(other)).collect();
    let mut text = format!("{VERSION} {}\n", samples.len());
    for sample in samples {
        let words = sample.iter().map(|Member { name, start, length }| {
            let part = parted(name).map_or("", |(_, part)| part);
            format!("{part} {start} {length} {name}")
        });
        text += &words.collect::<Vec<_>>().join(" ");
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `wds2idx` wrote for `tests/webdataset/train-000000.tar`.
    const PEER: &str = include_str!("../../tests/webdataset/train-000000.idx");

    #[test]
    fn the_peers_list_is_read_and_written() {
        let members = parsed(PEER.as_bytes(), 1 << 20).unwrap();
        assert_eq!(members[0].name.split('.').next(), Some("street/0000"));
        assert_eq!(written(&members), PEER);
    }

    #[test]
    fn lists_that_do_not_fit_are_none() {
        let good = "v1.2 1\njpg 512 100 a.jpg\n";
        assert_eq!(parsed(good.as_bytes(), 700).unwrap().len(), 1);
        for (wrong, length) in [
            (good, 611),
            ("v1.1 1\njpg 512 100\n", 700),
            ("v1.2 2\njpg 512 100 a.jpg\n", 700),
            ("v1.2 1\njpg 512 100 a b.jpg\n", 700),
            ("v1.2 1\njpg 513 100 a.jpg\n", 700),
            ("v1.2 1\npng 512 100 a.jpg\n", 700),
            ("v1.2 1\njpg 512 18446744073709551615 a.jpg\n", 700),
            ("<html>", 700),
            ("v1.2 0\n", 700),
        ] {
            assert_eq!(parsed(wrong.as_bytes(), length), None, "{wrong}");
        }
    }
}
