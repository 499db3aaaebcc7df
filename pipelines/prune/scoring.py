"""Candidates heard: each track of a song is decoded once, each pair measured and judged.

Which candidates are scored together is a plan that depends on nothing but the candidates. No Beam.
"""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterable

from matching.sound import decisions
from matching.sound.decisions import Thresholds
from matching.sound.repairs import repair
from matching.sound.scores import Scores, Settings, TrimmedSignal
from matching.sound.signals import Stereo
from stemlode import schemas
from stemlode.addresses.rules import Address, Rules
from stemlode.audio import AudioError
from stemlode.audio.containers.info import check_whole, differs
from stemlode.audio.decoding import Decoded, Decoder
from stemlode.retry import Stores, Unreachable, reach
from stemlode.tables import Row

ROLES = ("mix", "instrumental")
MEASURES = tuple(
    name
    for name in schemas.SCORED_PAIR.names
    if name not in (*schemas.CANDIDATE.names, "decision", "reason")
)
PAIRS_PER_PART = 32
IN_MEMORY_BYTES = 64 << 20  # of a song's tracks; the rest stay in their temporary files


@dataclasses.dataclass(frozen=True)
class Unheard:
    """Why there is no sound of a track: in a word, and in a sentence."""

    error: str
    message: str


Sound = TrimmedSignal | Unheard


@dataclasses.dataclass(frozen=True)
class DecodedTrack:
    """The sound of a track, how long its file is where it decodes, and what it takes in memory."""

    sound: Sound
    decoded_s: float | None = None
    in_memory_bytes: int = 0


@dataclasses.dataclass
class Heard:
    """What became of some candidates. It is plain data, and goes to disk as JSON.

    `measures` maps a pair id to the fields that schemas.SCORED_PAIR adds to a candidate,
    `unreadable` a track id to its row of schemas.REJECT, `seconds` a pair id to its mixture's
    length; `decoded_s` says how much audio was read, `decode_ms` and `score_ms` how long that and
    comparing took. Of the `tracks` that were decoded, `lengths_differ` counts those that are not as
    long as the catalogue has them, `ends_missing` the Ogg files that lack their last page.
    """

    measures: dict[str, Row] = dataclasses.field(default_factory=dict)
    unreadable: dict[str, Row] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    decoded_s: float = 0.0
    decode_ms: float = 0.0
    score_ms: float = 0.0
    tracks: int = 0
    lengths_differ: int = 0
    ends_missing: int = 0

    def add(self, other: "Heard") -> None:
        """Take in what became of further candidates."""
        self.measures |= other.measures
        self.unreadable |= other.unreadable
        self.seconds |= other.seconds
        self.decoded_s += other.decoded_s
        self.decode_ms += other.decode_ms
        self.score_ms += other.score_ms
        self.tracks += other.tracks
        self.lengths_differ += other.lengths_differ
        self.ends_missing += other.ends_missing


