"""The DuSFE block, term by term, against the equations of Chen et al., MICCAI 2022, section 2.2, written out in NumPy.

The paper's features are F [H, W, D, C]; ours are [batch, C, x, y, z]. The equations (6) to (8) name no biases; the
block has them, so they are 0 in the first tests, and added as constants in the last.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mureg.registration.networks import Dusfe

C, H, W, D = 5, 4, 6, 3


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def convolved_1(kernel, f):
    """A 1x1x1 kernel [C] over f [H, W, D, C]: one volume [H, W, D]."""
    volume = np.zeros(f.shape[:3])
    for c in range(f.shape[3]):
        volume += kernel[c] * f[..., c]
    return volume


def convolved_3(kernel, volume):
    """A 3x3x3 kernel over one volume, 0 outside it (convolution as networks mean it: the kernel is not mirrored)."""
    h, w, d = volume.shape
    padded = np.zeros((h + 2, w + 2, d + 2))
    padded[1:-1, 1:-1, 1:-1] = volume
    result = np.zeros((h, w, d))
    for i, j, k in np.ndindex(3, 3, 3):
        result += kernel[i, j, k] * padded[i : i + h, j : j + w, k : k + d]
    return result


def by_the_equations(f1, f2, p):
    """Every symbol of equations (1) to (11)."""
    v1, v2 = (np.array([f[..., c].sum() / (H * W * D) for c in range(C)]) for f in (f1, f2))  # (1), (2)
    v_fuse = p["w"] @ np.concatenate([v1, v2]) + p["b"]  # (3)
    r1, r2 = p["w1"] @ v_fuse + p["b1"], p["w2"] @ v_fuse + p["b2"]  # (4)
    f1_c, f2_c = sigmoid(r1) * f1, sigmoid(r2) * f2  # (5)
    m1, m2 = convolved_1(p["k_in1"], f1) + p["c_in1"], convolved_1(p["k_in2"], f2) + p["c_in2"]  # (6)
    m_fuse = convolved_1(p["k_fuse"], np.stack([m1, m2], axis=-1)) + p["c_fuse"]  # (7)
    s1, s2 = convolved_3(p["k_out1"], m_fuse) + p["c_out1"], convolved_3(p["k_out2"], m_fuse) + p["c_out2"]  # (8)
    f1_s, f2_s = sigmoid(s1)[..., None] * f1, sigmoid(s2)[..., None] * f2  # (9)
    return {
        "v_fuse": v_fuse,
        "f1_c": f1_c,
        "f2_c": f2_c,
        "m_fuse": m_fuse,
        "f1_s": f1_s,
        "f2_s": f2_s,
        "f1": f1 + f1_c + f1_s,  # (10)
        "f2": f2 + f2_c + f2_s,  # (11)
    }


def constants(block) -> dict:
    """The block's numbers under the names of the paper; c_... are the biases that it does not name."""
    channel, spatial = block.channel, block.spatial
    held = {
        "w": channel.fused.weight,
        "b": channel.fused.bias,
        "w1": channel.excited[0].weight,
        "b1": channel.excited[0].bias,
        "w2": channel.excited[1].weight,
        "b2": channel.excited[1].bias,
        "k_in1": spatial.squeezed[0].weight.reshape(C),
        "k_in2": spatial.squeezed[1].weight.reshape(C),
        "k_fuse": spatial.fused.weight.reshape(2),
        "k_out1": spatial.excited[0].weight.reshape(3, 3, 3),
        "k_out2": spatial.excited[1].weight.reshape(3, 3, 3),
        "c_in1": spatial.squeezed[0].bias,
        "c_in2": spatial.squeezed[1].bias,
        "c_fuse": spatial.fused.bias,
        "c_out1": spatial.excited[0].bias,
        "c_out2": spatial.excited[1].bias,
    }
    return {name: value.detach().numpy() for name, value in held.items()}


def drawn_block(spatial_biases: bool):
    """A block of random numbers, none of them small, in double precision."""
    generator = torch.Generator().manual_seed(7)
    block = Dusfe(C).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        if not spatial_biases:
            for convolution in (*block.spatial.squeezed, block.spatial.fused, *block.spatial.excited):
                convolution.bias.zero_()
    return block


@pytest.fixture(scope="module")
def features():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(2, C, H, W, D, generator=generator, dtype=torch.float64) for _ in range(2)]


def paper_order(features, i):
    return features[i].permute(1, 2, 3, 0).numpy()


def close(ours, expected) -> None:
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("i", [0, 1], ids=["first of the batch", "second of the batch"])
class TestTermByTerm:
    """Without the biases that the equations do not name."""

    block = drawn_block(spatial_biases=False)

    def expected(self, features, i):
        return by_the_equations(paper_order(features[0], i), paper_order(features[1], i), constants(self.block))

    def test_squeeze_and_fusion_of_channels(self, features, i) -> None:
        seen = []
        hook = self.block.channel.fused.register_forward_hook(lambda *call: seen.append(call[2].detach()))
        self.block(*features)
        hook.remove()
        close(seen[0][i], self.expected(features, i)["v_fuse"])

    def test_excitation_of_channels(self, features, i) -> None:
        with torch.no_grad():
            first, second = self.block.channel(*features)
        close(paper_order(first, i), self.expected(features, i)["f1_c"])
        close(paper_order(second, i), self.expected(features, i)["f2_c"])

    def test_squeeze_and_fusion_of_space(self, features, i) -> None:
        seen = []
        hook = self.block.spatial.fused.register_forward_hook(lambda *call: seen.append(call[2].detach()))
        self.block(*features)
        hook.remove()
        close(seen[0][i, 0], self.expected(features, i)["m_fuse"])

    def test_excitation_of_space(self, features, i) -> None:
        with torch.no_grad():
            first, second = self.block.spatial(*features)
        close(paper_order(first, i), self.expected(features, i)["f1_s"])
        close(paper_order(second, i), self.expected(features, i)["f2_s"])

    def test_sum_with_the_input(self, features, i) -> None:
        with torch.no_grad():
            first, second = self.block(*features)
        close(paper_order(first, i), self.expected(features, i)["f1"])
        close(paper_order(second, i), self.expected(features, i)["f2"])


def test_the_unnamed_biases_are_constants_added_to_equations_6_to_8(features) -> None:
    block = drawn_block(spatial_biases=True)
    expected = by_the_equations(paper_order(features[0], 0), paper_order(features[1], 0), constants(block))
    with torch.no_grad():
        first, second = block(*features)
    close(paper_order(first, 0), expected["f1"])
    close(paper_order(second, 0), expected["f2"])


def test_every_number_of_the_block_stands_in_an_equation() -> None:
    block = Dusfe(C)
    assert sum(value.size for value in constants(block).values()) == sum(p.numel() for p in block.parameters())
    assert sum(p.numel() for p in block.parameters()) == 4 * C**2 + 5 * C + 61
