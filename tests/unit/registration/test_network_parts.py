"""What is particular to each network: closed forms, refusals, and what the paper's counts hold."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mureg.errors import UsageError
from mureg.registration.networks import (
    UNIT_MM,
    CrossAttention,
    Dense,
    DenseNet,
    DenseNetDusfe,
    DenseNetNonLocal,
    Dusfe,
    DvNet,
    MsReg,
    initialised,
    n_parameters,
    preset,
)
from mureg.registration.networks.base import halved, with_new_weights
from mureg.registration.networks.blocks import Halved, regressor
from support.shapes import unchecked

SHAPE = (20, 16, 18)


def on_meta(settings):
    with torch.device("meta"):
        return settings.build()


def images(seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, 1, 1, *SHAPE, generator=generator)


def test_translations_are_in_the_papers_voxels() -> None:
    assert UNIT_MM == 6.8


@pytest.mark.parametrize(
    ("settings", "table_1"),
    [(DenseNet(), 11_215_590), (DenseNetDusfe(dead_weights=True), 11_726_397)],
    ids=["DenseNet", "DenseNet + DuSFE as in Table 1"],
)
def test_parameters_equal_table_1(settings, table_1) -> None:
    assert n_parameters(on_meta(settings)) == table_1 == settings.parameters_in_paper


def test_the_equations_need_12951_parameters() -> None:
    """Three blocks of 4 C^2 + 5 C + 61 for 32 channels."""
    assert n_parameters(on_meta(DenseNetDusfe())) == 11_228_541
    assert n_parameters(on_meta(DenseNetDusfe())) - n_parameters(on_meta(DenseNet())) == 3 * (4 * 32**2 + 5 * 32 + 61)


@pytest.mark.parametrize(
    ("settings", "share"),
    [(DenseNetNonLocal(), -0.018), (DvNet(), -0.003), (MsReg(), -0.035)],
    ids=lambda x: str(x)[:12],
)
def test_readings_of_what_the_paper_leaves_open_differ_from_table_1_by_what_is_said(settings, share) -> None:
    ours, theirs = n_parameters(on_meta(settings)), settings.parameters_in_paper
    assert (ours - theirs) / theirs == pytest.approx(share, abs=0.0005)


def test_dead_weights_are_dead() -> None:
    """They change neither the answer nor the living weights, and nothing ever changes them."""
    settings = replace(preset("densenet-dusfe", "small"), shape=SHAPE)
    living, both = (initialised(replace(settings, dead_weights=dead), 1) for dead in (False, True))
    assert torch.equal(living.eval()(*images()), both.eval()(*images()))
    both.train()(*images()).sum().backward()
    without = {name for name, value in both.named_parameters() if value.grad is None}
    assert without == {name for name, _ in both.named_parameters()} - {name for name, _ in living.named_parameters()}
    assert len(without) == 3 * 2 * 2  # weight and bias of two convolutions a level
    channels = settings.dense.channels
    assert n_parameters(both) - n_parameters(living) == 3 * 2 * (3 * channels * channels * 27 + channels)


def test_a_dusfe_block_that_knows_nothing_doubles() -> None:
    """All numbers 0: both sigmoids are one half, F + F/2 + F/2."""
    block = Dusfe(6)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        first, second = torch.rand(2, 3, 6, 4, 3, 5)
        for given, got in zip((first, second), block(first, second), strict=True):
            torch.testing.assert_close(got, 2 * given)


@pytest.mark.parametrize(("channels", "size"), [(1, (1, 1, 1)), (3, (2, 7, 5)), (17, (9, 1, 4))])
def test_a_dusfe_block_serves_any_number_of_channels_and_any_size(channels, size) -> None:
    first, second = torch.randn(2, 2, channels, *size)
    for given, got in zip((first, second), Dusfe(channels)(first, second), strict=True):
        assert got.shape == given.shape
        assert ((got / given) > 1).all()  # weights between 1 and 3
        assert ((got / given) < 3).all()


def test_in_a_dusfe_block_either_stream_hears_the_other() -> None:
    block, (first, second) = Dusfe(4), torch.randn(2, 1, 4, 3, 3, 3).requires_grad_()
    with torch.no_grad():
        difference = block(first, second)[0] - block(first, 2 * second)[0]
    assert difference.abs().max() > 0


def test_attention_starts_as_nothing() -> None:
    first, second = torch.randn(2, 2, 6, 3, 4, 2)
    for given, got in zip((first, second), CrossAttention(6)(first, second), strict=True):
        assert torch.equal(got, given)


def test_attention_gathers_from_the_own_stream_where_the_other_asks() -> None:
    """Wang et al.'s embedded Gaussian, written out, with queries from the other stream as in Song et al."""
    generator = torch.Generator().manual_seed(1)
    attention = CrossAttention(4).double().eval()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        first, second = torch.randn(2, 1, 4, 2, 3, 2, generator=generator, dtype=torch.float64)
        got = attention(first, second)[0][0].reshape(4, 12).numpy()
    one = attention.both[0]
    own, other = (image[0].reshape(4, 12).numpy() for image in (first, second))

    def through(convolution, x):
        return convolution.weight.detach().numpy()[:, :, 0, 0, 0] @ x + convolution.bias.detach().numpy()[:, None]

    asked, key, value = through(one.asked, other), through(one.key, own), through(one.value, own)
    expected = np.zeros((2, 12))
    for i in range(12):
        alike = np.exp([asked[:, i] @ key[:, j] for j in range(12)])
        expected[:, i] = (value * alike / alike.sum()).sum(axis=1)
    scale, shift = (v.detach().numpy()[:, None] for v in (one.norm.weight, one.norm.bias))
    np.testing.assert_allclose(got, own + scale * through(one.out, expected) / math.sqrt(1 + one.norm.eps) + shift)


