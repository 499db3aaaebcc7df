"""Candidates of one song, heard: each track is decoded once, each pair measured and judged.

Free of Beam.
"""

import dataclasses
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from matching import decisions, scores
from matching.decisions import Thresholds
from matching.scores import Recording, Settings
from pipelines import audio, rejects
from pipelines.patience import patiently

Row = dict[str, Any]
Sound = Recording | str  # a track's sound, or why there is none
ROLES = ("mix", "instrumental")
SILENT = "nothing but silence"
NO_URI = "no audio_uri"
_ERRORS = {NO_URI: "no_audio_uri", SILENT: "silent", "no such file": "missing"}
_NOT_MEASURED = {  # what later measures will fill
    "drift_ppm": None,
    "coherent": None,
    "residual_db": None,
    "matched_spans": None,
}
_NO_SCORES = dict.fromkeys(field.name for field in dataclasses.fields(scores.Scores))


@dataclasses.dataclass
class Heard:
    """What became of some candidates. It is plain data, and goes to disk as JSON.

    `measures` maps a pair id to the fields that schemas.SCORED_PAIR adds to a candidate,
    `unreadable` a track id to its row of schemas.REJECT, `seconds` a pair id to its mixture's
    length; `decoded_s` and `decode_ms` say how much audio was read, and how long that took.
    """

    measures: dict[str, Row] = dataclasses.field(default_factory=dict)
    unreadable: dict[str, Row] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    decoded_s: float = 0.0
    decode_ms: float = 0.0


class Listener:
    """Measures and judges the candidates of a song."""

    def __init__(self, settings: Settings, thresholds: Thresholds) -> None:
        self.settings, self.thresholds = settings, thresholds

    def hear(self, candidates: Iterable[Row]) -> Heard:
        """Rows of schemas.CANDIDATE with one song_id → what became of each.

        Raises Failed where audio lies somewhere that cannot be reached.
        """
        pairs = sorted(candidates, key=lambda row: row["pair_id"])
        heard = Heard()
        held: dict[str, Sound] = {}
        uses = Counter(row[f"{role}_track_id"] for row in pairs for role in ROLES)
        for row in pairs:
            sounds = {}
            for role in ROLES:
                track_id = row[f"{role}_track_id"]
                if track_id not in held:
                    held[track_id] = self._sound(row[f"{role}_audio_uri"], heard)
                sounds[role] = sound = held[track_id]
                if isinstance(sound, str):
                    error = _ERRORS.get(sound, "unreadable")
                    heard.unreadable[track_id] = rejects.reject(
                        "prune", track_id, error, sound, row[role]
                    )
            self._judge(row["pair_id"], sounds["mix"], sounds["instrumental"], heard)
            for role in ROLES:
                track_id = row[f"{role}_track_id"]
                uses[track_id] -= 1
                if not uses[track_id]:
                    held.pop(track_id, None)
        return heard

    def _sound(self, uri: str | None, heard: Heard) -> Sound:
        if not uri:
            return NO_URI
        rate = self.settings.sample_rate
        begun = time.perf_counter()
        try:
            decoded = patiently(lambda: audio.read(uri, sample_rate=rate, mono=True), uri)
        except audio.AudioError as error:
            return str(error)
        finally:
            heard.decode_ms += 1000 * (time.perf_counter() - begun)
        heard.decoded_s += decoded.duration_s
        recording = Recording(decoded.samples[0], self.settings)
        return SILENT if recording.is_silent else recording

    def _judge(self, pair_id: str, mixture: Sound, instrumental: Sound, heard: Heard) -> None:
        if isinstance(mixture, Recording):
            heard.seconds[pair_id] = mixture.duration_s
        if isinstance(mixture, Recording) and isinstance(instrumental, Recording):
            found = scores.score(mixture, instrumental)
            decision, reason = decisions.decide(found, self.thresholds)
            measures = dataclasses.asdict(found)
        else:
            sounds = {"mixture": mixture, "instrumental": instrumental}
            decision, measures = "unreadable", dict(_NO_SCORES)
            reason = "; ".join(
                f"{role}: {why}" for role, why in sounds.items() if isinstance(why, str)
            )
        heard.measures[pair_id] = {
            **measures, **_NOT_MEASURED, "decision": decision, "reason": reason,
        }  # fmt: skip
