"""Networks on disk: what ONNX holds of them, that onnxruntime answers as PyTorch does, that nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from safetensors.torch import save_file
from torch import nn

from mureg.errors import RefusedError, UnreadableInputError, UsageError
from mureg.registration.card import Card, card_path, read_card, shipped, weights_files, with_hash
from mureg.registration.inputs import InputGrid
from mureg.registration.networks import initialised
from mureg.registration.networks.together import Together
from mureg.registration.onnx_networks import load_network
from mureg.training.convert import convert, main
from mureg.training.onnx_graph import halved
from mureg.training.weights import read_network, save_network, settings_on
from support.tiny_network import Tiny

GRID = InputGrid((12, 12, 12), 10.0)
LEARNT = Tiny(norm=True)


def card_of(settings, n: int = 1) -> Card:
    return Card(asdict(settings), GRID, others=(asdict(settings),) * (n - 1))


def moved(seed: int) -> nn.Module:
    """A network whose norms have seen something."""
    module = initialised(LEARNT, seed)
    module.norm.running_mean += 0.3
    module.norm.running_var *= 1.7
    module.norm.num_batches_tracked += 5
    return module


def images(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((2, 12, 12, 12), dtype=np.float32)


def answer(module: nn.Module, pair: np.ndarray) -> np.ndarray:
    spect, mu = torch.from_numpy(pair)[:, None, None]
    with torch.inference_mode():
        return module.eval()(spect, mu)[0].numpy()


class TestWritten:
    def test_the_runtime_answers_as_pytorch_with_weights_in_half_precision(self, tmp_path) -> None:
        module = moved(3)
        exact = answer(module, images())
        save_network(tmp_path / "w.onnx", module, card_of(LEARNT))
        reference = initialised(LEARNT, 9)
        reference.load_state_dict(halved(module.state_dict()))
        networks, _ = load_network(tmp_path / "w.onnx")
        found = networks.predicted([tuple(images())])[0, 0]
        np.testing.assert_allclose(found, answer(reference, images()), atol=1e-5)
        assert np.abs(found - exact).max() > 1e-5, "half precision was used"
        np.testing.assert_allclose(found, exact, atol=1e-2)

    def test_every_tensor_comes_back_and_the_network_is_left_alone(self, tmp_path) -> None:
        module = moved(3)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        written = save_network(tmp_path / "a" / "w.onnx", module, card_of(LEARNT))
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
        assert module.training
        back, card = read_network(tmp_path / "a" / "w.onnx")
        assert card == written == read_card(tmp_path / "a" / "w.onnx")
        assert card.parameters == sum(value.numel() for value in module.parameters())
        assert settings_on(card) == (LEARNT,)
        assert not back.training
        assert back.state_dict().keys() == before.keys()
        for name, value in back.state_dict().items():
            assert torch.equal(value, before[name].half().float() if value.is_floating_point() else before[name]), name
        assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["w.json", "w.onnx"]

    def test_what_is_read_and_written_again_is_the_same_bytes(self, tmp_path) -> None:
        save_network(tmp_path / "w.onnx", moved(3), card_of(LEARNT))
        save_network(tmp_path / "v.onnx", *read_network(tmp_path / "w.onnx"))
        assert (tmp_path / "v.onnx").read_bytes() == (tmp_path / "w.onnx").read_bytes()
        assert card_path(tmp_path / "v.onnx").read_bytes() == card_path(tmp_path / "w.onnx").read_bytes()

    def test_several_networks_keep_their_order_and_their_mean_counts(self, tmp_path) -> None:
        members = [moved(seed) for seed in (3, 4, 5)]
        save_network(tmp_path / "w.onnx", Together(members), card_of(LEARNT, 3))
        assert [file.name for file in weights_files(tmp_path / "w.onnx", 3)] == ["w.onnx", "w.2.onnx", "w.3.onnx"]
        back, card = read_network(tmp_path / "w.onnx")
        assert settings_on(card) == (LEARNT,) * 3
        networks, _ = load_network(tmp_path / "w.onnx")
        found = networks.predicted([tuple(images())])[0]
        each = [answer(member, images()) for member in back.members]
        np.testing.assert_allclose(found, each, atol=1e-5)
        np.testing.assert_allclose(answer(back, images()), np.mean(each, axis=0), atol=1e-6)
        assert np.abs(np.diff(found, axis=0)).max(1).min() > 1e-3

    def test_networks_of_one_kind_share_the_graph_and_not_the_weights(self, tmp_path) -> None:
        for seed in (3, 4):
            save_network(tmp_path / f"{seed}.onnx", initialised(Tiny(), seed), card_of(Tiny()))
        one, other = (load_network(tmp_path / f"{seed}.onnx")[0].predicted([tuple(images())]) for seed in (3, 4))
        assert np.abs(one - other).max() > 1e-3

    def test_equal_tensors_are_stored_each_under_its_own_name(self, tmp_path) -> None:
        """The exporter stores equal tensors once; training begins with many that are equal."""
        module = initialised(LEARNT, 3)
        assert torch.equal(module.norm.bias, module.norm.running_mean)
        save_network(tmp_path / "w.onnx", module, card_of(LEARNT))
        assert torch.equal(read_network(tmp_path / "w.onnx")[0].norm.running_var, torch.ones(4))

    def test_a_weight_beyond_half_precision_keeps_its_value(self, tmp_path) -> None:
        module = moved(3)
        module.norm.running_var[2] = 1e6
        save_network(tmp_path / "w.onnx", module, card_of(LEARNT))
        back = read_network(tmp_path / "w.onnx")[0]
        assert back.norm.running_var[2] == 1e6
        np.testing.assert_allclose(
            load_network(tmp_path / "w.onnx")[0].predicted([tuple(images())])[0, 0], answer(back, images()), atol=1e-5
        )

    def test_weights_that_are_no_numbers_are_refused_and_nothing_is_written(self, tmp_path) -> None:
        module = moved(3)
        module.told.bias.data[0] = float("nan")
        with pytest.raises(RefusedError, match="a tiny network is nan off"):
            save_network(tmp_path / "w.onnx", module, card_of(LEARNT))
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written(self, tmp_path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UsageError, match="cannot write"):
            save_network(tmp_path / "file" / "w.onnx", moved(3), card_of(LEARNT))

    def test_a_network_that_onnx_cannot_express(self, tmp_path) -> None:
        class Complex(nn.Module):
            def forward(self, spect: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
                return torch.fft.rfftn(spect + mu).angle().flatten(1)[:, :6]

        with pytest.raises(UsageError, match="a network complex that cannot be exported as ONNX"):
            save_network(tmp_path / "w.onnx", Complex(), Card({"kind": "complex"}, GRID))


class TestRefusedByResearch:
    def test_a_card_of_another_network(self, tmp_path) -> None:
        save_network(tmp_path / "w.onnx", initialised(Tiny(), 7), card_of(Tiny()))
        table = json.loads(card_path(tmp_path / "w.onnx").read_text())
        del table["card_sha256"]
        for network, words in (
            ({"kind": "of-tomorrow"}, "of-tomorrow"),
            ({"kind": "tiny", "colour": 3}, "there is no setting colour; expected one of shape, norm, dropout"),
            ({"kind": "tiny", "shape": [8, 8, 8]}, "a network of 8 x 8 x 8 voxels on a grid of 12 x 12 x 12"),
        ):
            card_path(tmp_path / "w.onnx").write_text(json.dumps({**table, "network": network}))
            with pytest.raises(UnreadableInputError, match=words):
                read_network(tmp_path / "w.onnx")

    def test_no_onnx_though_the_card_names_its_hash(self, tmp_path) -> None:
        save_network(tmp_path / "w.onnx", initialised(Tiny(), 7), card_of(Tiny()))
        (tmp_path / "w.onnx").write_bytes(b"nothing")
        card_path(tmp_path / "w.onnx").write_bytes(with_hash(card_of(Tiny()), (b"nothing",))[1])
        with pytest.raises(UnreadableInputError, match="is no ONNX file that can be read"):
            read_network(tmp_path / "w.onnx")


class TestOfTheVersionBefore:
    """A .safetensors file and its card, as mureg 0.1.0 wrote them: several networks in one file, half precision."""

    @pytest.fixture
    def old(self, tmp_path: Path) -> Path:
        path, content = tmp_path / "best.safetensors", Together([moved(3), moved(4)]).half().state_dict()
        save_file(content, path)
        card_path(path).write_bytes(with_hash(card_of(LEARNT, 2), (path.read_bytes(),))[1])
        return path

    def test_research_reads_it(self, old) -> None:
        back, card = read_network(old)
        assert len(card.others) == 1
        for member, seed in zip(back.members, (3, 4), strict=True):
            assert torch.equal(member.told.weight, moved(seed).told.weight.half().float())

    def test_converted_it_answers_the_same_and_the_old_file_stays(self, old) -> None:
        before = old.read_bytes(), card_path(old).read_bytes()
        back, _ = read_network(old)
        convert(old)
        networks, card = load_network(old.with_name("best-converted.onnx"))
        assert card.parameters == 2 * sum(value.numel() for value in moved(3).parameters())
        expected = [answer(member, images()) for member in back.members]
        np.testing.assert_allclose(networks.predicted([tuple(images())])[0], expected, atol=1e-5)
        assert (old.read_bytes(), card_path(old).read_bytes()) == before
        with pytest.raises(UsageError, match="exists already"):
            convert(old)

    def test_the_command_says_what_is_wrong(self, tmp_path, capsys) -> None:
        assert main([str(tmp_path / "best.onnx")]) == 2
        assert "weights that end in .safetensors" in capsys.readouterr().err
        assert main([str(tmp_path / "none.safetensors")]) == 4
        assert "none.safetensors cannot be read" in capsys.readouterr().err


SHIPPED = [file for name in ("near-heart", "densenet-small") for file in weights_files(shipped(name), 1)]


class TestShipped:
    @pytest.mark.parametrize("weights", SHIPPED, ids=lambda file: file.stem)
    def test_every_weight_is_there_once_in_half_precision(self, weights) -> None:
        card = read_card(weights)
        files = weights_files(weights, 1 + len(card.others))
        floats = 0
        for file in files:
            model = onnx.load_model(file)
            assert {item.domain for item in model.opset_import} == {""}
            assert not model.functions
            names = [tensor.name for tensor in model.graph.initializer]
            assert len(set(names)) == len(names)
            kinds = {tensor.data_type for tensor in model.graph.initializer}
            assert kinds <= {TensorProto.FLOAT16, TensorProto.INT64}
            learnt = [t for t in model.graph.initializer if not t.name.endswith(("running_mean", "running_var"))]
            floats += sum(numpy_helper.to_array(t).size for t in learnt if t.data_type == TensorProto.FLOAT16)
            assert not any(node.op_type == "Constant" and node.ByteSize() > 200 for node in model.graph.node)
        assert floats == card.parameters
        assert sum(file.stat().st_size for file in files) < 2.4 * card.parameters

    def test_all_of_them_take_less_than_14_megabytes(self) -> None:
        files = [file for file in shipped("near-heart").parent.iterdir() if file.suffix != ".toml"]
        assert {file.suffix for file in files} == {".onnx", ".json"}
        assert sum(file.stat().st_size for file in files) <= 14e6

    @pytest.mark.parametrize("weights", SHIPPED, ids=lambda file: file.stem)
    def test_the_runtime_answers_as_pytorch(self, weights) -> None:
        module, card = read_network(weights)
        spect, mu = np.random.default_rng(2).random((2, *card.grid.shape), dtype=np.float32)
        pair = 2.0 * spect, 0.15 * mu
        networks, _ = load_network(weights)
        members = module.members if isinstance(module, Together) else [module]
        expected = [answer(member, np.stack(pair)) for member in members]
        np.testing.assert_allclose(networks.predicted([pair])[0], expected, atol=1e-5)


def test_the_clinic_needs_neither_pytorch_nor_onnx_for_them() -> None:
    """In a process of its own, in which they cannot be imported."""
    program = (
        "import sys\n"
        "for name in ('torch', 'onnx', 'onnxscript', 'safetensors'): sys.modules[name] = None\n"
        "from mureg.registration.card import shipped\n"
        "from mureg.registration.onnx_networks import load_network\n"
        "assert 'onnxruntime' not in sys.modules, 'loaded before it is used'\n"
        "networks, card = load_network(shipped('near-heart'))\n"
        "import numpy as np\n"
        "print(networks.predicted([(np.ones(card.grid.shape), np.zeros(card.grid.shape))]).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(1, 3, 6)", done.stderr
