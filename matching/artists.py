"""Who a recording is by, as far as its catalogue says: what artists are told apart by.

Of a credit the first artist counts: "A feat. B", "A & B" and "A, B" are A's. A credit that stands
for nobody in particular is no artist: none at all, Various Artists, Unknown, Soundtrack, whatever
their language, case or spelling, and the artists that MusicBrainz keeps for special purposes.

An artist has a key for its id and one for its name, so that one who stands in a catalogue by id and
in a folder by name is one. Two who share a name are taken for one: that costs a split nothing, and
the other way round costs it what it is for.
"""

import hashlib
import re
import unicodedata
from typing import NamedTuple

from matching.titles import artist_key

LONGEST_KEY = 100  # characters of an id or a name that a key shows as they are
_LONGEST_CREDIT = 500  # characters that are looked at

# What stands for nobody, as it is printed; compared by `artist_key`.
_NOBODIES = """
    Various Artists|Various Artist|Various|Varios|Vários|V.A.|V/A|VV.AA.|AA.VV.|VVAA|AAVV
    Various Performers|Various Composers|Various Interprets|Assorted Artists|Multiple Artists
    Compilation|Compilations|Sampler|Omnibus
    Verschiedene|Verschiedene Künstler|Verschiedene Interpreten|Diverse|Diverse Künstler
    Diverse Interpreten|Diverse Artiesten|Diverse Artister|Diverse Kunstnere|Blandade Artister
    Artistes Divers|Artistes variés|Divers Artistes|Divers|Varios Artistas|Varios Intérpretes
    Artistas Varios|Vários Artistas|Vários Intérpretes|Artistas Diversos|Artisti Vari|Vari Artisti
    AA. VV. (Autori Vari)|Autori Vari|Eri Esittäjiä|Różni Wykonawcy|Různí Interpreti
    Çeşitli Sanatçılar|Разные исполнители|Разные артисты|Различные исполнители|Сборник
    Різні виконавці|Διάφοροι Καλλιτέχνες|여러 아티스트|群星|合辑|合輯|華語群星|华语群星
    オムニバス|ヴァリアス・アーティスト|V.A.(オムニバス)
    Unknown|Unknown Artist|Unknown Artists|Artist Unknown|Unknown Performer|Unknown Interpret
    Untitled Artist|Unidentified|No Artist|No Artist Name|Not Available|Not Applicable|N/A|None|Null
    Nil|NaN|Undefined|Missing|<unknown>|Track Artist|Default Artist
    Unbekannt|Unbekannter Künstler|Unbekannter Interpret|Unbekannte Künstler|Ohne Interpret
    Inconnu|Artiste inconnu|Interprète inconnu|Desconocido|Artista desconocido|Desconhecido
    Artista desconhecido|Sconosciuto|Artista sconosciuto|Onbekend|Onbekende artiest|Okänd
    Okänd artist|Ukendt|Ukendt kunstner|Ukjent|Ukjent artist|Tuntematon|Tuntematon esittäjä|Nieznany
    Nieznany artysta|Nieznany wykonawca|Neznámý|Neznámý interpret|Ismeretlen|Ismeretlen előadó
    Bilinmeyen|Bilinmeyen Sanatçı|Неизвестен|Неизвестный|Неизвестный исполнитель|Неизвестный артист
    Невідомий виконавець|未知|未知艺术家|未知艺人|未知歌手|未知演出者|佚名|不明
    不明なアーティスト|アーティスト不明
    알 수 없음|알 수 없는 아티스트|아티스트 미상|Άγνωστος|Άγνωστος Καλλιτέχνης
    Anonymous|Anonymus|Anonym|Anonyme|Anónimo|Anônimo|Anonimo|Traditional|Trad.|Traditionell
    Soundtrack|Soundtracks|Original Soundtrack|Original Soundtracks|Movie Soundtrack|Film Soundtrack
    Motion Picture Soundtrack|Original Motion Picture Soundtrack|Original Film Soundtrack|OST|O.S.T.
    Original Sound Track|Sound Track|Game Soundtrack|Original Game Soundtrack|TV Soundtrack
    Original Cast|Original Cast Recording|Original Broadway Cast|Original Broadway Cast Recording
    Original London Cast|Cast|Filmmusik|Bande originale|Bande originale du film|B.O.F.
    Banda sonora|Banda sonora original|Trilha sonora|Trilha sonora original|Colonna sonora
    Colonna sonora originale|Саундтрек|Саундтреки|原声带|原聲帶|电影原声|原声音乐
    サウンドトラック|オリジナル・サウンドトラック|사운드트랙|오리지널 사운드트랙
"""
_NOBODIES_IN_BRACKETS = """
    data|dialogue|dialog|silence|archive|theatre|musical theatre|classical music|nature sounds
    church chimes|language instruction|christmas music|disney|applause|crowd|no name
"""


def _keys(names: str) -> frozenset[str]:
    return frozenset(artist_key(name.strip()) for name in names.replace("\n", "|").split("|")) - {
        ""
    }


