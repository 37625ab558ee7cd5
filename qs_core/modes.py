"""Modes of torch that a caller may have opened around a call, and in which guidance cannot work."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@contextmanager
def plain() -> Iterator[None]:
    """Leave inference mode and no_grad, and make new tensors on the CPU unless another device is named."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if hasattr(torch, "get_default_device") and torch.get_default_device().type != "cpu":  # since torch 2.3
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def loading() -> Iterator[None]:
    """`plain`, with float32 as torch's default number format, for what builds networks.

    That format is the whole process's, so that it is set for the load's time alone, and only where it is another.
    """
    default = torch.get_default_dtype()
    try:
        if default != torch.float32:
            torch.set_default_dtype(torch.float32)
        with plain():
            yield
    finally:
        if default != torch.float32:
            torch.set_default_dtype(default)


def each_in_plain_mode(
    function: Callable[Arguments, Iterator[Result]],
) -> Callable[Arguments, Iterator[Result]]:
    """The generator function, each of its steps run in `plain` mode; between them the caller's own mode holds."""

    @functools.wraps(function)
    def body(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Iterator[Result]:
        with plain():
            steps = iter(function(*args, **kwargs))
        try:
            while True:
                with plain():
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step
        finally:
            steps.close()

    return body