def test_linear_layers_without_activation_are_one_matrix() -> None:
    layers = regressor(50, (20, 9)).double()
    matrix, offset = torch.eye(50, dtype=torch.float64), torch.zeros(50, dtype=torch.float64)
    for layer in layers:
        matrix, offset = layer.weight @ matrix, layer.weight @ offset + layer.bias
    features = torch.randn(4, 50, dtype=torch.float64)
    assert matrix.shape == (6, 50)
    torch.testing.assert_close(layers(features), features @ matrix.T + offset)


@pytest.mark.parametrize("size", [(4, 4, 4), (5, 3, 1), (1, 1, 7)])
def test_halving_loses_no_voxel(size) -> None:
    """An odd last plane keeps its own values: what is constant stays so, and every voxel has its say."""
    features = torch.full((1, 1, *size), 3.0, requires_grad=True)
    smaller = Halved()(features)
    assert tuple(smaller.shape[2:]) == halved(size, 1)
    torch.testing.assert_close(smaller, torch.full_like(smaller, 3.0))
    smaller.sum().backward()
    assert (features.grad > 0).all()


@pytest.mark.parametrize(("weights", "deviation"), [("normal", 0.02), ("he", math.sqrt(2 / (27 * 16)))])
def test_weights_are_spread_as_said(weights, deviation) -> None:
    torch.manual_seed(0)
    convolution = with_new_weights(torch.nn.Conv3d(16, 64, 3), weights)
    assert convolution.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert convolution.weight.mean().item() == pytest.approx(0, abs=0.02 * deviation)
    assert (convolution.bias == 0).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: DenseNet(shape=(8, 8, 8)),
            "an input of 8 x 8 x 8 voxels for densenet, of which 3 halvings leave a single",
        ),
        (lambda: DenseNetNonLocal(attend_at=(3,)), "attention at level 3 of 3; expected levels from -3 to 2"),
        (
            lambda: DenseNetNonLocal(attend_at=(0,)),
            "attention between 256,000 voxels at level 0; expected at most 40,000",
        ),
        (lambda: preset("resnet", "small"), "no network named 'resnet'; expected one of densenet, dvnet"),
        (lambda: preset("dvnet", "medium"), "no preset of size 'medium'; expected paper or small"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, said) -> None:
    with unchecked(), pytest.raises(UsageError) as refusal:
        make()
    assert str(refusal.value).startswith(said)
    assert refusal.value.exit_code == 2


def test_attention_may_sit_at_several_levels() -> None:
    at_two = DenseNetNonLocal(shape=SHAPE, dense=Dense.small(), attend_at=(1, -1))
    at_one = replace(at_two, attend_at=(2,))
    added = n_parameters(on_meta(at_two)) - n_parameters(on_meta(at_one))
    c, inside = 16, 8
    assert added == 2 * (3 * (c * inside + inside) + (inside * c + c) + 2 * c)
