"""What every registration network of the catalogue must do."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

from mureg.errors import UsageError
from mureg.registration.card import Card
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import NETWORKS, NetworkSettings, initialised, n_parameters, preset
from mureg.registration.onnx_networks import load_network
from mureg.training.weights import read_network, save_network

SHAPE = (20, 16, 18)
SIX = torch.tensor([[3.0, -2.0, 1.0, 5.0, -4.0, 8.0]])
PAGE = Path(__file__).parents[2] / "docs/reference/networks.md"

pytestmark = pytest.mark.parametrize("kind", sorted(NETWORKS))


def tiny(kind: str, shape=SHAPE):
    """The small preset for an even smaller input."""
    return replace(preset(kind, "small"), shape=shape)


def pair(shape=SHAPE, batch: int = 1, seed: int = 5):
    """Two different images, smooth enough to look like something: SPECT about 1, attenuation about 0.1 per cm."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, batch, 1, 5, 4, 5, generator=generator)
    spect, mu = (torch.nn.functional.interpolate(image, size=shape, mode="trilinear") for image in coarse)
    return 2 * spect, 0.2 * mu


def refusal(kind: str, shape) -> str | None:
    """What is said to settings of this size; None if they are accepted."""
    try:
        tiny(kind, shape)
    except UsageError as problem:
        return str(problem)
    return None


def on_meta(settings):
    """The network without memory for its weights, to be counted."""
    with torch.device("meta"):
        return settings.build()


def test_its_settings_are_frozen_comparable_and_tell_their_kind(kind) -> None:
    settings = preset(kind, "small")
    assert isinstance(settings, NetworkSettings)
    assert settings.kind == kind
    assert settings == preset(kind, "small") != preset(kind, "paper")
    assert hash(settings) == hash(preset(kind, "small"))
    with pytest.raises(AttributeError):
        setattr(settings, fields(settings)[0].name, 1)
    with pytest.raises(ValidationError, match="no_such_setting"):
        NETWORKS[kind](no_such_setting=1)


@pytest.mark.parametrize("size", ["paper", "small"])
def test_its_settings_come_back_from_toml_as_they_went(kind, size) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    settings = preset(kind, size)
    table = tomllib.loads(tomli_w.dumps(plain(asdict(settings))))
    assert table["kind"] == kind
    assert TypeAdapter(NETWORKS[kind]).validate_python(table) == settings


def test_rigid_parameters_come_out_for_each_pair(kind) -> None:
    six = initialised(tiny(kind), 1)(*pair(batch=3))
    assert six.shape == (3, 6)
    assert six.isfinite().all()


@pytest.mark.parametrize("shape", [(n, n, n) for n in (1, 2, 3, 5, 8, 9, 16, 17)] + [(1, 1, 33), (40, 24, 11)])
def test_a_size_is_refused_when_the_settings_are_made_or_it_works(kind, shape) -> None:
    said = refusal(kind, shape)
    if said is not None:
        assert "leave a single voxel" in said
        assert max(shape) <= 16, "there is room for every level"
        return
    six = initialised(tiny(kind, shape), 1).train()(*pair(shape))
    six.sum().backward()
    assert six.shape == (1, 6)
    assert six.isfinite().all()


@pytest.mark.parametrize("which", [0, 1], ids=["SPECT", "attenuation map"])
def test_an_input_of_another_size_is_refused(kind, which) -> None:
    """Both of another size; one alone cannot be concatenated and is refused as well."""
    network = initialised(tiny(kind), 1)
    with pytest.raises(UsageError, match="a SPECT of 20 x 16 x 17 voxels; expected 20 x 16 x 18"):
        network(*(image[..., :-1] for image in pair()))


def test_gradients_reach_both_inputs(kind) -> None:
    spect, mu = (image.requires_grad_() for image in pair())
    initialised(tiny(kind), 1).train()(spect, mu).abs().sum().backward()
    for image in (spect, mu):
        assert image.grad is not None
        assert image.grad.isfinite().all()
        assert (image.grad != 0).float().mean() > 0.2


def test_all_its_weights_learn(kind) -> None:
    """After one step (the norm of an attention block starts at 0, and what is behind it waits for that step)."""
    network = initialised(tiny(kind), 1).train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(2):
        optimiser.zero_grad()
        (network(*pair()) - SIX).abs().sum().backward()
        optimiser.step()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_the_two_images_are_not_interchangeable(kind) -> None:
    network = initialised(tiny(kind), 1).eval()
    spect, mu = pair()
    assert not torch.allclose(network(spect, mu), network(mu, spect), rtol=1e-3)


