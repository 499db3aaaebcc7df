"""What a step takes is known before it is tried, and what does not fit is said, not killed."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from stemlode.runs import BadUsage
from tests.training.conftest import TINY
from training.devices import ALONE
from training.loop import command, free_memory, memory
from training.loop.memory import Need
from training.loop.options import Options, begun, loop_of, workers_of
from training.recipes.base import Recipe
from training.recipes.registry import RECIPES, override

CPU = torch.device("cpu")
GB = 1_000_000_000
SMALL = {"channels": (2, 3, 4), "n_fft": 256, "hop_length": 192, "patch_frames": 16}
TINY_RECIPE = override(RECIPES["unet-vocals"], {**SMALL, "batch_size": 2})
# One of each kind of net, with batches that take half a gigabyte to two.
FAMILIES = [
    ("unet-vocals", 32),
    ("complex-unet-vocals-noncomplex-small", 48),
    ("cws-unet5-k1-small", 8),
    ("cws-mdensenet-k8-small", 24),
    ("cws-mmdensenet-small", 4),
    ("bsrnn-vocals-small", 4),
    ("joint-stacked-refinement-small", 16),
    ("demucs-vocals-small", 24),
]
ESTIMATE = """
import sys
import torch
from training.loop import memory
from training.recipes.registry import RECIPES
print(int(memory.need(RECIPES[sys.argv[1]], torch.device("cpu"), "fp32").of(int(sys.argv[2]))))
"""
STEPS = """
import sys
from pathlib import Path
import torch
from training.recipes.registry import RECIPES

