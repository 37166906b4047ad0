"""Several processes, started by torchrun: they find what one process does, and outlive none of the others."""

import dataclasses
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

import itn
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory
from itn.runtime.distributed import map_batches, on_rank_zero
from itn.runtime.run_dir import content_of
from itn.runtime.sharded_forward import ShardedForward

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")

WORK = """
import sys
import torch
import itn
sys.path.append(sys.argv[3])
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory
from itn.runtime.distributed import map_batches, on_rank_zero
from itn.runtime.sharded_forward import ShardedForward
from tests.runtime.test_distributed import SCREEN, LEARN, SWITCHED, side_and_blobs

torch.set_num_threads(1)
distributed.join()
n, rank = distributed.world_size(), distributed.rank()
assert n == int(sys.argv[1])

own = []
assert map_batches(range(7), lambda number: own.append(number) or number**2) == [k**2 for k in range(7)]
assert own == list(range(rank, 7, n)), own
assert [each.item() for each in map_batches([1, 2], lambda k: torch.tensor(k))] == [1, 2]
assert map_batches([1, 2, 3], lambda k: len(map_batches([k] * k, lambda it: it))) == [1, 2, 3]  # none waits
assert on_rank_zero(lambda: rank) == 0
try:
    on_rank_zero(lambda: 1 / rank)
except ZeroDivisionError:
    pass
else:
    raise AssertionError("what the first raises, all raise")

for failing in range(n):  # what one raises, all raise, and go on together
    def fails(number):
        if rank == failing:
            raise ValueError(f"in process {failing}")
        return number
    try:
        map_batches(range(5), fails)
    except ValueError as error:
        assert str(error) == f"in process {failing}"
    else:
        raise AssertionError(failing)

# A batch that is too large for one process is so for all
def fits(rows):
    if rank == n - 1 and rows.stop - rows.start > 3:
        raise torch.OutOfMemoryError
    return list(range(rows.start, rows.stop))
found, size = map_in_memory(12, 12 // n, fits)
assert (sum(found, []), size) == (list(range(12)), 12 // n // 2), (found, size)

for rows in (7, 2, 1):
    torch.manual_seed(rows)
    x, y = torch.rand(rows, 3, requires_grad=True), torch.rand(rows, 2)
    def product(x, y, nothing):
        return (x.exp() * y[:, :1]).cumsum(1)
    weights = torch.rand(rows, 3)
    whole = torch.autograd.grad((product(x, y, None) * weights).sum(), x)[0]
    found = ShardedForward()(product, x, y, None)
    assert torch.equal(found, product(x, y, None)), rows
    assert torch.allclose(torch.autograd.grad((found * weights).sum(), x)[0], whole), rows

with distributed.local_only():  # the way out
    x = torch.rand(3, requires_grad=True)
    ShardedForward()(torch.exp, x).sum().backward()
    assert torch.allclose(x.grad, x.exp())

side, blobs = side_and_blobs()
itn.screen(side, *blobs, SCREEN, sys.argv[2] + "/screen")
itn.learn(side, *blobs, LEARN, sys.argv[2] + "/learn")
itn.learn(side, *blobs, SWITCHED, sys.argv[2] + "/switched")
distributed.leave()
"""

SCREEN = itn.ScreenConfig(
    ("translate_x", "noise"),
    (("zoom", "blur"),),
    {"translate_x": (-0.3, 0.1, 0.3), "noise": (0.5,), "zoom": (0.5, 2.0), "blur": (1.0,)},
    batch_size=30,
)
LEARN = itn.LearnConfig(parts=("spatial",), family="translation", tolerance=0.1, steps=12, batch_size=33)
SWITCHED = itn.LearnConfig(objective="switched", steps=30, batch_size=33)


class Blob(torch.nn.Module):
    """Says on which side of the frame's middle the centre of brightness lies."""

    def forward(self, images):
        x = torch.linspace(-20, 20, images.shape[-1])
        centre = (images.sum(1) * x).sum((1, 2)) / images.sum((1, 2, 3)).clamp_min(1e-6)
        return torch.stack([-centre, centre], 1)


