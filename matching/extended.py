"""The extended rule for titles: what a decade of metadata taught beyond the thesis' rule.

A title is parsed into a key, a marker and descriptors. "Purple Rain (Live) [Instrumental]" has the
key `purplerain`, the marker `instrumental` and the descriptor `live`: it is the instrumental of
"Purple Rain - Live", not of "Purple Rain". Two tracks of one artist can be versions of one
recording when their keys and their descriptors are equal and one of them has a marker.

- A bracket, or what follows a dash, holds a marker, a version, a credit or a subtitle. Credits,
  remasters and subtitles in brackets are dropped; of the rest, what is no marker describes the
  version, and describes it the same in any order.
- A marker counts where it marks a version, not where it is the title: "Karaoke Nights".
- A title that begins with a bracket keeps its words: "(I Can't Get No) Satisfaction".
- "Pt. 2", "part two" and "(Part II)" are one, and belong to the key.

All of it is ordered replacements by RE2 patterns in the latinised, lowercase title (the words are
in `version_words`), so that Python, Arrow and SQL say the same. `parse_batch` equals `parse` for
any Unicode string, and keeps nulls.
"""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from matching import version_words
from matching.latin import latinise, latinise_batch
from matching.titles import fuzzy, fuzzy_batch

Step = tuple[str, str]  # replace every match of the pattern
BLOCK_ROWS = 1 << 14


class Version(NamedTuple):
    """The parts of a title. `marker` is None for a mixture; `descriptors` are sorted words."""

    key: str
    marker: str | None
    descriptors: str

    @property
    def fuzzy_title(self) -> str:
        """Key and descriptors in one, to be equal or not; empty where the key is."""
        return f"{self.key}|{self.descriptors}" if self.key and self.descriptors else self.key


# The steps, in order. While a title is parsed, ";" ends a part of it, "`" begins a part that
# counts, and "@" begins the name of a marker; the title's own "`" and "@" go first.

SPACES: tuple[Step, ...] = ((" {2,}", " "), ("^ | $", ""))

PRINTABLE: tuple[Step, ...] = ((r"[\x00-\x1f\x7f`@_]", " "), (" {2,}", " "))

TIDY: tuple[Step, ...] = (
    *PRINTABLE,
    (r"-{2,}", "-"),
    (r" \| ", " - "),
    (r"~ ?([^~]+)~", r" (\1) "),
    (r" ?~ ?", " - "),
    (r"[\[{]", "("),
    (r"[\]}]", ")"),
    (rf"(?: -|- )({version_words.SURE_MARKERS})", r" - \1"),
    (rf"<({version_words.SURE_MARKERS}[^<>]*)>", r"(\1)"),
    (rf"\b{version_words.PART}(\d+|{'|'.join(version_words.NUMBERS.values())})\b\.?", r"part`\1"),
    *((rf"`(?:{spelt})\b", number) for number, spelt in version_words.NUMBERS.items()),
    ("`", ""),
    *version_words.SPELLINGS,
    # Brackets: close what is open, flatten what is nested. An open one was cut off, and then its
    # words are rather a version's: "Biochemical Equation (Instrumental) (Datsik".
    (r"\(([^()]*)$", r"(\1 mix)"),
    (r"(\([^()]*)\(([^()]*)\)", r"\1;\2;"),
    (r"(\([^()]*)\(([^()]*)\)", r"\1;\2;"),
    # Numbers of parts and pieces belong to the title.
    (r"\( ?(part\d+)\b[:, -]*", r" \1 ("),
    (r" - (part\d+)\b", r" \1"),
    (r"\( ?#?(\d{1,3}|[ivx]{1,4}) ?\)", r" \1 "),
    (r"\([ ;]*\)", " "),
    # A leading bracket is a marker or a part of the title.
    (rf"^ ?\( ?({version_words.MARKER_SUFFIX}) ?\)(.*[a-z0-9].*)$", r"\2 (\1)"),
    (r"^ ?\(([^()]*)\)", r"\1 "),
    *SPACES,
)

# The title's text outside brackets, up to the first dash and after it.
OUTSIDE: tuple[Step, ...] = ((r"\([^()]*\)", " "), (r"[()]", " "), *SPACES)
BEFORE_DASH: tuple[Step, ...] = ((" - .*$", ""),)

# From the title's brackets to `;; part;; part;; `.
BRACKETS: tuple[Step, ...] = ((r"\)[^(]*\(", ";; "), (r"[; ]*;[; ]*", ";; "))
# From what follows the first dash to "part;;` part".
AFTER_DASH: tuple[Step, ...] = (("^.*? - ", ""), (" - |;", ";;` "))