NOBODIES = _keys(_NOBODIES)
NOBODIES_IN_BRACKETS = _keys(_NOBODIES_IN_BRACKETS)  # as MusicBrainz prints them: "[data]"
NOBODY_IDS = frozenset(  # MusicBrainz' artists for special purposes
    {
        "89ad4ac3-39f7-470e-963a-56509c546377",  # Various Artists
        "125ec42a-7229-4250-afc5-e057484327fe",  # [unknown]
        "f731ccc4-e22a-43af-a747-64213329e088",  # [anonymous]
        "eec63d3c-3b81-4ad4-b1e4-7c147d4d2b61",  # [no artist]
        "9be7f096-97ec-4615-8957-8d40b5dcbc41",  # [traditional]
        "33cf029c-63b0-41a0-9855-be2a3665fb3b",  # [data]
        "314e1c25-dde7-4e4d-b2f4-0a7b9f7c56dc",  # [dialogue]
        "d6bd72bc-b1e2-4525-92aa-0f853cbb41bf",  # [soundtrack]
        "a0ef7e1d-44ff-4039-9435-7d5fefdeecc9",  # [theatre]
        "9e44f539-f3fc-4120-bce2-94c8716437fa",  # [classical music]
        "0187fe48-c87d-4dd8-beca-9c07ef535603",  # [christmas music]
        "66ea0139-149f-4a0c-8fbf-5ea9ec4a6e49",  # [Disney]
        "90068d37-bae7-4292-be4a-704c145bd616",  # [church chimes]
        "80a8851f-444c-4539-892b-ad2a49292aa9",  # [language instruction]
    }
)
_AND_OTHERS = re.compile(  # what stands between the artists of a credit
    r"\s*[;|\0\n、，；／]\s*"
    r"|,\s+"
    r"|\s+[/&+×x]\s+"
    r"|[\s(\[]+(?:feat(?:uring)?|ft|f/|w/|vs|versus|pres(?:ents)?|con)\b[.:]?\s*"
    r"|[\s(\[]+(?:with|and|und|et|y|meets|starring)\s+",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"(?<=\S)\s*[(\[（【].*$")  # what follows a name: "(2)", "(UK)"
_CHANNEL = re.compile(r"\s+-\s+Topic\s*$|(?<=\w)\s?VEVO\s*$")  # as YouTube calls an artist's
_LEADING_FEAT = re.compile(r"^\s*(?:feat(?:uring)?|ft)\b[.:]?\s+", re.IGNORECASE)
_SIGNS = ((re.compile(r"\$(?=[\w$])|(?<=[\w$])\$"), "s"), (re.compile(r"(?<=\w)!(?=\w)"), "i"))
_NO_NAME = re.compile(r"[?\-–—_./\\*)\]\s]*")  # signs that are put where a name is missing


class Artist(NamedTuple):
    """A name to show, and the keys of which artists that are one have any in common."""

    name: str
    keys: tuple[str, ...]


def of(artist_id: str | None, credit: str | None) -> Artist | None:
    """The artist that a recording's id and credit as printed stand for; None for nobody.

    A credit of nobody outweighs the id, which catalogues make up for nobody too.
    """
    shown, name = "", ""
    said = _LEADING_FEAT.sub("", _printable((credit or "")[:_LONGEST_CREDIT]))
    for part in _AND_OTHERS.split(said):
        shown, name = part.strip(), _name_key(part)
        if name:
            break
    if credit is not None and not name:
        return None
    own = (artist_id or "").strip()
    keys = [f"name:{name}"] if name else []
    if own.lower() not in NOBODY_IDS and _name_key(_printable(own[:_LONGEST_CREDIT])):
        keys.append(f"id:{_short(own)}")
    elif artist_id is not None and not name:
        return None
    return Artist(shown or _short(own), tuple(sorted(keys))) if keys else None


def may_stand(drawn: set[str], listed: set[str]) -> bool:
    """Whether an artist's songs may stand in these splits, of which lists named some and a draw the
    others: in one, or where lists name several, in those."""
    return len(drawn | listed) <= 1 or drawn <= listed


def _name_key(name: str) -> str:
    """What one name is known by; empty for nobody's."""
    plain = _CHANNEL.sub("", _IN_BRACKETS.sub("", name.strip()))
    if not plain or _NO_NAME.fullmatch(plain):
        return ""
    for sign, letter in _SIGNS:  # Ke$ha, A$AP, P!nk
        plain = sign.sub(letter, plain)
    key = artist_key(plain)
    is_bracketed = plain[0] == "[" and plain[-1] == "]"
    is_nobody = key in NOBODIES or (is_bracketed and key in NOBODIES_IN_BRACKETS)
    return "" if is_nobody else key


def _printable(text: str) -> str:
    """Text in its one compatible spelling, without what cannot be seen."""
    normal = unicodedata.normalize("NFKC", text)
    return "".join(
        sign
        for sign in normal
        if sign in "\0\n" or unicodedata.category(sign) not in ("Cf", "Cc", "Cs", "Co", "Cn")
    )


def _short(text: str) -> str:
    """Text, or of a long one its beginning and what tells it from others."""
    if len(text) <= LONGEST_KEY:
        return text
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{text[:LONGEST_KEY]}… {sha256[:16]}"