def side_and_blobs():
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 2, indexing="ij")
    labels = torch.arange(200) % 2
    centres = (labels - 0.5) * torch.linspace(0.5, 1.5, 200)
    images = torch.exp(-((x - centres.view(-1, 1, 1)) ** 2 + y**2) / 0.02)[:, None]
    return itn.Classifier(Blob(), name="side"), (images, labels)


def numbers(content):
    """The figures in nested JSON."""
    if isinstance(content, dict | list):
        each = content.values() if isinstance(content, dict) else content
        return [leaf for one in each for leaf in numbers(one)]
    return [content] if isinstance(content, int | float) else []


def run(*command):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def local_only(tmp_path_factory):
    """What one process with one thread writes."""
    folder, threads = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    torch.set_num_threads(1)
    side, blobs = side_and_blobs()
    itn.screen(side, *blobs, SCREEN, folder / "screen")
    itn.learn(side, *blobs, LEARN, folder / "learn")
    itn.learn(side, *blobs, SWITCHED, folder / "switched")
    torch.set_num_threads(threads)
    return folder


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_find_what_one_does(count, local_only, tmp_path):
    """Seven batches of 30 images among 2 or 3: shares are uneven, and so is the last batch."""
    script = tmp_path / "work.py"
    script.write_text(WORK)
    run(*TORCHRUN, str(count), str(script), str(count), str(tmp_path / "runs"), os.getcwd())
    assert content_of(tmp_path / "runs" / "screen") == content_of(local_only / "screen")
    for name in ("learn", "switched"):
        texts = ((where / name / "result.json").read_text() for where in (tmp_path / "runs", local_only))
        mine, its = (numbers(json.loads(text)) for text in texts)
        assert mine == pytest.approx(its, rel=1e-4, abs=1e-6)