class Listener:
    """Measures and judges the candidates of a song. `close` ends its decoding process."""

    def __init__(
        self, settings: Settings, thresholds: Thresholds, rules: Rules | None = None
    ) -> None:
        """`rules` are those for the addresses of candidates."""
        self.settings, self.thresholds = settings, thresholds
        self.rules = rules or Rules()
        self.decoder = Decoder(
            settings.sample_rate, channels=2 if settings.align else 1, mid_side=settings.align
        )
        self.decoder_cpu_s = 0.0
        self.stores = Stores()

    def close(self) -> None:
        self.decoder.close()

    def hear(self, candidates: Iterable[Row]) -> Heard:
        """Rows of schemas.CANDIDATE with one song_id → what became of each."""
        pairs = sorted(candidates, key=in_order)
        heard = Heard()
        held: dict[str, DecodedTrack] = {}
        uses = Counter(row[f"{role}_track_id"] for row in pairs for role in ROLES)
        for row in pairs:
            tracks = {}
            for role in ROLES:
                track_id = row[f"{role}_track_id"]
                if track_id not in held:
                    taken = sum(track.in_memory_bytes for track in held.values())
                    room = IN_MEMORY_BYTES - taken
                    uri = row[f"{role}_audio_uri"]
                    held[track_id] = self._track(uri, row[role], room, heard)
                tracks[role] = held[track_id]
                sound = held[track_id].sound
                if isinstance(sound, Unheard):
                    heard.unreadable[track_id] = schemas.reject(
                        "prune", track_id, sound.error, sound.message, row[role]
                    )
            self._judge(row["pair_id"], tracks["mix"], tracks["instrumental"], heard)
            for role in ROLES:
                track_id = row[f"{role}_track_id"]
                uses[track_id] -= 1
                if not uses[track_id]:
                    held.pop(track_id, None)
        return heard

    def _track(self, uri: str | None, known: Row, room: int, heard: Heard) -> DecodedTrack:
        """The sound of a track that lies there, of which the catalogue's row is `known`; in memory
        where there is room for so many bytes."""
        if not uri:
            return DecodedTrack(Unheard("no_audio_uri", "no audio_uri"))
        begun, address = time.perf_counter(), Address(uri, self.rules)
        try:
            with self.stores.file(uri):
                decoded = reach(lambda: self.decoder.decode(address))
        except (AudioError, Unreachable) as error:
            return DecodedTrack(Unheard(error.error, str(error)))
        finally:
            heard.decode_ms += 1000 * (time.perf_counter() - begun)
        self.decoder_cpu_s += decoded.cpu_s
        heard.decoded_s += decoded.duration_s
        heard.tracks += 1
        heard.ends_missing += not decoded.ended
        size = decoded.samples.bytes
        in_memory = size if size <= room else 0
        sound = self._heard(decoded, known, in_memory > 0, heard)
        return DecodedTrack(sound, decoded.duration_s, in_memory)

    def _heard(self, decoded: Decoded, known: Row, in_memory: bool, heard: Heard) -> Sound:
        stated = known["duration_s"]
        if stated is not None and 0 < stated < math.inf:
            heard.lengths_differ += differs(decoded.duration_s, stated)
            try:
                check_whole(decoded.duration_s, stated, known.get("duration_source"))
            except AudioError as error:
                return Unheard(error.error, str(error))
        begun = time.perf_counter()
        samples = decoded.samples
        channels = (samples.channel(number) for number in range(samples.channels))
        both = Stereo(*(channel[:] if in_memory else channel for channel in channels))
        recording = TrimmedSignal(both, self.settings)
        heard.score_ms += 1000 * (time.perf_counter() - begun)
        if recording.is_silent:
            return Unheard("silent", "nothing but silence")
        return recording

    def _judge(self, pair_id: str, mix: DecodedTrack, other: DecodedTrack, heard: Heard) -> None:
        mixture, instrumental = mix.sound, other.sound
        if isinstance(mixture, TrimmedSignal):
            heard.seconds[pair_id] = mixture.duration_s
        if isinstance(mixture, TrimmedSignal) and isinstance(instrumental, TrimmedSignal):
            begun = time.perf_counter()
            found = repair.score(mixture, instrumental)
            decision, reason = decisions.decide(found, self.thresholds)
            heard.score_ms += 1000 * (time.perf_counter() - begun)
            measures = measures_of(found)
        else:
            sounds = {"mixture": mixture, "instrumental": instrumental}
            decision, measures = "unreadable", dict.fromkeys(MEASURES)
            reason = "; ".join(
                f"{role}: {why.message}" for role, why in sounds.items() if isinstance(why, Unheard)
            )
        measures |= {"mix_decoded_s": mix.decoded_s, "instrumental_decoded_s": other.decoded_s}
        heard.measures[pair_id] = {**measures, "decision": decision, "reason": reason}


def measures_of(found: Scores) -> Row:
    """The columns of schemas.SCORED_PAIR that scores fill."""
    return dict.fromkeys(MEASURES) | dataclasses.asdict(found)


def in_order(row: Row) -> tuple[str, str, str]:
    """Pairs of a mixture follow one another, so that few tracks are held at a time."""
    return row["mix_track_id"], row["instrumental_track_id"], row["pair_id"]


def groups(song: Iterable[Row], most: int) -> list[list[Row]]:
    """A song's candidates in groups of at most `most`, the same for any order."""
    rows = sorted(song, key=in_order)
    return [rows[start : start + most] for start in range(0, len(rows), most)]


def plan(songs: Iterable[tuple[str, int]], most: int) -> dict[str, int]:
    """Song id → number of its first part, for (song id, pairs) in any order.

    Songs are taken in the order of their ids, which are hashes and so as good as shuffled. A part
    holds at most `most` pairs: of several songs, or one of the groups of a song that has more,
    which take consecutive parts of their own.
    """
    parts: dict[str, int] = {}
    part, held = 0, 0
    for song_id, pairs in sorted(songs):
        if held and held + pairs > most:
            part, held = part + 1, 0
        parts[song_id] = part
        whole, rest = divmod(pairs, most)
        if pairs > most:
            part, held = part + whole + (rest > 0), 0
        else:
            held += pairs
    return parts
