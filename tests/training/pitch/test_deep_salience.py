"""Deep Salience in torch: the net of the paper, with its authors' weights."""

from pathlib import Path

import h5py
import mir_eval
import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from stemlode import audio
from stemlode.runs import BadUsage, Failed
from stemlode.shards import salience
from stemlode.shards.salience import HOP_LENGTH, LEVELS, SAMPLE_RATE
from training.pitch import deep_salience, targets, teachers
from training.pitch.hcqt import HCQT


def weights(test_data: Path) -> Path:
    return test_data / "weights" / "deepsalience_multif0.h5"


def keras_file(path: Path, net: nn.Sequential, first_number: int = 79) -> Path:
    """A net as Keras stores it: rows and frames first, layers by name, groups within groups."""
    names = [name for name, *_ in deep_salience.LAYERS] + [deep_salience.LAST]
    with h5py.File(path, "w") as file:
        convolutions = [layer for layer in net if isinstance(layer, nn.Conv2d)]
        for name, layer in zip(names, convolutions, strict=True):
            inner = file.create_group(f"{name}/{name}_14")
            inner["kernel:0"] = layer.weight.detach().numpy().transpose(2, 3, 1, 0)
            inner["bias:0"] = layer.bias.detach().numpy()
        norms = [layer for layer in net if isinstance(layer, nn.BatchNorm2d)]
        for number, norm in enumerate(norms, first_number):
            inner = file.create_group(f"batch_normalization_{number}/batch_normalization_{number}")
            inner["gamma:0"], inner["beta:0"] = norm.weight.detach(), norm.bias.detach()
            inner["moving_mean:0"] = norm.running_mean.numpy()
            inner["moving_variance:0"] = norm.running_var.numpy()
        file.create_group("input_14")
    return path


def random_net(seed: int = 0) -> deep_salience.DeepSalience:
    torch.manual_seed(seed)
    net = deep_salience.DeepSalience()
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return net.eval().requires_grad_(False)


def test_a_keras_file_is_read_into_the_same_net(tmp_path: Path) -> None:
    net = random_net()
    stored = [*net.parameters(), *(b for n, b in net.named_buffers() if "running" in n)]
    assert sum(tensor.numel() for tensor in stored) == deep_salience.STORED
    # Numbers of one to three digits: they are ordered as numbers, not as text.
    found, sha256 = deep_salience.load(str(keras_file(tmp_path / "net.h5", net, 97)))
    assert len(sha256) == 64 and not found.training
    for name, tensor in net.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


def test_its_paddings_are_keras_ones() -> None:
    """A 'same' convolution of 70 rows looks 34 rows up and 35 down; the frames around it are 7."""
    net = random_net()
    for layer in net:
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
    given = torch.rand(1, 6, 360, 31)
    changed = given.clone()
    changed[..., 180, 15] += 10
    with torch.inference_mode():
        moved = (net(changed) - net(given))[0, 0].abs() > 0
    rows, frames = moved.any(1).nonzero()[:, 0], moved.any(0).nonzero()[:, 0]
    assert (int(frames.min()), int(frames.max())) == (15 - 7, 15 + 7)
    # 6 of the other layers on either side, and 35 above, 34 below: what is below looks up at it.
    assert (int(rows.min()), int(rows.max())) == (180 - 6 - 35, 180 + 6 + 34)


def test_a_song_s_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    net, transform = random_net(), HCQT()
    time = np.arange(60 * HOP_LENGTH - 100) / SAMPLE_RATE
    signal = (0.1 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    whole = np.concatenate(list(deep_salience.likelihoods(net, transform, signal)), axis=1)
    assert whole.shape == (360, 60)
    monkeypatch.setattr(deep_salience, "BLOCK_FRAMES", 23)
    blocks = list(deep_salience.likelihoods(net, transform, signal))
    assert [block.shape[1] for block in blocks] == [23, 23, 14]
    assert np.abs(np.concatenate(blocks, axis=1) - whole).max() < 1e-5
    monkeypatch.setattr(deep_salience, "TRANSFORMED_FRAMES", 30)
    for kept in (deep_salience.KEPT_FRAMES, 0):  # kept, or computed again
        monkeypatch.setattr(deep_salience, "KEPT_FRAMES", kept)
        blocks = list(deep_salience.likelihoods(net, transform, signal))
        assert [block.shape[1] for block in blocks] == [23, 7, 23, 7]
        assert np.abs(np.concatenate(blocks, axis=1) - whole).max() < 1e-5
    louder = np.concatenate(list(deep_salience.likelihoods(net, transform, 8 * signal)), axis=1)
    assert np.abs(louder - whole).max() < 1e-4  # relative to the song's own maximum
    silent = list(deep_salience.likelihoods(net, transform, 0 * signal))
    assert all((block == 0).all() for block in silent)


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, 400_000])
def test_a_cut_file_is_said_to_be_none(tmp_path: Path, cut: int) -> None:
    whole = keras_file(tmp_path / "net.h5", random_net()).read_bytes()
    damaged = tmp_path / "cut.h5"
    damaged.write_bytes(whole[:cut])
    with pytest.raises(Failed, match=r"--weights .*cut\.h5: not the HDF5 file of Deep Salience"):
        deep_salience.load(str(damaged))


def test_another_net_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "net.h5", random_net())
    with h5py.File(path, "a") as file:
        del file["bendy2/bendy2_14/kernel:0"]
        file["bendy2/bendy2_14/kernel:0"] = np.zeros((3, 3, 128, 64), np.float32)
    with pytest.raises(Failed, match="holds another net than Deep Salience: bendy2"):
        deep_salience.load(str(path))
    with h5py.File(path, "a") as file:
        del file["smoothy1"]
        del file["bendy2"]
    with pytest.raises(Failed, match="holds another net"):
        deep_salience.load(str(path))
    with pytest.raises(BadUsage, match="no such file"):
        deep_salience.load(str(tmp_path))


def test_the_authors_weights_fit(test_data: Path) -> None:
    net, _ = deep_salience.load(str(weights(test_data)))
    assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values())
    teacher = teachers.load(teachers.DEEP, str(weights(test_data)), "cpu")
    assert teacher.polyphonic and teacher.sample_rate == SAMPLE_RATE


@pytest.mark.slow
def test_it_hears_a_real_voice(test_data: Path) -> None:
    """The first 8 s of the solo voice: overall accuracy 0.88, by mir_eval at the threshold of 0.4;
    the target with one ridge a frame loses nothing of it, and no second voice is heard."""
    voice = test_data / "audio" / "voice"
    known = np.loadtxt(voice / "vocadito_1_f0.csv", delimiter=",")
    known = known[known[:, 0] < 8]
    samples, rate = soundfile.read(voice / "vocadito_1.wav", dtype="float32")
    heard = audio.resample(samples[: 8 * rate], rate, SAMPLE_RATE)
    teacher = teachers.load(teachers.DEEP, str(weights(test_data)), "cpu")
    likelihoods = np.concatenate(list(teacher.likelihoods(heard, 0)), axis=1)
    found = [likelihoods, targets.single(likelihoods)]
    found[1] = salience.quantised(found[1]) / LEVELS
    series = [targets.f0_of(one) for one in found]
    own, target = (
        mir_eval.melody.evaluate(known[:, 0], known[:, 1], one.time_s, one.f0_hz) for one in series
    )
    assert own["Overall Accuracy"] == pytest.approx(0.88, abs=0.01)
    for name in ("Overall Accuracy", "Raw Pitch Accuracy"):
        assert target[name] > own[name] - 0.005
    assert targets.voices_share(likelihoods) < targets.SEVERAL_SHARE / 2
