"""The words by which titles tell versions apart: the tables of the extended rule.

Every pattern is read by RE2 (Arrow, BigQuery, DuckDB) and by Python's `re` alike: no look-around,
no back-references, no match of the empty string. They see a latinised title in lowercase, so
"Минус" is "minus" here and "Instrumental'naia" is Russian.
"""


def words(*alternatives: str) -> str:
    """A pattern for any of these as whole words."""
    return rf"\b(?:{'|'.join(alternatives)})\b"


# Markers in scripts whose words have no spaces around them, to be replaced in the title as it is
# printed, the longest first.
ORIGINAL_SCRIPTS = (
    ("インストゥルメンタル", " instrumental "),
    ("インストルメンタル", " instrumental "),
    ("インスト", " instrumental "),
    ("オフボーカル", " off vocal "),
    ("オフヴォーカル", " off vocal "),
    ("ボーカルレス", " off vocal "),
    ("オリジナル・カラオケ", " karaoke "),
    ("オリジナルカラオケ", " karaoke "),
    ("カラオケ", " karaoke "),
    ("ｶﾗｵｹ", " karaoke "),
    ("卡拉OK", " karaoke "),
    ("MR 반주", " instrumental "),
    ("MR반주", " instrumental "),
    ("伴奏", " instrumental "),
    ("伴唱", " instrumental "),
    ("纯音乐", " instrumental "),
    ("純音樂", " instrumental "),
    ("无人声", " off vocal "),
    ("無人聲", " off vocal "),
    ("消音", " off vocal "),
    ("인스트루멘탈", " instrumental "),
    ("인스트", " instrumental "),
    ("반주", " instrumental "),
    ("노래방", " karaoke "),
    ("版", " version "),
    ("ヴァージョン", " version "),
    ("バージョン", " version "),
    ("버전", " version "),
)

# "Pt. 2", "part two" and "(Part II)" are one.
PART = r"(?:parts?|pts?|parte|partie|teil|chast')[. ]*"
NUMBERS = {
    "1": "one|i",
    "2": "two|ii",
    "3": "three|iii",
    "4": "four|iv",
    "5": "five|v",
    "6": "six|vi",
    "7": "seven|vii",
    "8": "eight|viii",
    "9": "nine|ix",
    "10": "ten|x",
}

_VERSION = r"(?:version[a-z]*|versa[o]|versii?a|vers?|verze|wersja|versie|mix|edit|track|cut)\b\.?"
_VOICE = r"(?:(?:the|any|lead|main) )*(?:vocals?|vox|voices?|singing)"

# What marks an instrumental inside brackets or after a dash, each with the name it goes by.
MARKERS = (
    (
        "off-vocal",
        rf"(?:\bw/o|\bwithout|\bminus|\bless|\bno|\bnon)[ -]?{_VOICE}\b|"
        + words(r"off[ -]?vocals?", r"vocals?[ -]?off", r"vocals?[ -]?less", "voiceless")
        + rf"(?: {_VERSION})?|"
        + words("sans voix", "sans chant", "sin voz", "sin voces", "senza voce", "sem voz")
        + "|"
        + words("ohne gesang", "bez slov", "bez vokala", "bez wokalu"),
    ),
    ("tv-track", r"\btv[ -](?:instrumental|version|mix|track)\b"),
    (
        "instrumental",
        rf"\b(?:[ei]nstrum[ea]ntaa?l[a-z']*|strumental[ei]|instr[ou]?|inst)\b\.?(?: {_VERSION})?",
    ),
    ("karaoke", rf"\bkaraoke\b(?: {_VERSION})?"),
    (
        "backing-track",
        words(
            r"(?:backing|performance|accompaniment|play-?along)[ -]track",
            *("accompaniment", "base musicale", "pista musical", "halbplayback"),
        ),
    ),
    ("minus-one", words("minus[ -]one", "minusovka")),
    ("sing-along", words("sing[ -]?along")),
)
SURE_MARKERS = words("instrumental", "inst", "karaoke", "off vocal")
# These have other meanings too, so they must fill the bracket.
LONE_MARKERS = (
    ("minus-one", "minus"),
    ("playback", "play[ -]?back"),
    ("mr", r"m\.?r\.?"),
)
LONE_MARKER_TAIL = rf"(?: {_VERSION})?"

