"""The extended rule's replacements, in order: what Python, Arrow and the SQL all do to a title.

RE2 patterns, made of the words in `version_words`, for the title as it is printed and then for the
latinised, lowercase title.
"""

from matching import version_words

Step = tuple[str, str]  # replace every match of the pattern

# The steps, in order. First, in the title as it is printed: words of scripts without spaces become
# Latin ones; "^" follows a letter with an umlaut, and begins a bracket in another script than the
# title's. Only titles with one of these can be concerned:
IN_PRINT = r"[^\x00-\x7f]|[\^=]|^[^A-Za-z0-9]+$|^[^A-Za-z0-9]+(?:[(\[]| - )"

_OTHERS = "\u0370-\u1dff\u1f00-\u1fff\u2e80-\ua63f\uac00-\ud7ff\uf900-\ufaff\uff10-\uffdc"
_OPEN = r"(\[（【"
PRINTED: tuple[Step, ...] = (
    (r"[\^=]", " "),
    *version_words.ORIGINAL_SCRIPTS,
    ("([AOUaou])\u0308", r"\1^"),
    ("([ÄÖÜäöüØø])", r"\1^"),
    (rf"^([^A-Za-z{_OPEN}]*[{_OTHERS}][^A-Za-z{_OPEN}]*)[{_OPEN}] *([A-Za-z])", r"\1(^\2"),
    (rf"^([^{_OTHERS}{_OPEN}]*[A-Za-z][^{_OTHERS}{_OPEN}]*)[{_OPEN}] *([{_OTHERS}])", r"\1(^\2"),
    (r"([가-힣][^()\[\]]*?)[ _]MR$", r"\1 (MR)"),
)

# Titles without letters and digits ("???", "❤ (Instrumental)") go by their signs.
SIGNS = (
    r"!\x22#$%\x27*+,./:;?@\\^_`="
    "\u00a1\u00a4\u00a6\u00a8\u00ab-\u00ad\u00af\u00b1\u00b4\u00b7\u00b8\u00bb\u00bf"
    "\u2016-\u2027\u2032-\u2049\u2190-\u21b6\u21bb-\u23ff\u2500-\u2572\u2574-\u25bb\u25c0-\u25ee"
    "\u25f0-\u2653\u2668-\u27bf\u2900-\u2bff\ufe0e\ufe0f\U0001f300-\U0001f66f\U0001f674-\U0001faff"
    r"\-"
)
SIGNS_TITLE = rf"^ *([{SIGNS}](?:[{SIGNS} ]*[{SIGNS}])?) *([(\[{{~（【].*| [-–—] .*)?$"
SIGNS_ONLY: tuple[Step, ...] = ((SIGNS_TITLE, r"\1"), ("[ \ufe0e\ufe0f]", ""))
BEHIND_SIGNS: tuple[Step, ...] = ((SIGNS_TITLE, r"\2"),)

# While the latinised, lowercase title is parsed, ";" ends a part of it, "`" begins a part that
# counts, "@" begins the name of a marker and "%" that of what else is there or lacks, and "="
# begins a language, and a year or number beside a marker, which others need not state. The title's
# own go first.

SPACES: tuple[Step, ...] = ((" {2,}", " "), ("^ | $", ""))

PRINTABLE: tuple[Step, ...] = ((r"[\x00-\x1f\x7f`@_%]", " "), (" {2,}", " "))

