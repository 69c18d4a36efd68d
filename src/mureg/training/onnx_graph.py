"""A network as an ONNX graph and back: weights as float16 under the names that PyTorch gives them, nothing folded.

Each float16 initialiser is called ``half/NAME`` and cast to float32 under NAME, the name of the parameter or buffer;
what does not fit into float16 stays float32. Buffers that the graph does not use are kept beside, so that every tensor
of the state comes back.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping

import numpy as np
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mureg import __version__
from mureg.errors import UnreadableInputError, UsageError
from mureg.registration.onnx_networks import INPUTS, OUTPUT

State = Mapping[str, Tensor]

_OPSET = 17
"""Of February 2022: every onnxruntime since 1.12 knows it."""
_HALF = "half/"


def halved(state: State) -> dict[str, Tensor]:
    """The state as the file holds it: rounded to float16 where that is finite, given as float32; integers unchanged."""
    floating = {name: _rounded(value).float() for name, value in state.items() if value.is_floating_point()}
    return {name: floating.get(name, value.cpu()) for name, value in state.items()}


def graph_of(module: nn.Module, shape: tuple[int, int, int], kind: str) -> ModelProto:
    """The graph of a network in evaluation mode, for inputs [1, 1, x, y, z]; its own weights are not in it.

    Raises:
        UsageError: a network that cannot be exported.
    """
    distinct = _with_distinct_weights(module)
    spect, mu = torch.ones(1, 1, *shape), torch.full((1, 1, *shape), 0.1)
    stream = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # the newer exporter of torch 2.13 makes convolutions without bias that no runtime takes (decision 0020)
            warnings.simplefilter("ignore")
            torch.onnx.export(
                distinct,
                (spect, mu),
                stream,  # type: ignore[arg-type]  # a stream will do for this exporter
                dynamo=False,
                do_constant_folding=False,
                opset_version=_OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
            )
        model: ModelProto = onnx.load_model_from_string(stream.getvalue())
    except Exception as problem:  # whatever tracing a network of another package ends with
        reason = " ".join(str(problem).split())[:200]
        raise UsageError(
            f"a network {kind} that cannot be exported as ONNX ({type(problem).__name__}: {reason})",
            f"operations that ONNX knows (operator set {_OPSET})",
            "build the network from such operations",
        ) from problem
    domains = {item.domain for item in model.opset_import} - {"", "ai.onnx"}
    if domains or model.functions:
        raise UsageError(
            f"a network {kind} with operators that are not those of ONNX ({', '.join(sorted(domains)) or 'functions'})",
            "standard operators alone",
            "build the network from such operations",
        )
    unused = [name for name in INPUTS if name not in {item.name for item in model.graph.input}]
    model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *shape]) for name in unused)
    return model


def with_weights(graph: ModelProto, state: State) -> bytes:
    """The file of a graph of `graph_of` with the weights of a state, float16 where that is finite."""
    model = ModelProto()
    model.CopyFrom(graph)
    model.producer_name, model.producer_version = "mureg", __version__
    constants = [item for item in model.graph.initializer if item.name not in state]
    casts, tensors = [], []
    for name, value in state.items():
        tensor = _rounded(value) if value.is_floating_point() else value.cpu()
        is_half = tensor.dtype is torch.float16
        tensors.append(numpy_helper.from_array(tensor.contiguous().numpy(), _HALF + name if is_half else name))
        if is_half:
            casts.append(helper.make_node("Cast", [_HALF + name], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:], model.graph.value_info[:]
    model.graph.initializer.extend((*constants, *tensors))
    model.graph.node.extend((*casts, *nodes))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def state_in(content: bytes, name: str) -> dict[str, Tensor]:
    """The state that a file holds, floating-point tensors as float32.

    Raises:
        UnreadableInputError: no ONNX file, or one whose tensors lie elsewhere.
    """
    try:
        model = onnx.load_model_from_string(content)
        tensors = list(model.graph.initializer)
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
            raise ValueError("its tensors lie in other files")
        arrays = {tensor.name.removeprefix(_HALF): np.array(numpy_helper.to_array(tensor)) for tensor in tensors}
    except Exception as problem:  # protobuf and onnx have no class of error in common
        reason = " ".join(str(problem).split())[:200]
        raise UnreadableInputError(
            f"{name} is no ONNX file that can be read ({reason})",
            "a file that mureg train wrote",
            "copy the weights and their card again",
        ) from problem
    state = {key: torch.from_numpy(array) for key, array in arrays.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _rounded(value: Tensor) -> Tensor:
    """As float16 if all of it is finite then, otherwise as float32."""
    single = value.detach().cpu().float()
    half = single.half()
    return half if bool(torch.isfinite(half).all()) else single


def _with_distinct_weights(module: nn.Module) -> nn.Module:
    """A copy on the CPU in which no two tensors are alike: the exporter would store equal ones once, under one name."""
    chance, distinct = torch.Generator().manual_seed(0), copy.deepcopy(module).cpu().float().eval()
    with torch.no_grad():
        for value in distinct.state_dict().values():
            if value.is_floating_point():
                value.copy_(0.5 + torch.rand(value.shape, generator=chance))
    return distinct
