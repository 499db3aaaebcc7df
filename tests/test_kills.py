"""Every verb that writes much is killed at random, and its reruns give the bytes of a whole run."""

import random
from pathlib import Path

import pytest

from benchmarks import kills


@pytest.mark.slow
def test_killed_at_random_and_run_again_every_verb_gives_the_same_bytes(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")  # pytest shows it where the test fails
    folders = {"songs": tmp_path / "songs"}
    kills.make_songs(folders["songs"])
    for verb in kills.VERBS:
        tally = kills.kill_and_rerun(verb, folders, 3, seed)
        assert tally.kills == 3 and sorted(tally.hows) == sorted(kills.HOWS)
