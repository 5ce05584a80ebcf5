"""Stands in for an accelerator: CPU tensors that refuse tensors of another device.

As on CUDA, an operation refuses tensors of two devices, except numbers (0 dimensions) and indices.
Its name is `torch.device("meta")`, which torch does not initialise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default}
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}


class OnAccelerator(Tensor):
    """A tensor that claims to be on DEVICE; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnAccelerator:
        made: OnAccelerator = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _compute(func, args, kwargs or {})


class Accelerator(TorchDispatchMode):
    """Lets code in its block make tensors on DEVICE, and move them there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
    there = [x for x in given if isinstance(x, OnAccelerator)]
    if there and function not in _MOVES:
        elsewhere = [x for x in given if x.ndim and not isinstance(x, OnAccelerator)]
        if function in _INDEXING and isinstance(args[0], OnAccelerator):
            elsewhere = [x for x in elsewhere if x.dtype not in (torch.int64, torch.bool)]
        if elsewhere:
            raise RuntimeError(f"{function}: tensors on the accelerator and on the CPU")
    asked = kwargs.get("device")
    on_device = bool(there) if asked is None else torch.device(asked) == DEVICE
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if function is _aten.copy_.default:
        on_device = isinstance(args[0], OnAccelerator)
    bare_args, bare_kwargs = tree_map(_bare, (args, kwargs))
    result = function(*bare_args, **bare_kwargs)
    if _returns_its_argument(function):
        return args[0]
    return tree_map(
        lambda x: OnAccelerator(x) if on_device and isinstance(x, Tensor) else x, result
    )


def _bare(value: Any) -> Any:
    return value.held if isinstance(value, OnAccelerator) else value


def _returns_its_argument(function: Any) -> bool:
    returns = function._schema.returns
    return bool(returns) and returns[0].alias_info is not None and returns[0].alias_info.is_write
