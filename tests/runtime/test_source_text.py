"""Functions are told apart by their source and what they are bound to, in the same way in every process."""

import dataclasses
import functools
import hashlib
import inspect
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from itn.runtime.source_text import source_text, state_text


def text(function):
    return source_text(function) + state_text(function)


def fade(images, v):
    return images * (1 - v)


def shade(images, v, strength):
    return images * (1 - v * strength)


def inside(strength):
    def within(images, v):
        return images * (1 - v * strength)

    return within


class Shade:
    def __init__(self, strength):
        self.strength, self.me, self.lock = strength, self, threading.Lock()

    def __call__(self, images, v):
        return images * (1 - v * self.strength)


@dataclasses.dataclass
class Kernels:
    weights: torch.Tensor
    names: frozenset[str] = frozenset("abc")

    def __call__(self, images, v):
        return images


def test_a_plain_function_is_its_source():
    assert text(fade) == inspect.getsource(fade)
    assert state_text(fade) == ""


def test_arguments_and_attributes_count():
    distinct = [
        functools.partial(shade, strength=0.5),
        functools.partial(shade, strength=0.6),
        functools.partial(fade),
        functools.partial(Shade(1)),
        Shade(1),
        Shade(2),
        Shade(np.arange(3)),
        Shade(np.arange(3.0)),
        Shade([1]),
        Shade((1,)),
        Shade({1}),
        Shade({1: 2}),
        Shade({1: 3}),
        Shade(torch.float32),
        Shade(torch.float64),
        Shade(fade),
        Shade(math_of := torch.sin),
        Shade(torch.cos),
        Shade(np.array([None, "a"])),
        Shade(torch),
        Shade(np),
        Shade(int),
        Shade(Shade(1)),
        Shade(1).__call__,
        Shade(2).__call__,
        Kernels(torch.ones(3)),
        Kernels(torch.ones(3, dtype=torch.bfloat16)),
        Kernels(torch.ones(3), frozenset("abd")),
        inside(1),
        inside(2),
        lambda images, v, by=1: images,
        lambda images, v, by=2: images,
        functools.cache(inside(3)),
        torch.roll,
    ]
    assert len({text(function) for function in distinct}) == len(distinct)
    assert text(Shade(math_of)) == text(Shade(torch.sin))
    assert text(Kernels(torch.ones(3))) == text(Kernels(torch.ones(3)))
    assert text(functools.partial(shade, strength=0.5)) == text(functools.partial(shade, strength=0.5))
    assert text(inside(2)) == text(inside(2))


def test_what_refers_to_itself_comes_to_an_end():
    def again(images, v):
        return images if v else again(images, 1)

    assert "<itself>" in text(again)
    assert text(Shade(1)) != text(Shade(2))


def test_what_is_shared_is_looked_at_once():
    """Level by level a list of twice the one before: 2^60 paths lead to the innermost value."""

    def nested(innermost):
        values = [innermost]
        for _ in range(60):
            values = [values, values, logging.getLogger("itn")]
        return values

    assert text(Shade(nested(1))) == text(Shade(nested(1)))
    assert text(Shade(nested(1))) != text(Shade(nested(2)))


PROMPT = """
import dataclasses

def sine(images, v):
    return [torch.sin(image) for image in images if v in {"p", "q", "r"}]

def cosine(images, v):
    return [torch.cos(image) for image in images if v in {"p", "q", "r"}]

class Fixed:
    half = 0.5
    @property
    def twice(self):
        return 1
    def __call__(self, images, v):
        return images

class Other:
    half = 0.25
    @property
    def twice(self):
        return 2
    def __call__(self, images, v):
        return images

@dataclasses.dataclass
class Given:
    strength: float = 2.0
    def __call__(self, images, v):
        return images
"""


def test_what_was_typed_at_a_prompt_is_told_apart_by_its_code():
    typed = {"__name__": "prompt"}
    exec(PROMPT, typed)
    functions = [typed["sine"], typed["cosine"], typed["Fixed"](), typed["Other"](), typed["Given"]()]
    assert len({text(function) for function in functions}) == 5


ALL = f"""
import functools, hashlib, torch, re, datetime
from itn.runtime.source_text import source_text, state_text
typed = {{"__name__": "prompt"}}
exec({PROMPT!r}, typed)
net = torch.nn.Sequential(torch.nn.Linear(2, 2)).requires_grad_(False)
torch.nn.init.ones_(net[0].weight), torch.nn.init.zeros_(net[0].bias)
bound = functools.partial(typed["Given"](), net, {{"x", "y", "z"}}, re.compile("a"), by=datetime.date.min)
for function in (typed["sine"], typed["Fixed"](), bound, torch.no_grad()(typed["sine"])):
    text = source_text(function) + state_text(function)
    assert " at 0x" not in text
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_text_is_the_same_in_every_process():
    said = [
        subprocess.run(
            [sys.executable, "-c", ALL],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert len(set(said[0].split())) == 4


@pytest.mark.parametrize("values", [torch.tensor(True), torch.ones(2, 2).to_sparse(), torch.ones(2, 3).T])
def test_tensors_count_by_their_values(values):
    assert hashlib.sha256(np.ones(1, dtype=bool)).hexdigest() in text(
        functools.partial(fade, torch.tensor(True))
    )
    assert text(functools.partial(fade, values)) == text(functools.partial(fade, values.clone()))
    assert text(functools.partial(fade, values)) != text(functools.partial(fade, torch.zeros_like(values)))