COMMENTS: tuple[Step, ...] = (
    (version_words.WITH_MORE, r"in \1"),
    (rf"{version_words.GUESTS}[^;]*", ""),
    (rf";(`?) *{version_words.CREDITS}[^;/]*", r";\1"),
    (version_words.REMASTER, " "),
    *((pattern, f" @{name} ") for name, pattern in version_words.MARKERS),
    *(
        (rf";(`?) *{pattern}{version_words.LONE_MARKER_TAIL}[ .]*;", rf";\1 @{name} ;")
        for name, pattern in version_words.LONE_MARKERS
    ),
    (rf";( [^;]*?(?:@|{version_words.VERSIONS})[^;]*)", r";`\1"),
    (r";[^`;][^;]*", ";"),
)
MARKER: tuple[Step, ...] = ((r"^[^@]*@([a-z-]+).*$", r"\1"), ("-", " "))
DESCRIPTORS: tuple[Step, ...] = (
    (r"@[a-z-]+", " "),
    ("'", ""),
    ("[^a-z0-9]+", " "),
    (version_words.GENERIC, ""),
    *SPACES,
)

# What stands before the dash may end in guests, in a marker and in a version.
GUESTS: tuple[Step, ...] = ((rf"[ ,]{version_words.GUESTS}[ .:].*$", ""),)
IS_TITLE = rf"^{version_words.MARKER_TITLE}$"
MARKER_AT_END = rf"^([^a-z0-9]*[a-z0-9].*?)[ ,:/-]({version_words.MARKER_SUFFIX})$"
VERSION_AT_END = rf"^([^a-z0-9]*[a-z0-9].*) ({version_words.VERSION_SUFFIX})$"

# Titles without any of this are a key and nothing else.
NOT_PLAIN = (
    r"[\x00-\x1f\x7f`@_()\[\]{}~|<]| -|- |feat|ft|instr|inst\.|karaoke|off[ -]vocal|minus|backing"
    r"|part|pt|teil|chast|mix|live|acoustic|demo|cap|radio|extended|edit|unplugged|rmx"
)


# One title at a time.


def parse(title: str, album: str | None = None) -> Version:
    """The key, the marker and the descriptors of a title.

    The key is empty where the title holds no letter or digit; it must not be matched then. An
    album of instrumentals marks its tracks, as far as their titles do not.
    """
    text = title
    for word, replacement in version_words.ORIGINAL_SCRIPTS:
        text = text.replace(word, replacement)
    text = _replace(latinise(text).lower(), TIDY)

    outside = _replace(text, OUTSIDE)
    comments = _replace(f"){text}(", BRACKETS)
    if " - " in outside:
        comments += f";;` {_replace(outside, AFTER_DASH)}"

    base = _replace(_replace(outside, BEFORE_DASH), GUESTS)
    if _matches(base, MARKER_AT_END) and not _matches(base, IS_TITLE):
        base, comments = _move_end(base, MARKER_AT_END, comments)
    if _matches(base, VERSION_AT_END):
        base, comments = _move_end(base, VERSION_AT_END, comments)

    comments = _replace(f"{comments};;", COMMENTS)
    marker = _replace(comments, MARKER) if "@" in comments else album_marker(album or "")
    return Version(fuzzy(base), marker, _sorted_words(_replace(comments, DESCRIPTORS)))


def album_marker(album: str) -> str | None:
    """ "instrumental" where an album's title says that all it holds is instrumentals."""
    text = _replace(latinise(album).lower(), PRINTABLE)
    instrumental = _matches(text, version_words.INSTRUMENTAL_ALBUM)
    mixed = _matches(text, version_words.MIXED_ALBUM)
    return "instrumental" if instrumental and not mixed else None


def _move_end(base: str, pattern: str, comments: str) -> tuple[str, str]:
    """Move what the pattern's second group finds at the end of the base to the comments."""
    rest, end = (_replace(base, ((pattern, group),)) for group in (r"\1", r"\2"))
    return rest, f"{comments};;` {end}"


def _sorted_words(text: str) -> str:
    return " ".join(sorted(set(text.split())))


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def _replace(text: str, steps: Iterable[Step]) -> str:
    for pattern, replacement in steps:
        text = _compiled(pattern).sub(replacement, text)
    return text


def _matches(text: str, pattern: str) -> bool:
    return _compiled(pattern).search(text) is not None


# Whole Arrow arrays: the same steps by Arrow's own RE2.


def parse_batch(
    titles: pa.Array | pa.ChunkedArray, albums: pa.Array | pa.ChunkedArray | None = None
) -> pa.Table:
    """`parse` for every title: a table of key, marker, descriptors and fuzzy_title.

    All are null where the title is.
    """
    table = pa.table({"title": titles} | ({} if albums is None else {"album": albums}))
    table = table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
    blocks = [pa.table(_EMPTY), *map(_parse_block, table.to_batches(max_chunksize=BLOCK_ROWS))]
    return pa.concat_tables(blocks)


COLUMNS = (*Version._fields, "fuzzy_title")
_EMPTY = {name: pa.array([], pa.string()) for name in COLUMNS}