def taken(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

torch.set_num_threads(1)
recipe, batch = RECIPES[sys.argv[1]], int(sys.argv[2])
mixture = torch.rand(batch, recipe.audio_channels, recipe.patch_samples)
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = taken("VmRSS")
nets = recipe.nets().to(memory_format=torch.channels_last)
adam = torch.optim.Adam(nets.parameters())
for _ in range(2):
    adam.zero_grad(set_to_none=True)
    plain = torch.zeros(batch, dtype=torch.bool)
    recipe.losses(nets, mixture, mixture / 2, plain).mean().backward()
    adam.step()
print(taken("VmHWM") - before)
"""


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what is taken")
@pytest.mark.parametrize(("name", "batch"), FAMILIES)
def test_the_estimate_is_what_learning_takes(name: str, batch: int) -> None:
    estimated, taken = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, name, str(batch)],
                check=True, capture_output=True, text=True, preexec_fn=_bounded,
            ).stdout
        )
        for code in (ESTIMATE, STEPS)  # in new processes: pages that were used once count as taken
    )  # fmt: skip
    assert taken > GB / 2  # else what the libraries take would say more than the nets
    assert estimated == pytest.approx(taken, rel=0.25)


def test_the_family_of_every_recipe_is_measured() -> None:
    assert {recipe.family for recipe in RECIPES.values()} == {
        RECIPES[name].family for name, _ in FAMILIES
    }


class _Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.exp()  # which saves what it gives
        return (y * y).sum() + y.view(-1).square().sum()  # and both of these save it again


def test_what_is_saved_is_counted_once() -> None:
    counted = memory._Saved([])
    x = torch.ones(3, 1000, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(counted.note, memory._never):
        _Square()(x)
    assert counted.total == 3 * 1000 * 4


def test_weights_are_not_counted_as_what_an_example_leaves() -> None:
    layer = nn.Linear(1000, 10)
    counted = memory._Saved(list(layer.parameters()))
    with torch.autograd.graph.saved_tensors_hooks(counted.note, memory._never):
        layer(torch.ones(1, 1000, requires_grad=True).clone())
    assert counted.total == 1000 * 4


def test_pages_that_nothing_touched_are_not_counted() -> None:
    half = torch.empty(64 << 20, dtype=torch.uint8)
    half[: 32 << 20] = 1
    assert memory.taken(half) == pytest.approx(32 << 20, rel=0.1)


def test_casts_of_the_weights_are_counted_once_for_all_examples() -> None:
    plain = memory.need(TINY_RECIPE, CPU, "fp32")
    wide = override(TINY_RECIPE, {"channels": (64, 64, 64), "patch_frames": 8})
    full, half = (memory.need(wide, CPU, kind) for kind in ("fp32", "bf16"))
    assert half.fixed > full.fixed > plain.fixed
    assert half.example < full.example


def test_an_average_and_a_teacher_are_further_copies() -> None:
    weights = sum(x.nbytes for x in TINY_RECIPE.nets().state_dict().values())
    plain = memory.need(TINY_RECIPE, CPU).fixed
    averaged = memory.need(override(TINY_RECIPE, {"ema_decay": 0.9}), CPU).fixed
    assert averaged - plain == pytest.approx(weights, abs=100)
    assert memory.need(TINY_RECIPE, CPU, teachers=1).fixed == averaged


def test_random_states_and_weights_are_left_as_they_were() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    memory.need(RECIPES["cws-unet5-k8-small"], CPU)
    assert torch.equal(torch.get_rng_state(), before)


# What is said.


def _recipe(batch: int, accumulate: int = 1) -> Recipe:
    return override(RECIPES["unet-vocals"], {"batch_size": batch, "accumulate": accumulate})


@pytest.mark.parametrize("free", [GB, 2 * GB, 3 * GB, 5 * GB, 9 * GB])
@pytest.mark.parametrize("batch", [2, 7, 16])
def test_what_is_advised_fits_and_a_part_less_would_not(free: int, batch: int) -> None:
    takes = Need(fixed=GB // 2, example=GB // 2, normalises=False)
    words = memory.advice(_recipe(batch), takes, free, begun=False).split()
    parts = int(words[words.index("--accumulate") + 1])
    assert takes.of(-(-batch // parts)) <= free
    assert parts == 1 or takes.of(-(-batch // (parts - 1))) > free
    fewer = int(words[words.index("--batch-size") + 1])
    assert takes.of(fewer) <= free


def test_where_not_one_example_fits_nothing_is_advised_that_does_not() -> None:
    line = memory.advice(_recipe(4), Need(GB, GB, False), GB, begun=False)
    assert "not even one example" in line and "--accumulate" not in line


def test_several_processes_share_the_batch() -> None:
    takes = Need(fixed=0, example=GB, normalises=False)
    line = memory.advice(_recipe(16), takes, 3 * GB, 2, begun=False)
    assert "--accumulate 3 fits" in line and "--batch-size 6" in line


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What the device says that it has."""
    held = {"bytes": 0}
    monkeypatch.setattr(free_memory, "of_device", lambda _: held["bytes"])
    yield held


def _train(corpus: Path, output: Path, *options: str) -> int:
    words = ["unet-vocals", "--corpus", str(corpus), "--output", str(output), *TINY]
    return command.main([*words, "--steps", "2", "--validate-every", "2", *options])


def _takes() -> int:
    return memory.need(TINY_RECIPE, CPU).of(2)


def test_far_too_little_memory_is_refused_before_there_is_a_run(
    corpus_folder: Path, tmp_path: Path, free: dict[str, int]
) -> None:
    free["bytes"] = _takes() // 2
    with pytest.raises(BadUsage) as refused:
        _train(corpus_folder, tmp_path / "run")
    line = str(refused.value)
    assert line.startswith("--batch-size 2: a step takes about ") and "is free on cpu" in line
    assert "--force" in line and "\n" not in line
    assert not (tmp_path / "run").exists()


def test_forced_or_nearly_fitting_runs_go_on_with_a_warning_and_the_same_bytes(
    corpus_folder: Path, tmp_path: Path, free: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = []
    for name, share, options in (("room", 2, ()), ("short", 0.9, ()), ("far", 0.5, ("--force",))):
        free["bytes"] = int(_takes() * share)
        assert _train(corpus_folder, tmp_path / name, *options) == 0
        warned = "memory is short: --batch-size 2: a step takes" in capsys.readouterr().err
        assert warned == (name != "room")
        weights.append((tmp_path / name / "checkpoint/model.safetensors").read_bytes())
    assert weights[0] == weights[1] == weights[2]


def test_losses_and_weights_are_those_of_a_run_that_estimates_nothing(
    corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _train(corpus_folder, tmp_path / "with") == 0
    monkeypatch.setattr(memory, "check", lambda *_, **__: None)
    assert _train(corpus_folder, tmp_path / "without") == 0
    found = []
    for name in ("with", "without"):
        log = (tmp_path / name / "log.jsonl").read_text().splitlines()
        model = (tmp_path / name / "checkpoint/model.safetensors").read_bytes()
        found.append(([json.loads(line)["loss"] for line in log], model))
    assert found[0] == found[1]


def test_a_run_that_is_done_or_begun_is_told_what_holds_for_it(
    corpus_folder: Path, tmp_path: Path, free: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    free["bytes"] = GB
    assert _train(corpus_folder, tmp_path / "run") == 0
    monkeypatch.setattr(memory, "need", lambda *_, **__: Need(0, GB, False))
    assert _train(corpus_folder, tmp_path / "run") == 0  # complete, so it takes nothing
    (tmp_path / "run" / "_SUCCESS").unlink()
    with pytest.raises(BadUsage, match=r"--accumulate 2 fits.* this takes --overwrite"):
        _train(corpus_folder, tmp_path / "run")
    with pytest.raises(BadUsage, match="--accumulate 2 fits, and so does --batch-size 1; --force"):
        _train(corpus_folder, tmp_path / "run", "--overwrite")


def test_what_accumulating_does_to_batch_normalisation_is_said() -> None:
    takes = memory.need(TINY_RECIPE, CPU)
    assert takes.normalises
    line = memory.advice(_recipe(8), takes, takes.of(4), begun=False)
    assert "--accumulate 2 fits (batch normalisation then sees 4 examples at a time" in line
    assert not memory.need(_bsrnn(), CPU).normalises


def _bsrnn() -> Recipe:
    values = {"layers": 1, "features": 4, "hidden": 4, "mask_hidden": 4, "patch_seconds": 0.25}
    return override(RECIPES["bsrnn-vocals-small"], values)


# What is free.


def _group(folder: Path, **values: object) -> None:
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def _kernel(root: Path, lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    (root / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")


def test_the_tightest_of_nested_groups_counts_less_what_they_use(tmp_path: Path) -> None:
    _kernel(tmp_path, "0::/outer/inner\n")
    outer = tmp_path / "sys/fs/cgroup/outer"
    stat = "anon 300\ninactive_file 150\nactive_file 50"
    _group(outer, memory__max=1000, memory__current=600, memory__stat=stat)
    _group(outer / "inner", memory__max="max", memory__current=500, memory__stat=stat)
    assert list(free_memory.of_groups(tmp_path)) == [1000 - 600 + 200]
    assert free_memory.of_machine(tmp_path) == 4000 * 1024


def test_groups_of_the_first_version_and_of_a_container_are_found(tmp_path: Path) -> None:
    # In a container the path is the host's, and the group's files lie at the root.
    _kernel(tmp_path, "5:cpu:/x\n4:memory:/docker/0123\n0::/\n")
    _group(
        tmp_path / "sys/fs/cgroup/memory",
        memory__limit_in_bytes=5000, memory__usage_in_bytes=3000,
        memory__stat="total_inactive_file 700\ntotal_active_file 0",
    )  # fmt: skip
    assert list(free_memory.of_groups(tmp_path)) == [2700]


def test_a_machine_without_these_files_says_nothing(tmp_path: Path) -> None:
    assert free_memory.of_machine(tmp_path) is None
    assert list(free_memory.of_groups(tmp_path)) == []


def test_processes_of_one_machine_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "of_machine", lambda: 4 * GB)
    monkeypatch.setattr(free_memory, "of_groups", lambda: iter([3 * GB]))
    assert free_memory.of_device(CPU) == 3 * GB
    monkeypatch.setitem(os.environ, "LOCAL_WORLD_SIZE", "3")
    assert free_memory.of_device(CPU) == GB
    assert free_memory.of_device(torch.device("meta")) is None


def test_workers_that_would_wait_for_shared_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container, which has 64 MB of it: the loader would stop without a word."""
    recipe = RECIPES["bsrnn-vocals"]  # 16 examples of four sources, two channels, 3 s
    monkeypatch.setattr(free_memory, "of_shared", lambda: 64 << 20)
    said = r"--workers 2: batches of 0.07 GB go .* 0.34 GB are needed.*--shm-size 1g.*--workers 0"
    with pytest.raises(BadUsage, match=said):
        memory.check_shared(recipe, 2, ALONE)
    memory.check_shared(recipe, 0, ALONE)
    memory.check_shared(RECIPES["unet-vocals-small"], 2, ALONE)
    monkeypatch.setattr(free_memory, "of_shared", lambda: 1 << 30)
    memory.check_shared(recipe, 2, ALONE)
    monkeypatch.setattr(free_memory, "of_shared", lambda: None)
    memory.check_shared(recipe, 2, ALONE)


def test_workers_follow_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64))
    assert workers_of("cpu") == 2 and workers_of("cuda") == workers_of("cuda:1") == 16
    monkeypatch.setitem(os.environ, "LOCAL_WORLD_SIZE", "8")
    assert workers_of("cuda") == 7
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert workers_of("cuda") == 1
    recipe = RECIPES["bsrnn-vocals"]
    monkeypatch.delitem(os.environ, "LOCAL_WORLD_SIZE")
    for free, fit in ((64 << 20, 1), (400 << 20, 2), (8 << 30, 16), (None, 16)):
        monkeypatch.setattr(free_memory, "of_shared", lambda free=free: free)
        assert memory.fitting(Options(workers=16), recipe, 1).workers == fit


def test_a_run_that_goes_on_keeps_its_number_of_workers(tmp_path: Path) -> None:
    """Whatever the machine, and the default, have become."""
    recipe = RECIPES["unet-vocals-small"]
    words = [recipe.name, "--corpus", "c", "--output", str(tmp_path)]
    plan = {"verb": "train", "options": {"workers": 5}, "inputs": {}}
    (tmp_path / "_PLAN.json").write_text(json.dumps(plan))
    for further, workers in (([], 5), (["--workers", "3"], 3), (["--overwrite"], 2)):
        given = command.parser(words).parse([*words, "--device", "cpu", *further])
        found = loop_of(given, begun("train", given, recipe), recipe)
        assert found.workers == workers