# What may end a title without brackets or a dash.
MARKER_SUFFIX = (
    rf"(?:instrumental(?:s|z|e|version)?|(?:instrumental|karaoke|off[ -]vocal|minus one) {_VERSION}"
    r"|inst\.|instr\.?|instro|off[ -]vocal|backing track)"
)
# … but for these it is the title: "The Instrumental", "My Karaoke Version".
MARKER_TITLE = rf"(?:(?:the|a|an|my|our|your|this|that|another|some|just|no) )*{MARKER_SUFFIX}"
VERSION_SUFFIX = r"(?:remix|live|acoustic|demo|acappella)"

# Credits name people or releases, never a version.
GUESTS = words("feat", "ft", "featuring")
CREDITS = (
    r"(?:w/ |(?:with|duet with|avec|starring|prod|produced|co-produced|mixed by|cuts|cuts by"
    r"|scratches|written|composed|arr|arranged|aka|a\.k\.a|ost|from|theme from|taken from"
    r"|(?:original )?(?:song|music|theme|version) from|original (?:song|motion|soundtrack))\b)"
)

# … but "with strings" is one.
WITH_MORE = r"\bwith (?:the |an? )?(strings|orchestra|choir|chorus|band|piano)\b"

# Albums of instrumentals, whose tracks need not say so themselves …
INSTRUMENTAL_ALBUM = (
    r"^[^a-z0-9]*[a-z0-9].*?[ (\[:-](?:karaoke (?:version|edition|album)"
    r"|instrumental(?:s|z|e|es)?(?: (?:version|edition|album|mix)s?)?)[)\] ]*$"
)
# … unless they hold more than that.
MIXED_ALBUM = (
    r"(?:[+&/,]|\band|\bplus|\bwith) (?:the |bonus )?(?:instrumental|karaoke)"
    r"|\ba[ -]?cc?app?ell?as?\b"
)

_YEAR = r"(?:19|20)\d\d"
REMASTER = (
    rf"(?:\b{_YEAR}[ -]+)?(?:\bdigital(?:ly)? )?\bre-?master(?:ed|ing|s)?\b"
    rf"(?: (?:version|edition|mix)\b)?(?:[ -]+(?:in |version )?{_YEAR}\b)?"
)

# Several spellings of one word.
SPELLINGS = (
    (r"\ba[ -]?cc?app?ell?as?\b", "acappella"),
    (r"\b(?:rmx|re-mix|remixed)\b", "remix"),
    (r"\bradio (?:edit|mix|version|cut)\b", "radio"),
    (r"\bextended (?:edit|mix|version|play)\b", "extended"),
    (r"\bre-edit\b", "reedit"),
    (r"\b(?:unplugged|acoustic (?:version|mix))\b", "acoustic"),
)

# A bracket without any of these is a subtitle: "(Shawty Snappin')".
VERSIONS = words(
    *("remix", "mix", "mixed", "edit", "reedit", "rework(?:ed)?", "remake", "refix"),
    *("flip", "bootleg", "mash-?up", "medley", "dub", "vip", "version[a-z]*", "vers?", "versiia"),
    *("live", "acoustic", "acappella", "demo", "session", "sessions", "take", "outtake"),
    *("rehearsal", "freestyle", "alternate", "alternative", "early", "rough", "raw", "stripped"),
    *("radio", "club", "extended", "short", "long", "single", "mono", "stereo", "orchestral?"),
    *("orchestra", "piano", "string", "strings", "symphonic", "choir", "lullaby", "8-bit"),
    *("slowed", "sped", "nightcore", "chopped", "screwed", "pitched", "reverb", "8d"),
    *("cover", "tribute", "style of", "originally performed", "made famous", "karaoke"),
    *("reprise", "interlude", "intro", "outro", "skit", "prelude", "commentary", "voice memo"),
    *("duet", "solo", "reimagined", "re-?recorded", "rerecorded", "unreleased", "beats?"),
)

# Words of a version that tell nothing about its sound beside the voice.
GENERIC = words(
    *("version[a-z]*", "versao", "versii?a", "vers?", "verze", "wersja", "versie", "mix", "track"),
    *("the", "a", "an", "original", "album", "lp", "ep", "single", "main", "standard", "full"),
    *("street", "dirty", "clean", "explicit", "edited", "censored", "uncensored", "amended"),
    *("soundtrack", "vocals?", "vox", "bonus", "official", "audio", "video", "lyrics?", "hd", "hq"),
)