def test_one_process_killed_ends_all_and_the_same_command_goes_on(tmp_path):
    arguments = ["-m", "itn", "screen", "--limit", "300", "--transforms", "rotate", "--batch-size", "50"]
    arguments += ["--magnitudes", "rotate=-90:90:10", "--bisections", "0", "--out"]
    job = subprocess.Popen(
        [*TORCHRUN, "2", *arguments, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    points, deadline = tmp_path / "run" / ".itn-points", time.monotonic() + 120
    while len(list(points.rglob("*.npz"))) < 3:
        assert job.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    workers = subprocess.check_output(["ps", "--ppid", str(job.pid), "-o", "pid="], text=True)
    os.kill(sorted(map(int, workers.split()))[1], signal.SIGKILL)
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 1
    assert re.search(
        r"itn: (another process of this run has ended|interrupted).*; \d+ of \d+ passes are kept", said
    )
    assert not (tmp_path / "run" / "result.json").exists()
    for out in ("run", "whole"):
        run(sys.executable, *arguments, str(tmp_path / out))
    assert content_of(tmp_path / "run") == content_of(tmp_path / "whole")


def test_alone_everything_is_done_here():
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert map_batches("abc", str.upper) == ["A", "B", "C"]
    assert on_rank_zero(lambda: 3) == 3
    x = torch.rand(3, 2)
    assert torch.equal(ShardedForward()(torch.exp, x), x.exp())


def test_batches_are_halved_until_they_fit():
    tried = []

    def look(rows):
        tried.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise torch.OutOfMemoryError
        return list(range(rows.start, rows.stop))[:10]

    with pytest.raises(itn.RunError, match="too small for a single image"):
        map_in_memory(1, 64, lambda rows: look(slice(0, 9)))
    found, size = map_in_memory(10, 64, look)
    assert size == 2
    assert [number for each in found for number in each if number < 10] == list(range(10))


def test_an_image_that_does_not_fit_is_named():
    def look(rows):
        raise torch.OutOfMemoryError

    with pytest.raises(itn.RunError, match="too small for a single image"):
        map_in_memory(4, 4, look)


class Tight(torch.autograd.Function):
    """The exponential, in a memory for so many rows on the way there, and so many back."""

    @staticmethod
    def forward(ctx, x, there, back):
        if len(x) > there:
            raise torch.OutOfMemoryError
        ctx.back, ctx.found = back, x.exp()
        return ctx.found

    @staticmethod
    def backward(ctx, grad):
        if len(grad) > ctx.back:
            raise torch.OutOfMemoryError
        return grad * ctx.found, None, None


@pytest.mark.parametrize(("there", "back", "fits"), [(9, 9, None), (4, 9, 4), (9, 3, 2), (4, 1, 1)])
def test_rows_that_do_not_fit_go_in_halves_and_have_the_same_gradients(there, back, fits):
    x, weights = torch.rand(9, 3, requires_grad=True), torch.rand(9, 3)
    rows = ShardedForward()
    for _ in range(2):  # the second time it is known what fits
        found = rows(lambda x: Tight.apply(x, there, back), x)
        (grad,) = torch.autograd.grad((found * weights).sum(), x)
        torch.testing.assert_close(found, x.exp())
        torch.testing.assert_close(grad, weights * x.exp())
        assert rows.at_once == fits


def test_a_gradient_that_would_be_differentiated_again_is_refused():
    x, weights = torch.rand(2, 9, 3, requires_grad=True).unbind()
    (grad,) = torch.autograd.grad((ShardedForward()(torch.exp, x) * weights).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_rows_without_a_gradient_keep_no_graph():
    x = torch.rand(9, 3, requires_grad=True)
    with torch.no_grad():
        assert not ShardedForward()(torch.exp, x).requires_grad
    assert not ShardedForward()(torch.exp, x.detach()).requires_grad


@pytest.mark.parametrize(("there", "back"), [(0, 9), (9, 0)])
def test_a_row_that_does_not_fit_ends_the_run(there, back):
    x = torch.rand(9, 3, requires_grad=True)
    with pytest.raises(itn.RunError, match="too small for a single image"):
        ShardedForward()(lambda x: Tight.apply(x, there, back), x).sum().backward()


class Narrow(Blob):
    """Has room for so many images; those that have a gradient take three times as much."""

    def forward(self, images):
        if len(images) * (3 if images.requires_grad else 1) > 100:
            raise torch.OutOfMemoryError
        return super().forward(images)


@pytest.mark.parametrize("config", [LEARN, SWITCHED])
def test_steps_of_learning_go_in_halves_where_the_memory_asks_for_it(config, tmp_path):
    found = []
    for net, fitting in ((Blob(), 64), (Narrow(), 32)):
        config = dataclasses.replace(config, batch_size=64)
        out = tmp_path / type(net).__name__
        result = itn.learn(itn.Classifier(net, name="side"), *side_and_blobs()[1], config, out)
        found.append(numbers(result.record.to_json()))
        assert json.loads((out / "timing.json").read_text())["batch_size"] == fitting
    assert found[1] == pytest.approx(found[0], rel=1e-4, abs=1e-6)


class UnportableError(Exception):
    """Cannot be made again from its arguments, as pickle does it."""

    def __init__(self, number, *, of):
        super().__init__(f"{number} of {of}")


def test_an_error_that_cannot_travel_is_told_by_another():
    error = ValueError("as it is")
    assert distributed._portable(error) is error
    told = distributed._portable(UnportableError(3, of=5))
    assert isinstance(told, itn.RunError)
    assert str(told) == "UnportableError: 3 of 5"


def test_the_rank_on_a_machine_is_what_torchrun_says(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert distributed.local_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.local_rank() == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
@pytest.mark.parametrize("kept", [True, False])
def test_memory_once_used_is_kept(kept):
    """A block of 64 MiB is freed: is it still this process's?"""
    work = f"""
import resource
import torch
from itn.runtime import distributed

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

if {kept}:
    batching.keep_memory()
before = resident()
block = torch.ones(2**24)
del block
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert (float(done.stdout) > 60) == kept
