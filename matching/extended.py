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

All of it is ordered replacements by RE2 patterns in the latinised, lowercase title (`title_steps`;
the words are in `version_words`), so that Python, Arrow and SQL say the same. `parse_batch` equals
`parse` for any Unicode string, and keeps nulls.
"""

import functools
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from matching import title_steps as steps
from matching import version_words
from matching.latin import latinise, latinise_batch
from matching.title_steps import Step
from matching.titles import fuzzy, fuzzy_batch

BLOCK_ROWS = 1 << 14


class Version(NamedTuple):
    """The parts of a title. `marker` is None for a mixture; `descriptors` are sorted words.

    `others` are further fuzzy titles that it may meet its counterpart under.
    """

    key: str
    marker: str | None
    descriptors: str
    others: tuple[str, ...] = ()

    @property
    def fuzzy_title(self) -> str:
        """Key and descriptors in one, to be equal or not; empty where the key is."""
        return joined(self.key, self.descriptors)


# One title at a time.


def parse(title: str, album: str | None = None, covers: bool = False) -> Version:
    """The key, the marker and the descriptors of a title.

    The key is empty where the title is nothing but brackets, or says that it is a cover and
    `covers` are not wanted; it must not be matched then. An album of instrumentals marks its
    tracks, as far as their titles do not.
    """
    plain = latinise(as_printed(title)).lower()
    text = _replace(plain, steps.TIDY)
    if _matches(text, steps.MARKER_AT_START) and not _matches(text, steps.TITLE_AT_START):
        text = _replace(text, ((steps.MARKER_AT_START, r"\2 (\1)"),))
    outside = _replace(text, steps.OUTSIDE)
    comments = _replace(f"){text}(", steps.BRACKETS)
    if " - " in outside:
        comments += f";;` {_replace(outside, steps.AFTER_DASH)}"

    base = _replace(_replace(outside, steps.BEFORE_DASH), steps.GUESTS)
    if _matches(base, steps.MARKER_AT_END) and not _matches(base, steps.IS_TITLE):
        base, comments = _move_end(base, steps.MARKER_AT_END, comments)
    if _matches(base, steps.VERSION_AT_END):
        base, comments = _move_end(base, steps.VERSION_AT_END, comments)

    comments = _replace(f"{comments};;", steps.COMMENTS)
    script = _replace(comments, steps.SCRIPT) if _matches(comments, steps.IN_OTHER_SCRIPT) else None
    comments = _replace(comments, steps.UNCOUNTED)
    marker = _replace(comments, steps.MARKER) if "@" in comments else album_marker(album or "")
    if not covers and _matches(plain, version_words.COVERS):
        return Version("", marker, descriptions(comments)[0][1])
    return _version(bases(base, script), marker, descriptions(comments))


def _version(keys: list[str], marker: str | None, described: list[tuple[str, str]]) -> Version:
    """The first key with the first descriptors, and all others for this marker."""
    role = steps.MIXTURE if marker is None else steps.INSTRUMENTAL
    found = [title_key(key) for key in keys]
    (_, first), *_ = described
    roles = (role, steps.EITHER)
    titles = [joined(key, words) for key in found for who, words in described if who in roles]
    others = sorted({title for title in titles if title} - {titles[0]}) if titles[0] else []
    return Version(found[0], marker, first, tuple(others))


def as_printed(title: str) -> str:
    """A title with Latin words for those that other scripts print without spaces, and signs."""
    if not _matches(title, steps.IN_PRINT):
        return title
    if _matches(title, steps.SIGNS_TITLE):
        return (
            f"{signs_key(_replace(title, steps.SIGNS_ONLY))} {_replace(title, steps.BEHIND_SIGNS)}"
        )
    return _replace(title, steps.PRINTED)


def signs_key(signs: str) -> str:
    """The key of a title of signs alone."""
    return f"sign{hashlib.sha256(signs.encode()).hexdigest()[:16]}"


def title_key(base: str) -> str:
    """The key of a title's text outside brackets, latinised and in lowercase."""
    return fuzzy(_replace(base, steps.KEY))


def joined(key: str, descriptors: str) -> str:
    """A fuzzy title."""
    return f"{key}|{descriptors}" if key and descriptors else key


def bases(base: str, script: str | None) -> list[str]:
    """The texts that a title's key may be made from, the first one its own."""
    found = [_replace(base, steps.NO_UMLAUTS)]
    if "^" in base:
        found.append(_replace(base, steps.UMLAUTS))
    if script:
        found.append(script)
    if _matches(base, steps.SLASHED_GUESTS):
        found.append(_replace(base, ((steps.SLASHED_GUESTS, ""), *steps.NO_UMLAUTS)))
    return found


