"""Every verb gives every file the same verdict, and hears as much of it."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from apache_beam.pvalue import TaggedOutput

from matching.sound.decisions import Thresholds
from matching.sound.scores import Settings
from pipelines.catalogue import scan
from pipelines.prune.scoring import Listener
from pipelines.pseudolabel.segments import Cut, Segmenter
from pipelines.review import sound as review_sound
from pipelines.samples import chunks
from pipelines.samples.chunks import AlignedSource
from stemlode.audio import AudioError
from stemlode.layouts.songs import Part
from tests.stemlode.audio.containers.making import RATE
from tests.stemlode.audio.containers.traits import Trait, traits
from training.evaluation import references
from training.finetuning import pieces, unlabelled
from training.recipes.registry import RECIPES
from training.separation import streams

Verdict = float | str  # seconds that were heard, or the reject's word
STEP_S = 0.25  # of the piece by which finetune finds a file's end


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Trait, Path]]:
    folder = tmp_path_factory.mktemp("traits")
    found = {}
    for number, trait in enumerate(traits()):
        path = folder / f"{number}.{trait.ending.strip(',')}"
        path.write_bytes(trait.data)
        found[trait.name] = (trait, path)
    return found


def _verdict(hear: Callable[[], float]) -> Verdict:
    try:
        return hear()
    except AudioError as error:
        return error.error


@contextlib.contextmanager
def _verbs() -> Iterator[dict[str, Callable[[str], Verdict]]]:
    listener = Listener(Settings(), Thresholds())
    segmenter = Segmenter(Cut(RATE, 2, 0.01, 0.0, 4, lossless_only=False))

    def prune(uri: str) -> Verdict:
        return _verdict(lambda: listener.decoder.decode(uri).duration_s)

    def pseudolabel(uri: str) -> Verdict:
        return _verdict(lambda: len(segmenter.hear(uri).samples) / RATE)

    def corpus(uri: str) -> Verdict:
        def heard() -> float:
            cut = chunks.cut(
                [AlignedSource("a", uri)], sample_rate=RATE, channels=2, chunk_frames=RATE
            )
            return sum(chunk["a"].shape[1] for chunk in cut) / RATE

        return _verdict(heard)

    def separate(uri: str) -> Verdict:
        def heard() -> float:
            frames, _, rate = streams.decode_to(uri, {8192: io.BytesIO()})
            return frames / rate

        return _verdict(heard)

    def evaluate(uri: str) -> Verdict:
        return _verdict(lambda: references._read(Part(uri), {}).duration_s)

    def review(uri: str) -> Verdict:
        return _verdict(lambda: review_sound._read(uri, 0.0).shape[1] / RATE)

    def finetune(uri: str) -> Verdict:
        recipe = RECIPES["unet-vocals"]
        survey = unlabelled.Survey({uri: unlabelled.UNKNOWN}, recipe, lossless_only=False)
        survey.patch_s = 0.0
        return _verdict(lambda: survey._heard(uri, unlabelled.UNKNOWN).duration_s)

    try:
        yield {
            "prune": prune,
            "pseudolabel": pseudolabel,
            "corpus": corpus,
            "separate": separate,
            "evaluate": evaluate,
            "review": review,
            "finetune": finetune,
        }
    finally:
        listener.close()
        segmenter.close()


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_every_verb_gives_every_file_the_same_verdict(
    files: dict[str, tuple[Trait, Path]], step: int
) -> None:
    with _verbs() as verbs:
        for name, (trait, path) in [*files.items()][::step]:
            found = {verb: hear(str(path)) for verb, hear in verbs.items()}
            if trait.error:
                assert set(found.values()) == {"damaged"}, (name, found)
            else:
                assert all(isinstance(seconds, float) for seconds in found.values()), (name, found)
                assert max(found.values()) - min(found.values()) < 0.002, (name, found)


def test_scan_lists_what_the_other_verbs_hear(files: dict[str, tuple[Trait, Path]]) -> None:
    for name, (trait, path) in files.items():
        (row,) = scan.ReadTags(str(path.parent)).process(str(path))
        if isinstance(row, TaggedOutput):
            assert trait.error and row.value["error"] == "damaged", name
            continue
        assert row["audio_uri"] == str(path), name
        assert row["duration_source"] in ("counted", "stated")
        if not trait.error:
            assert row["duration_source"] == trait.source, name
            assert row["duration_s"] == pytest.approx(trait.seconds, rel=0.05), name


def test_a_piece_near_the_end_is_there_in_every_format(
    files: dict[str, tuple[Trait, Path]],
) -> None:
    for name, (trait, path) in files.items():
        if not trait.error:
            start_s = trait.seconds - 2 * STEP_S
            piece = pieces.read(str(path), start_s, (2, round(STEP_S * RATE)), RATE).numpy()
            assert np.isfinite(piece).all() and np.abs(piece).max() > 0.05, name