def test_evaluation_is_deterministic_and_knows_no_neighbours(kind) -> None:
    network = initialised(tiny(kind), 1).eval()
    spect, mu = pair(batch=3)
    with torch.no_grad():
        together = network(spect, mu)
        assert torch.equal(together, network(spect, mu))
        for i in range(3):
            torch.testing.assert_close(network(spect[i : i + 1], mu[i : i + 1])[0], together[i], rtol=1e-4, atol=1e-5)


def test_weights_follow_from_the_seed_and_nothing_else_is_touched(kind) -> None:
    before = torch.random.get_rng_state()
    one, same, other = (initialised(tiny(kind), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    ours, theirs, others = (torch.cat([p.flatten() for p in n.parameters()]) for n in (one, same, other))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, others)


def test_saved_weights_give_the_same_answer(kind, tmp_path) -> None:
    network = initialised(tiny(kind), 1).train()
    network(*pair(batch=2))  # moves the running means, which have to travel too
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    loaded = initialised(tiny(kind), 2)
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(loaded.eval()(*pair()), network.eval()(*pair()))


def test_as_onnx_it_answers_the_same_and_comes_back(kind, tmp_path) -> None:
    """With its weights in half precision, which is what the file holds."""
    settings, network = tiny(kind), initialised(tiny(kind), 1).train()
    network(*pair(batch=2))
    save_network(tmp_path / "w.onnx", network, Card(asdict(settings), InputGrid(SHAPE, 10.0)))
    back, card = read_network(tmp_path / "w.onnx")
    assert card.parameters == n_parameters(network)
    for name, value in network.state_dict().items():
        kept = value.half().float() if value.is_floating_point() else value
        assert torch.equal(back.state_dict()[name], kept), name
    networks, _ = load_network(tmp_path / "w.onnx")
    spect, mu = pair()
    found = networks.predicted([(spect[0, 0].numpy(), mu[0, 0].numpy())])[0]
    with torch.inference_mode():
        expected = back(spect, mu).numpy()
    assert abs(found - expected).max() <= 1e-5 * max(1.0, abs(expected).max())


def test_one_pair_is_learnt_by_heart(kind) -> None:
    network = initialised(tiny(kind), 1).train()
    optimiser = torch.optim.Adam(network.parameters(), 2e-2)
    errors = []
    for step in range(40):
        for group in optimiser.param_groups:
            group["lr"] = 2e-2 * (1 - step / 40)
        error = (network(*pair()) - SIX).abs().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert errors[-1] < 0.1 * errors[0]


def test_half_precision_stays_close(kind) -> None:
    """bfloat16 has 8 bits: rounding of 0.4 % a step, over some 20 layers."""
    network = initialised(tiny(kind), 1).train()
    network(*pair(batch=4))
    network.eval()
    full = network(*pair())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(*pair())
        half.float().abs().sum().backward()
    assert (half - full).abs().max() < 0.05 * full.abs().max()


def test_memory_order_does_not_matter(kind) -> None:
    network = initialised(tiny(kind), 1).eval()
    expected = network(*pair())
    images = (image.to(memory_format=torch.channels_last_3d) for image in pair())
    six = network.to(memory_format=torch.channels_last_3d)(*images)
    torch.testing.assert_close(six, expected, rtol=1e-3, atol=1e-4)


def test_parameters_are_as_documented(kind) -> None:
    """Every row of the page's table: kind, our count of the paper's settings, Table 1, our count of the small ones."""
    row = re.search(rf"^\| `{kind}` \|.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None, f"{PAGE.name} has no row for {kind}"
    paper, small = preset(kind, "paper"), preset(kind, "small")
    for number in (n_parameters(on_meta(paper)), paper.parameters_in_paper, n_parameters(on_meta(small))):
        assert number is None or f"{number:,}" in row[0]


def test_only_the_papers_settings_are_compared_with_the_paper(kind) -> None:
    assert preset(kind, "small").parameters_in_paper is None
    assert replace(preset(kind, "paper"), shape=(64, 64, 64)).parameters_in_paper is None
    assert six_of_meta(replace(preset(kind, "paper"), shape=(64, 64, 64))) == (1, 6)


def six_of_meta(settings) -> tuple[int, ...]:
    """Shape of the answer, worked out without computing it: the paper's full sizes cost nothing."""
    images = [torch.empty(1, 1, *settings.shape, device="meta") for _ in range(2)]
    return tuple(on_meta(settings).eval()(*images).shape)


def test_the_papers_size_fits(kind) -> None:
    settings = preset(kind, "paper")
    assert settings.shape == (80, 80, 40)
    assert six_of_meta(settings) == (1, 6)


def test_the_small_preset_is_for_half_the_resolution(kind) -> None:
    settings = preset(kind, "small")
    assert settings.shape == (32, 32, 32)
    assert n_parameters(on_meta(settings)) < 500_000