def descriptions(comments: str) -> list[tuple[str, str]]:
    """Descriptors of a version, each with whose they are; the first are the title's own."""
    if "@" in comments:
        comments = _replace(comments, steps.ASIDE)
    own = _replace(comments, steps.DESCRIPTORS)
    found = [(steps.EITHER, own)]
    for who, pattern in ((steps.MIXTURE, steps.LANGUAGE), (steps.INSTRUMENTAL, steps.YEAR_OR_ONE)):
        if _matches(comments, pattern):
            found.append((who, _replace(comments, ((pattern, " "), *steps.DESCRIPTORS))))
    if _matches(own, steps.REMIX):
        rest = _replace(own, ((steps.REMIX, ""), *steps.SPACES))
        if _matches(rest, steps.NAME) and not _matches(rest, version_words.VERSIONS):
            found.append((steps.EITHER, rest))
    return [(who, _sorted_words(words)) for who, words in found]


def album_marker(album: str) -> str | None:
    """ "instrumental" where an album's title says that all it holds is instrumentals."""
    text = _replace(latinise(album).lower(), steps.PRINTABLE)
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


def _replace(text: str, replacements: Iterable[Step]) -> str:
    for pattern, replacement in replacements:
        text = _compiled(pattern).sub(replacement, text)
    return text


def _matches(text: str, pattern: str) -> bool:
    return _compiled(pattern).search(text) is not None


# Whole Arrow arrays: the same steps by Arrow's own RE2.


def parse_batch(
    titles: pa.Array | pa.ChunkedArray,
    albums: pa.Array | pa.ChunkedArray | None = None,
    covers: bool = False,
) -> pa.Table:
    """`parse` for every title: a table of key, marker, descriptors, fuzzy_title and others.

    All are null where the title is. `others` are the further fuzzy titles with line feeds between,
    null where there are none.
    """
    table = pa.table({"title": titles} | ({} if albums is None else {"album": albums}))
    table = table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))
    blocks = (_parse_block(block, covers) for block in table.to_batches(max_chunksize=BLOCK_ROWS))
    return pa.concat_tables([pa.table(_EMPTY), *blocks])


COLUMNS = ("key", "marker", "descriptors", "fuzzy_title", "others")
BETWEEN = "\n"  # other titles in one text
_EMPTY = {name: pa.array([], pa.string()) for name in COLUMNS}


def _parse_block(block: pa.RecordBatch, covers: bool) -> pa.Table:
    text = pc.ascii_lower(latinise_batch(_as_printed_batch(block["title"])))
    commented = pc.match_substring_regex(text, steps.NOT_PLAIN)
    parsed = _parse_comments(text.filter(commented))

    base = pc.replace_with_mask(text, commented, _replace_batch(parsed["base"], steps.NO_UMLAUTS))
    key = fuzzy_batch(_replace_batch(base, steps.KEY))
    nothing = pa.nulls(len(text), pa.string())
    empty = pc.if_else(text.is_valid(), "", nothing)
    marker = pc.replace_with_mask(nothing, commented, parsed["marker"])
    if "album" in block.schema.names:
        albums = _album_markers(block["album"])
        marker = pc.coalesce(marker, pc.if_else(text.is_valid(), albums, nothing))
    descriptors = pc.replace_with_mask(empty, commented, parsed["descriptors"])
    others = pc.replace_with_mask(
        nothing, commented, _other_titles(parsed, marker.filter(commented))
    )
    if not covers:
        cover = pc.match_substring_regex(text, version_words.COVERS)
        key, others = pc.if_else(cover, empty, key), pc.if_else(cover, nothing, others)
    described = pc.and_(pc.not_equal(key, ""), pc.not_equal(descriptors, ""))
    both = pc.binary_join_element_wise(key, descriptors, "|")
    columns = (key, marker, descriptors, pc.if_else(described, both, key), others)
    return pa.table(dict(zip(COLUMNS, columns, strict=True)))


def _as_printed_batch(titles: pa.Array) -> pa.Array:
    found = pc.match_substring_regex(titles, steps.IN_PRINT)
    texts = titles.filter(found)
    if not len(texts):
        return titles
    signs = pc.match_substring_regex(texts, steps.SIGNS_TITLE)
    behind = _replace_batch(texts.filter(signs), steps.BEHIND_SIGNS)
    keys = map(signs_key, _replace_batch(texts.filter(signs), steps.SIGNS_ONLY).to_pylist())
    printed = pc.binary_join_element_wise(pa.array(keys, pa.string()), behind, " ")
    texts = pc.replace_with_mask(_replace_batch(texts, steps.PRINTED), signs, printed)
    return pc.replace_with_mask(titles, found, texts)


