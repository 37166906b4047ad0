"""Several processes, started by torchrun: they compute what one process does, and end together."""

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
from itn.learning.constrained.settings import ConstrainedSettings
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
distributed.join_processes()
n, rank = distributed.world_size(), distributed.rank()
assert n == int(sys.argv[1])

batches = []
assert map_batches(range(7), lambda number: batches.append(number) or number**2) == [k**2 for k in range(7)]
assert batches == list(range(rank, 7, n)), batches
assert [value.item() for value in map_batches([1, 2], lambda k: torch.tensor(k))] == [1, 2]
assert map_batches([1, 2, 3], lambda k: len(map_batches([k] * k, lambda j: j))) == [1, 2, 3]  # nested
assert on_rank_zero(lambda: rank) == 0
try:
    on_rank_zero(lambda: 1 / rank)
except ZeroDivisionError:
    pass
else:
    raise AssertionError("an exception on rank 0 is raised in all processes")

for failing in range(n):  # an exception in one process is raised in all, and they stay in step
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

# A batch that is too large for one process is halved in all
def rows_that_fit(rows):
    if rank == n - 1 and rows.stop - rows.start > 3:
        raise torch.OutOfMemoryError
    return list(range(rows.start, rows.stop))
results, size = map_in_memory(12, 12 // n, rows_that_fit)
assert (sum(results, []), size) == (list(range(12)), 12 // n // 2), (results, size)

for rows in (7, 2, 1):
    torch.manual_seed(rows)
    x, y = torch.rand(rows, 3, requires_grad=True), torch.rand(rows, 2)
    def product(x, y, nothing):
        return (x.exp() * y[:, :1]).cumsum(1)
    weights = torch.rand(rows, 3)
    whole = torch.autograd.grad((product(x, y, None) * weights).sum(), x)[0]
    output = ShardedForward()(product, x, y, None)
    assert torch.equal(output, product(x, y, None)), rows
    assert torch.allclose(torch.autograd.grad((output * weights).sum(), x)[0], whole), rows

with distributed.local_only():
    x = torch.rand(3, requires_grad=True)
    ShardedForward()(torch.exp, x).sum().backward()
    assert torch.allclose(x.grad, x.exp())

side, blobs = side_and_blobs()
itn.screen(side, *blobs, SCREEN, sys.argv[2] + "/screen")
if n == 3:
    itn.learn(side, *blobs, LEARN, sys.argv[2] + "/learn")
    itn.learn(side, *blobs, SWITCHED, sys.argv[2] + "/switched")
distributed.leave_processes()
"""

SCREEN = itn.ScreenConfig(
    ("translate_x", "noise"),
    (("zoom", "blur"),),
    {"translate_x": (-0.3, 0.1, 0.3), "noise": (0.5,), "zoom": (0.5, 2.0), "blur": (1.0,)},
    batch_size=30,
)
# Five batches: shares of 2 and of 3 processes are uneven, and so is the last batch
LEARN = itn.LearnConfig(
    objective=itn.Constrained(settings=ConstrainedSettings(restarts=4)),
    **{"parts": ("spatial",), "family": "translation", "tolerance": 0.1, "steps": 6, "batch_size": 45},
)
SWITCHED = itn.LearnConfig(objective="switched", steps=12, batch_size=45)


class Blob(torch.nn.Module):
    """Decides on which side of the middle of the frame the center of brightness lies."""

    def forward(self, images):
        x = torch.linspace(-20, 20, images.shape[-1])
        center = (images.sum(1) * x).sum((1, 2)) / images.sum((1, 2, 3)).clamp_min(1e-6)
        return torch.stack([-center, center], 1)


def side_and_blobs():
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 20)] * 2, indexing="ij")
    labels = torch.arange(200) % 2
    centers = (labels - 0.5) * torch.linspace(0.5, 1.5, 200)
    images = torch.exp(-((x - centers.view(-1, 1, 1)) ** 2 + y**2) / 0.02)[:, None]
    return itn.Classifier(Blob(), name="side"), (images, labels)


def numbers(content):
    """The numbers in nested JSON."""
    if isinstance(content, dict | list):
        items = content.values() if isinstance(content, dict) else content
        return [leaf for item in items for leaf in numbers(item)]
    return [content] if isinstance(content, int | float) else []


def run(*command):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    completed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert completed.returncode == 0, completed.stderr[-2000:]


@pytest.fixture(scope="module")
def one_thread():
    """Compute with one thread, as each of several processes does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def single_process(one_thread, tmp_path_factory):
    """The folder that one process with one thread writes."""
    folder = tmp_path_factory.mktemp("alone")
    side, blobs = side_and_blobs()
    itn.screen(side, *blobs, SCREEN, folder / "screen")
    itn.learn(side, *blobs, LEARN, folder / "learn")
    itn.learn(side, *blobs, SWITCHED, folder / "switched")
    return folder


@pytest.mark.parametrize("count", [2, 3])
def test_several_processes_compute_what_one_does(count, single_process, tmp_path):
    """Seven batches for 2 or 3 processes: shares are uneven, and so is the last batch. Three also learn."""
    script = tmp_path / "work.py"
    script.write_text(WORK)
    run(*TORCHRUN, str(count), str(script), str(count), str(tmp_path / "runs"), os.getcwd())
    assert content_of(tmp_path / "runs" / "screen") == content_of(single_process / "screen")
    for name in ("learn", "switched") if count == 3 else ():
        texts = (
            (folder / name / "result.json").read_text() for folder in (tmp_path / "runs", single_process)
        )
        several, one = (numbers(json.loads(text)) for text in texts)
        assert several == pytest.approx(one, rel=1e-4, abs=1e-6)


def test_killing_one_process_ends_all_and_the_same_command_resumes(tmp_path, one_thread):
    arguments = ["-m", "itn", "screen", "--limit", "100", "--transforms", "rotate", "--batch-size", "20"]
    arguments += ["--magnitudes", "rotate=-90:90:10", "--bisections", "0", "--out"]
    job = subprocess.Popen(
        [*TORCHRUN, "2", *arguments, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    points, deadline = tmp_path / "run" / ".itn-points", time.monotonic() + 300
    while len(list(points.rglob("*.npz"))) < 3:
        assert job.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    workers = subprocess.check_output(["ps", "--ppid", str(job.pid), "-o", "pid="], text=True)
    os.kill(sorted(map(int, workers.split()))[1], signal.SIGKILL)
    output, _ = job.communicate(timeout=60)
    assert job.returncode == 1
    assert re.search(
        r"itn: (another process of this run has ended|interrupted).*; \d+ of \d+ passes are kept", output
    )
    assert not (tmp_path / "run" / "result.json").exists()
    run(sys.executable, *arguments, str(tmp_path / "run"))
    run(sys.executable, *arguments, str(tmp_path / "whole"))
    assert content_of(tmp_path / "run") == content_of(tmp_path / "whole")


def test_a_single_process_does_everything_itself():
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert map_batches("abc", str.upper) == ["A", "B", "C"]
    assert on_rank_zero(lambda: 3) == 3
    x = torch.rand(3, 2)
    assert torch.equal(ShardedForward()(torch.exp, x), x.exp())


def test_batches_are_halved_until_they_fit():
    sizes = []

    def evaluate_batch(rows):
        sizes.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise torch.OutOfMemoryError
        return list(range(rows.start, rows.stop))[:10]

    with pytest.raises(itn.RunError, match="too small for a single image"):
        map_in_memory(1, 64, lambda rows: evaluate_batch(slice(0, 9)))
    results, size = map_in_memory(10, 64, evaluate_batch)
    assert size == 2
    assert [number for result in results for number in result if number < 10] == list(range(10))


def test_an_image_that_does_not_fit_is_named():
    def evaluate_batch(rows):
        raise torch.OutOfMemoryError

    with pytest.raises(itn.RunError, match="too small for a single image"):
        map_in_memory(4, 4, evaluate_batch)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "^memory is too small for a single image"),
        (RuntimeError("CUDNN_STATUS_ALLOC_FAILED"), "^memory is too small for a single image"),
        (
            RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if\nmore"),
            "^a forward pass fails for a single image: .*CUDNN_STATUS_NOT_SUPPORTED.*may appear if$",
        ),
    ],
)
def test_what_is_wrong_with_a_single_image_is_named(error, message):
    sizes = []

    def evaluate_batch(rows):
        sizes.append(rows.stop - rows.start)
        raise error

    with pytest.raises(itn.RunError, match=message):
        map_in_memory(4, 4, evaluate_batch)
    assert sizes == [4, 2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "text", ["CUDNN_STATUS_NOT_SUPPORTED", "GET was unable to find an engine to execute this computation"]
)
def test_cudnn_may_support_a_smaller_batch(text):
    def evaluate_batch(rows):
        if rows.stop - rows.start > 2:
            raise RuntimeError(text)
        return rows.start

    assert map_in_memory(8, 8, evaluate_batch) == ([0, 2, 4, 6], 2)


@pytest.mark.parametrize(
    "text", ["cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "cuDNN error: CUDNN_STATUS_BAD_PARAM"]
)
def test_other_errors_of_cudnn_are_raised_as_they_are(text):
    def evaluate_batch(rows):
        raise RuntimeError(text)

    with pytest.raises(RuntimeError, match=text) as caught:
        map_in_memory(4, 4, evaluate_batch)
    assert not isinstance(caught.value, itn.RunError)


class Tight(torch.autograd.Function):
    """The exponential, with memory for a limited number of rows in the forward and in the backward pass."""

    @staticmethod
    def forward(ctx, x, forward_rows, backward_rows):
        if len(x) > forward_rows:
            raise torch.OutOfMemoryError
        ctx.backward_rows, ctx.output = backward_rows, x.exp()
        return ctx.output

    @staticmethod
    def backward(ctx, grad):
        if len(grad) > ctx.backward_rows:
            raise torch.OutOfMemoryError
        return grad * ctx.output, None, None


@pytest.mark.parametrize(
    ("forward_rows", "backward_rows", "max_chunk"), [(9, 9, None), (4, 9, 4), (9, 3, 2), (4, 1, 1)]
)
def test_rows_that_do_not_fit_are_halved_and_have_the_same_gradients(forward_rows, backward_rows, max_chunk):
    x, weights = torch.rand(9, 3, requires_grad=True), torch.rand(9, 3)
    sharded = ShardedForward()
    for _ in range(2):  # the second call starts with the size that fitted in the first
        output = sharded(lambda x: Tight.apply(x, forward_rows, backward_rows), x)
        (grad,) = torch.autograd.grad((output * weights).sum(), x)
        torch.testing.assert_close(output, x.exp())
        torch.testing.assert_close(grad, weights * x.exp())
        assert sharded.max_chunk == max_chunk


def test_differentiating_a_gradient_again_is_refused():
    x, weights = torch.rand(2, 9, 3, requires_grad=True).unbind()
    (grad,) = torch.autograd.grad((ShardedForward()(torch.exp, x) * weights).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


def test_rows_without_a_gradient_keep_no_graph():
    x = torch.rand(9, 3, requires_grad=True)
    with torch.no_grad():
        assert not ShardedForward()(torch.exp, x).requires_grad
    assert not ShardedForward()(torch.exp, x.detach()).requires_grad


@pytest.mark.parametrize(("forward_rows", "backward_rows"), [(0, 9), (9, 0)])
def test_a_row_that_does_not_fit_ends_the_run(forward_rows, backward_rows):
    x = torch.rand(9, 3, requires_grad=True)
    with pytest.raises(itn.RunError, match="too small for a single image"):
        ShardedForward()(lambda x: Tight.apply(x, forward_rows, backward_rows), x).sum().backward()


class Narrow(Blob):
    """Has memory for 100 images; those with a gradient take three times as much."""

    def forward(self, images):
        if len(images) * (3 if images.requires_grad else 1) > 100:
            raise torch.OutOfMemoryError
        return super().forward(images)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("config", [LEARN, SWITCHED])
def test_learning_steps_are_halved_where_memory_is_short(config, tmp_path):
    records = []
    for net, fitting in ((Blob(), 64), (Narrow(), 32)):
        config = dataclasses.replace(config, batch_size=64)
        out = tmp_path / type(net).__name__
        result = itn.learn(itn.Classifier(net, name="side"), *side_and_blobs()[1], config, out)
        records.append(numbers(result.record.to_json()))
        assert json.loads((out / "timing.json").read_text())["batch_size"] == fitting
    assert records[1] == pytest.approx(records[0], rel=1e-4, abs=1e-6)


class UnpicklableError(Exception):
    """Cannot be constructed from its args alone, which pickle tries."""

    def __init__(self, number, *, of):
        super().__init__(f"{number} of {of}")


def test_an_error_that_cannot_be_pickled_becomes_a_run_error():
    error = ValueError("unchanged")
    assert distributed._picklable(error) is error
    converted = distributed._picklable(UnpicklableError(3, of=5))
    assert isinstance(converted, itn.RunError)
    assert str(converted) == "UnpicklableError: 3 of 5"


def test_the_local_rank_is_read_from_torchrun(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert distributed.local_rank() == 0
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert distributed.local_rank() == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory")
@pytest.mark.parametrize("kept", [True, False])
def test_freed_memory_is_kept(kept):
    """After a block of 64 MiB is freed, the process still has it if and only if told to."""
    work = f"""
import resource
import torch
from itn.runtime import batching

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

if {kept}:
    batching.keep_memory()
before = resident()
block = torch.ones(2**24)
del block
print(resident() - before)
"""
    completed = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert (float(completed.stdout) > 60) == kept