TIDY: tuple[Step, ...] = (
    (version_words.UNDERSCORED, r" (\1)"),
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

# "Instrumental - Blue" is "Blue (Instrumental)", but "Instrumental - Live" is a title.
MARKER_AT_START = rf"^({version_words.MARKER_SUFFIX}|karaoke) - (.*[a-z0-9].*)$"
TITLE_AT_START = (
    rf"^[^-]* - (?:.*(?:{version_words.VERSIONS}|{version_words.REMASTER}|{version_words.YEAR}"
    rf"|{version_words.GUESTS}|\bpart\d)|{version_words.CREDITS}|{version_words.GENERIC})"
)

# The title's text outside brackets, up to the first dash and after it.
OUTSIDE: tuple[Step, ...] = ((r"\([^()]*\)", " "), (r"[()]", " "), *SPACES)
BEFORE_DASH: tuple[Step, ...] = ((" - .*$", ""),)

# From the title's brackets to `;; part;; part;; `.
BRACKETS: tuple[Step, ...] = ((r"\)[^(]*\(", ";; "), (r"[; ]*;[; ]*", ";; "))
# From what follows the first dash to "part;;` part".
AFTER_DASH: tuple[Step, ...] = (("^.*? - ", ""), (" - |;", ";;` "))

_ALONE = rf"{version_words.LONE_MARKER_TAIL}(?: *%aside)?[ .]*;"
COMMENTS: tuple[Step, ...] = (
    (r"([a-z])\^", r"\1"),
    (version_words.ASIDES, " %aside "),
    (version_words.WITH_MORE, r"in \1"),
    (rf"{version_words.GUESTS}[^;]*", ""),
    (rf";(`?)[ ^]*(?:{version_words.CREDITS})[^;/]*", r";\1"),
    (version_words.REMASTER, " "),
    *((pattern, f" {name} ") for pattern, name in version_words.IN_BRACKETS),
    *(
        (rf";(`?)[ ^]*(?:{pattern}){_ALONE}", rf";\1 {name} ;")
        for pattern, name in version_words.ALONE
    ),
    *((pattern, f" @{name} ") for name, pattern in version_words.MARKERS),
    *(
        (rf";(`?)[ ^]*{pattern}{_ALONE}", rf";\1 @{name} ;")
        for name, pattern in version_words.LONE_MARKERS
    ),
    (rf"\b({version_words.YEAR})[ ,.-]*@", r"=\1 @"),
    (rf"(@[a-z-]+)[ ,.-]*(?:in |version )?({version_words.YEAR}|1)\b", r"\1 =\2"),
    (version_words.LANGUAGE_BEFORE, r" =\1 "),
    (version_words.LANGUAGE_AFTER, r" =\1 "),
    (rf";( [^;]*?(?:[@%=]|{version_words.VERSIONS})[^;]*)", r";`\1"),
)
# A bracket in another script that says nothing of a version is the title once more.
IN_OTHER_SCRIPT = r"; *\^ *([^;]*[a-z0-9][^;]*)"
SCRIPT: tuple[Step, ...] = ((rf"^.*?{IN_OTHER_SCRIPT}.*$", r"\1"),)
UNCOUNTED: tuple[Step, ...] = ((r";[^`;][^;]*", ";"),)
ASIDE: tuple[Step, ...] = (("%aside", " "),)  # beside a marker
MARKER: tuple[Step, ...] = ((r"^[^@]*@([a-z-]+).*$", r"\1"), ("-", " "))
DESCRIPTORS: tuple[Step, ...] = (
    (r"@[a-z-]+", " "),
    ("'", ""),
    ("[^a-z0-9]+", " "),
    (version_words.GENERIC, ""),
    *SPACES,
)

# Descriptors that the counterpart need not have: a mixture's language, the year of an instrumental,
# and the word "remix" where a name stands beside it.
LANGUAGE = r"=[a-z]+"
YEAR_OR_ONE = r"=\d+"
REMIX = r"\bremix\b"
NAME = r"[a-z]{2}"
MIXTURE, INSTRUMENTAL, EITHER = "m", "i", "e"

# What stands before the dash may end in guests, in a marker and in a version.
GUESTS: tuple[Step, ...] = ((rf"[ ,]{version_words.GUESTS}[ .:].*$", ""),)
IS_TITLE = rf"^{version_words.MARKER_TITLE}$"
MARKER_AT_END = rf"^([^a-z0-9]*[a-z0-9].*?)[ ,:/-]({version_words.MARKER_SUFFIX})$"
VERSION_AT_END = rf"^([^a-z0-9]*[a-z0-9].*) ({version_words.VERSION_SUFFIX})$"
SLASHED_GUESTS = rf"[ ,]{version_words.SLASHED_GUESTS}.*$"

# Spellings of the title itself.
UMLAUTS: tuple[Step, ...] = ((r"\^", "e"),)
NO_UMLAUTS: tuple[Step, ...] = ((r"\^", ""),)
KEY: tuple[Step, ...] = (
    (r" (?:'n'?|n'|n) ", " and "),
    (r"([a-z])'n'([a-z])", r"\1 and \2"),
    (r"([aeiouy][a-z]{0,12})ing\b", r"\1in"),
    (rf"^(.*[a-z0-9]), (?:the|{version_words.ARTICLES})$", r"\1"),
    (rf"^(?:{version_words.ARTICLES}) ([a-z0-9])", r"\1"),
)

# Titles without any of this are a key and nothing else.
NOT_PLAIN = (
    r"[\x00-\x1f\x7f`@_()\[\]{}~|<^%]| -|- |[wf]/|feat|ft|in[a-z]+m[ae]|inst|karaoke|off[ -]?vocal"
    r"|less[ -]?voc|minus|backing|base |part|pt|teil|chast|mix|live|acoustic|demo|cap|radio"
    r"|extended|edit|unplugged|rmx|^ | $|  "
)