def _parse_comments(text: pa.Array) -> dict[str, pa.Array]:
    """Of titles that are not plain: base, script, comments, marker and descriptors."""
    text = _replace_batch(text, steps.TIDY)
    starts = pc.match_substring_regex(text, steps.MARKER_AT_START)
    if starts.true_count:
        starts = pc.and_not(starts, pc.match_substring_regex(text, steps.TITLE_AT_START))
        turned = _replace_batch(text.filter(starts), ((steps.MARKER_AT_START, r"\2 (\1)"),))
        text = pc.replace_with_mask(text, starts, turned)

    outside = _replace_batch(text, steps.OUTSIDE)
    comments = _replace_batch(pc.binary_join_element_wise(")", text, "(", ""), steps.BRACKETS)
    dashed = pc.match_substring(outside, " - ")
    after = _replace_batch(outside.filter(dashed), steps.AFTER_DASH)
    comments = _append(comments, dashed, after)

    base = _replace_batch(_replace_batch(outside, steps.BEFORE_DASH), steps.GUESTS)
    is_title = pc.match_substring_regex(base, steps.IS_TITLE)
    ends = pc.and_not(pc.match_substring_regex(base, steps.MARKER_AT_END), is_title)
    base, comments = _move_ends(base, ends, steps.MARKER_AT_END, comments)
    ends = pc.match_substring_regex(base, steps.VERSION_AT_END)
    base, comments = _move_ends(base, ends, steps.VERSION_AT_END, comments)

    few = pc.binary_join_element_wise(comments, ";;", "").dictionary_encode()
    said = _replace_batch(few.dictionary, steps.COMMENTS)
    again = pc.match_substring_regex(said, steps.IN_OTHER_SCRIPT)
    scripts = pc.if_else(again, _replace_batch(said, steps.SCRIPT), pa.scalar(None, pa.string()))
    said = _replace_batch(said, steps.UNCOUNTED)
    marked = pc.match_substring(said, "@")
    marker = pc.if_else(marked, _replace_batch(said, steps.MARKER), pa.scalar(None, pa.string()))
    described = [descriptions(comment) for comment in said.to_pylist()]
    columns = {
        "script": scripts,
        "comments": said,
        "marker": marker,
        "descriptors": pa.array([words for (_, words), *_ in described], pa.string()),
        "has_others": pa.array([len(some) > 1 for some in described], pa.bool_()),
    }
    return {"base": base, **{name: column.take(few.indices) for name, column in columns.items()}}


def _other_titles(parsed: dict[str, pa.Array], markers: pa.Array) -> pa.Array:
    """`Version.others` of titles that have any, which few do: one by one."""
    base, script = parsed["base"], parsed["script"]
    has = pc.or_(parsed["has_others"], script.is_valid())
    has = pc.or_(has, pc.or_(pc.match_substring(base, "^"), pc.match_substring(base, "/")))
    columns = (
        column.filter(has).to_pylist() for column in (base, script, parsed["comments"], markers)
    )
    found = [
        BETWEEN.join(_version(bases(one, two), marker, descriptions(comments)).others) or None
        for one, two, comments, marker in zip(*columns, strict=True)
    ]
    return pc.replace_with_mask(pa.nulls(len(base), pa.string()), has, pa.array(found, pa.string()))


def _album_markers(albums: pa.Array) -> pa.Array:
    distinct = albums.dictionary_encode()
    text = _replace_batch(pc.ascii_lower(latinise_batch(distinct.dictionary)), steps.PRINTABLE)
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


def _replace_batch(texts: pa.Array, replacements: Iterable[Step]) -> pa.Array:
    for pattern, replacement in replacements:
        # Arrow copies every row that it looks at to replace something, so look first.
        found = pc.match_substring_regex(texts, pattern)
        hits = found.true_count
        if hits > len(texts) // 4:
            texts = pc.replace_substring_regex(texts, pattern, replacement)
        elif hits:
            replaced = pc.replace_substring_regex(texts.filter(found), pattern, replacement)
            texts = pc.replace_with_mask(texts, found, replaced)
    return texts


def unknown_words(fuzzy_titles: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Words that describe versions and are not in the table: word, number (of these titles)."""
    described = fuzzy_titles.filter(pc.match_substring(fuzzy_titles, "|"))
    words = pc.split_pattern(pc.replace_substring_regex(described, r"^[^|]*\|", ""), " ")
    words = pc.list_flatten(words)
    words = words.filter(pc.invert(pc.match_substring_regex(words, version_words.KNOWN)))
    counted = pa.table({"word": words}).group_by("word").aggregate([([], "count_all")])
    return counted.rename_columns(["word", "number"])