def _parse_block(block: pa.RecordBatch) -> pa.Table:
    text = pc.ascii_lower(latinise_batch(_in_latin_words(block["title"])))
    commented = pc.match_substring_regex(text, NOT_PLAIN)
    base, marker, descriptors = _parse_comments(text.filter(commented))

    key = fuzzy_batch(pc.replace_with_mask(text, commented, base))
    nothing = pa.nulls(len(text), pa.string())
    empty = pc.if_else(text.is_valid(), "", nothing)
    marker = pc.replace_with_mask(nothing, commented, marker)
    if "album" in block.schema.names:
        albums = _album_markers(block["album"])
        marker = pc.coalesce(marker, pc.if_else(text.is_valid(), albums, nothing))
    descriptors = pc.replace_with_mask(empty, commented, descriptors)
    described = pc.and_(pc.not_equal(key, ""), pc.not_equal(descriptors, ""))
    both = pc.binary_join_element_wise(key, descriptors, "|")
    columns = (key, marker, descriptors, pc.if_else(described, both, key))
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))


def _in_latin_words(titles: pa.Array) -> pa.Array:
    anywhere = "|".join(word for word, _ in version_words.ORIGINAL_SCRIPTS)
    found = pc.match_substring_regex(titles, anywhere)
    texts = titles.filter(found)
    for word, replacement in version_words.ORIGINAL_SCRIPTS if len(texts) else ():
        texts = pc.replace_substring(texts, word, replacement)
    return pc.replace_with_mask(titles, found, texts)


def _parse_comments(text: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The text of the key, the marker and the descriptors of titles that are not plain."""
    text = _replace_batch(text, TIDY)

    outside = _replace_batch(text, OUTSIDE)
    comments = _replace_batch(pc.binary_join_element_wise(")", text, "(", ""), BRACKETS)
    dashed = pc.match_substring(outside, " - ")
    after = _replace_batch(outside.filter(dashed), AFTER_DASH)
    comments = _append(comments, dashed, after)

    base = _replace_batch(_replace_batch(outside, BEFORE_DASH), GUESTS)
    is_title = pc.match_substring_regex(base, IS_TITLE)
    ends = pc.and_not(pc.match_substring_regex(base, MARKER_AT_END), is_title)
    base, comments = _move_ends(base, ends, MARKER_AT_END, comments)
    ends = pc.match_substring_regex(base, VERSION_AT_END)
    base, comments = _move_ends(base, ends, VERSION_AT_END, comments)

    comments = _replace_batch(pc.binary_join_element_wise(comments, ";;", ""), COMMENTS)
    few = comments.dictionary_encode()
    comments = few.dictionary
    marked = pc.match_substring(comments, "@")
    marker = pc.if_else(marked, _replace_batch(comments, MARKER), pa.scalar(None, pa.string()))
    words = _replace_batch(comments, DESCRIPTORS).to_pylist()
    descriptors = pa.array(map(_sorted_words, words), pa.string())
    return base, marker.take(few.indices), descriptors.take(few.indices)


def _album_markers(albums: pa.Array) -> pa.Array:
    distinct = albums.dictionary_encode()
    text = _replace_batch(pc.ascii_lower(latinise_batch(distinct.dictionary)), PRINTABLE)
    instrumental = pc.match_substring_regex(text, version_words.INSTRUMENTAL_ALBUM)
    mixed = pc.match_substring_regex(text, version_words.MIXED_ALBUM)
    alone = pc.and_not(instrumental, mixed)
    markers = pc.if_else(alone, "instrumental", pa.scalar(None, pa.string()))
    return markers.take(distinct.indices)


def _move_ends(
    base: pa.Array, ends: pa.Array, pattern: str, comments: pa.Array
) -> tuple[pa.Array, pa.Array]:
    """`_move_end` in the rows where `ends` is true."""
    rest, end = (_replace_batch(base.filter(ends), ((pattern, group),)) for group in (r"\1", r"\2"))
    return pc.replace_with_mask(base, ends, rest), _append(comments, ends, end)


def _append(comments: pa.Array, rows: pa.Array, more: pa.Array) -> pa.Array:
    longer = pc.binary_join_element_wise(comments.filter(rows), more, ";;` ")
    return pc.replace_with_mask(comments, rows, longer)


def _replace_batch(texts: pa.Array, steps: Iterable[Step]) -> pa.Array:
    for pattern, replacement in steps:
        # Arrow copies every row that it looks at to replace something, so look first.
        found = pc.match_substring_regex(texts, pattern)
        hits = found.true_count
        if hits > len(texts) // 4:
            texts = pc.replace_substring_regex(texts, pattern, replacement)
        elif hits:
            replaced = pc.replace_substring_regex(texts.filter(found), pattern, replacement)
            texts = pc.replace_with_mask(texts, found, replaced)
    return texts
