"""Laws that no input may break: strange images, settings, files and names, and files that mean harm."""

import contextlib
import dataclasses
import io
import json
import math
import os
import pickle
import tempfile
import threading
import time
import tracemalloc
import types
import warnings
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

import itn
import itn.cli.main
from itn.data.class_names import class_indices
from itn.data.loading import ImagesWarning
from itn.functional import COLOR_FAMILIES, PADDINGS
from itn.learning.config import OBJECTIVES
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.records import LearnStep
from itn.models.checkpoints import read_checkpoint
from itn.nn.control_head import ControlHead
from itn.runtime.records import SCHEMA_VERSION
from itn.runtime.run_dir import RunFolder

law = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
every = pytest.mark.parametrize("transform", itn.TRANSFORMS.values(), ids=itn.TRANSFORMS)
EXTREMES = (0.0, -0.0, 1e-45, 1e-30, 1.0000001, 1e3, 1e6, -1e6, 1e30, -1e30, math.nan, math.inf, -math.inf)
MAGNITUDES = st.sampled_from(EXTREMES) | st.floats(-4, 4) | st.floats(-1e30, 1e30)
# No size between them: what asks for gigabytes would get them
WHOLE = st.integers(-2, 100) | st.sampled_from([2**62, 2**63, 10**30])
JSON = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


def tried(call):
    """Return what a call returns, and what its ValueError says; no other error is let through."""
    try:
        return call(), None
    except ValueError as error:
        return None, str(error)


@st.composite
def images(draw, dtypes=(torch.uint8, torch.float16, torch.float32, torch.float64)):
    shape = [draw(st.integers(1, most)) for most in (3, 4, 9, 9)]
    values = torch.rand(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    values = values.round() if draw(st.booleans()) else values
    dtype = draw(st.sampled_from(dtypes))
    return (255 * values).byte() if dtype == torch.uint8 else values.to(dtype)


def as_float(before):
    return before / 255 if before.dtype == torch.uint8 else before


def is_image_like(got, before):
    return (got.shape, got.dtype) == (before.shape, as_float(before).dtype) and (
        (got >= 0) & (got <= 1)
    ).all()


# Transformations

OF_COLORS = ("saturation", "hue")  # refuse other numbers of channels than 1 and 3


@every
@law
@given(st.data(), images(), st.sampled_from(PADDINGS))
def test_a_magnitude_makes_an_image_or_is_named_in_the_refusal(transform, data, before, padding):
    assume(transform.name not in OF_COLORS or before.shape[1] in (1, 3))
    v = data.draw(st.lists(MAGNITUDES, min_size=len(before), max_size=len(before)))
    known = transform.magnitudes if transform.discrete else transform.domain
    # The rounding of a float32 is forgiven
    meaningless = [
        each
        for each in v
        if not math.isfinite(each)
        or not (known[0] <= each <= known[1] or math.isclose(each, 1, rel_tol=1e-6))
        or (transform.discrete and not any(math.isclose(each, one, rel_tol=1e-6) for one in known))
    ]
    got, refusal = tried(lambda: transform(before, v, padding=padding))
    if meaningless:
        assert refusal.startswith(transform.name)
        assert refusal.endswith(f"got {meaningless[0]:g}")
    else:
        assert is_image_like(got, before)
        unmoved = torch.tensor(v, dtype=torch.float64) == transform.identity
        assert torch.equal(got[unmoved], as_float(before)[unmoved])
    assert torch.equal(transform(before, transform.identity, padding=padding), as_float(before))


@every
@pytest.mark.parametrize("v", [1e39, -1e39, 1.7e308])
def test_magnitudes_beyond_single_precision_leave_no_pixel_without_a_value(transform, v):
    before = torch.tensor([0, 255, 7, 130], dtype=torch.uint8).view(1, 1, 2, 2)
    for padding in PADDINGS:
        got, refusal = tried(lambda padding=padding: transform(before, v, padding=padding))
        assert refusal.endswith(f"got {v:g}") if refusal else is_image_like(got, before)


@every
@law
@given(st.data(), images([torch.float64]), st.sampled_from(PADDINGS))
def test_a_batch_of_magnitudes_equals_a_loop(transform, data, before, padding):
    assume(transform.name not in OF_COLORS or before.shape[1] in (1, 3))
    low, high = (max(-1e3, min(1e3, end)) for end in transform.domain)
    one = st.sampled_from(transform.magnitudes) | (
        st.nothing() if transform.discrete else st.floats(low, high)
    )
    v = data.draw(st.lists(one, min_size=len(before), max_size=len(before)))
    noise = torch.randn(before.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loop = [transform(before[[i]], x, padding=padding, noise=noise[[i]]) for i, x in enumerate(v)]
    got = transform(before, v, padding=padding, noise=noise)
    torch.testing.assert_close(got, torch.cat(loop), rtol=0, atol=1e-9)


# Families


def random_net(before, family="affine", color_family="affine", nonnegative=False, size=1.0):
    randomness = torch.Generator().manual_seed(3)
    color = itn.ColorTransformer(before.shape[1], 4, 1.0, randomness, nonnegative, color_family)
    spatial = itn.SpatialTransformer(family, 4, None, "border", randomness, nonnegative)
    for weights in (*color.head.parameters(), *spatial.head.parameters()):
        torch.nn.init.normal_(weights, std=size, generator=randomness)
    return itn.InvariantTransformerNet(torch.nn.Identity(), color, spatial)


@pytest.mark.parametrize("family", itn.functional.FAMILIES)
@law
@given(
    st.data(),
    images(),
    st.sampled_from(tuple(COLOR_FAMILIES)),
    st.booleans(),
    st.sampled_from([0.01, 1, 100]),
)
def test_any_k_keeps_images_images_and_zero_keeps_every_bit(family, data, before, colors, nonnegative, size):
    entry = st.sampled_from([0.0, -0.0, 1e-45, 1.0]) | st.floats(0, 1)
    k = torch.tensor(data.draw(st.lists(entry, min_size=4, max_size=4)))
    net = random_net(before, family, colors, nonnegative, size)
    with torch.no_grad():
        assert is_image_like(net.transform(before, k[:2], k[2:].expand(len(before), 2)), before)
        assert torch.equal(net.transform(before, torch.zeros(2), torch.zeros(1, 2)), as_float(before))


@law
@given(images(), st.floats() | st.sampled_from([-1e-45, 1 + 1e-12]), st.integers(0, 3))
def test_a_k_that_leaves_the_unit_square_is_refused(before, outside, place):
    assume(not 0 <= outside <= 1)
    k = torch.full((4,), 0.5, dtype=torch.float64)
    k[place] = outside
    with pytest.raises(ValueError, match=r"k must lie in \[0, 1\], got values from"):
        random_net(before).transform(before, k[:2], k[2:].expand(len(before), 2))


@pytest.mark.parametrize("bound", [1e-46, 1e-30, 1e30, 1e39, math.inf])
def test_a_bound_keeps_the_identity_or_is_refused(bound):
    head, refusal = tried(lambda: ControlHead(3, bound=bound))
    assert str(bound) in refusal if refusal else torch.equal(head(torch.zeros(1, 2)), torch.zeros(1, 3))


# Settings and records

ODD = st.sampled_from([object(), int, b"x", 1j, (), ("color",), {1}, torch.tensor(0.5), torch.ones(2)])
FIELDS = [
    pytest.param(kind, field.name, id=f"{kind.__name__}.{field.name}")
    for kind in (itn.LearnConfig, itn.Constrained, itn.Switched, itn.ScreenConfig)
    for field in dataclasses.fields(kind)
]


def as_written(config):
    """As a run folder writes settings."""
    content = config.describe() if isinstance(config, itn.LearnConfig) else dataclasses.asdict(config)
    return json.dumps(content, allow_nan=False)


def objective_of(content):
    """Return the objective that was written."""
    settings = {"settings": ConstrainedSettings(**content["settings"])} if "settings" in content else {}
    given = {name: value for name, value in content.items() if name != "name"}
    return OBJECTIVES[content["name"]](**given | settings)


def survives_its_file(config):
    """As a run folder writes settings, and reads them back."""
    text = as_written(config)
    content = json.loads(text)
    known = {name: tuple(content[name]) for name in ("parts", "transforms") if content.get(name)}
    if isinstance(config, itn.LearnConfig):
        known |= {
            "objective": objective_of(content["objective"]),
            "criterion": content["criterion"]["name"],
        }
    return as_written(type(config)(**{**content, **known})) == text


def test_numbers_of_numpy_are_numbers():
    config = itn.LearnConfig(tolerance=np.float32(0.25), steps=np.int64(7))
    assert as_written(config) == as_written(itn.LearnConfig(tolerance=0.25, steps=7))
    given, plain = (
        itn.Switched(number(0.25), steps=whole(7), acc_orig=number(0.5), c_theta={"color": number(2.0)})
        for number, whole in ((np.float32, np.int64), (float, int))
    )
    assert as_written(given) == as_written(plain)
    assert as_written(itn.LearnConfig(objective=given)) == as_written(itn.LearnConfig(objective=plain))
    assert json.loads(as_written(itn.Switched(c_theta=np.int64(2))))["c_theta"] == 2


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (itn.Switched, {"acc_orig": True}),
        (itn.LearnConfig, {"tolerance": True, "objective": "switched"}),
        (itn.ScreenConfig, {"magnitudes": {"rotate": "123"}}),
    ],
)
def test_what_only_looks_like_numbers_is_refused(kind, setting):
    with pytest.raises(ValueError, match="number"):
        kind(**setting)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
@law
@given(JSON | ODD)
def test_a_setting_of_any_kind_is_kept_or_refused(kind, name, value):
    config, refusal = tried(lambda: kind(**{name: value}))
    assert refusal or survives_its_file(config)


@law
@given(st.dictionaries(st.sampled_from(list(itn.TRANSFORMS)), st.lists(st.floats(), max_size=4), max_size=3))
def test_sweeps_of_any_numbers_are_kept_or_refused(magnitudes):
    config, refusal = tried(lambda: itn.ScreenConfig(tuple(magnitudes) or None, magnitudes=magnitudes))
    assert any(name in refusal for name in magnitudes) if refusal else survives_its_file(config)


def of(kind):
    """Draw a value of an annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        hints, fixed = get_type_hints(kind), ("command", "schema_version", "optional")
        return st.builds(kind, **{name: of(hint) for name, hint in hints.items() if name not in fixed})
    if origin in (Union, types.UnionType):
        return st.one_of(*map(of, inner))
    if origin is tuple and inner[-1] is not ...:
        return st.tuples(*map(of, inner))
    if origin is dict:
        return st.dictionaries(of(inner[0]), of(inner[1]), max_size=2)
    if origin in (list, tuple):
        return st.lists(of(inner[0]), max_size=2).map(origin)
    number, text = st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4)
    plain = {int: st.integers(), bool: st.booleans(), str: text, type(None): st.none()}
    return {**plain, float: number, Any: number | text}[kind]


RECORDS = [itn.LearnRecord, itn.PerClassRecord, itn.ScreenRecord, itn.ComparisonRecord]


@pytest.mark.parametrize("kind", RECORDS)
@settings(law, max_examples=10)
@given(st.data())
def test_any_record_comes_back_from_its_file(kind, data):
    record = data.draw(of(kind))
    together = ("certificate", "headline", "no_headline", "baselines", "drop_curves", "calibration")
    if kind is itn.LearnRecord and None in [getattr(record, name) for name in together]:
        record = dataclasses.replace(record, **dict.fromkeys(together))
    content = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert kind.from_json(content) == record


@pytest.mark.parametrize("kind", RECORDS)
@law
@given(JSON)
def test_what_is_no_record_is_refused(kind, content):
    with pytest.raises(ValueError, match="record"):
        kind.from_json(content)


# Files that were changed

RUN = {"command": "learn", "config": {"steps": 1}}
READERS = {
    "config.json": itn.load_augmentation,
    "history.jsonl": itn.read_history,
    "map.json": lambda folder: class_indices(["a"], None, folder / "map.json"),
    "id2label.json": lambda folder: class_indices(["a"], None, folder / "id2label.json"),
    "keras.json": lambda folder: class_indices(["a"], None, folder / "keras.json"),
    "left/config.json": lambda folder: RunFolder(folder / "left", RUN),
}
CONFIG = {"config": itn.LearnConfig(hidden=4).describe(), "images": {"shape": [9, 1, 4, 5]}}
CONTENTS = {
    "config.json": {"command": "learn", **CONFIG},
    "history.jsonl": LearnStep(0, {"spatial": 0.5}, {"cross_entropy": 0.5}).to_json(),
    "map.json": {"a": 0, "b": "1"},
    "id2label.json": {"id2label": {"0": "b", "1": "a"}, "label2id": {"b": 0}},
    "keras.json": {"0": ["n1", "b"], "1": ["n2", "a"]},
    "left/config.json": RUN,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All that is read of a run, whole."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "left").mkdir()
    save_file(random_net(torch.rand(1, 1, 4, 5)).transformer_state(), folder / "model.safetensors")
    (folder / "result.json").write_text(
        json.dumps({"schema_version": SCHEMA_VERSION, "interpolation": "bilinear"})
    )
    for file, content in CONTENTS.items():
        (folder / file).write_text(json.dumps(content))
        READERS[file](folder)
    return folder


def replaced(draw, content):
    """Put anything in the place of a part of JSON, or of all."""
    if not isinstance(content, dict | list) or not content or not draw(st.integers(0, 4)):
        return draw(JSON)
    at = draw(st.sampled_from(sorted(content) if isinstance(content, dict) else range(len(content))))
    parts = content.copy()
    parts[at] = replaced(draw, parts[at])
    return parts


def written(folder, file, text):
    (folder / file).write_text(text)
    return folder


def is_read_or_named(folder, file, text):
    _, refusal = tried(lambda: READERS[file](written(folder, file, text)))
    return refusal is None or str((folder / file).parent) in refusal


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("file", READERS)
@settings(law, max_examples=40)
@given(st.data())
def test_a_file_with_a_part_replaced_is_read_or_named(folder, file, data):
    assert is_read_or_named(folder, file, json.dumps(replaced(data.draw, CONTENTS[file])))


@pytest.mark.parametrize("file", READERS)
@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"a":' * 100_000, "a," + "9" * 5000], ids=len)
def test_a_file_of_nothing_or_of_too_much_is_read_or_named(folder, file, text):
    assert is_read_or_named(folder, file, text)


@pytest.mark.parametrize(
    ("key", "value"),
    [("shape", [9, 1, 0, 5]), ("shape", [9, 10**9, 4, 5]), ("shape", [9, 1, 4]), ("hidden", 2**62)],
)
def test_sizes_that_no_net_has_are_named(folder, key, value):
    config, sizes = CONFIG["config"] | {key: value}, CONFIG["images"] | {key: value}
    changed = {"images": sizes} if key in CONFIG["images"] else {"config": config}
    with pytest.raises(ValueError, match=str(folder)):
        itn.load_augmentation(written(folder, "config.json", json.dumps(CONTENTS["config.json"] | changed)))


def test_a_run_without_a_history_is_named(tmp_path):
    with pytest.raises(ValueError, match=str(tmp_path)):
        itn.read_history(tmp_path)


# Class folders

_BUFFER = io.BytesIO()
Image.new("RGB", (2, 3), (9, 9, 9)).save(_BUFFER, "png")
PNG = _BUFFER.getvalue()
BYTES = st.binary(min_size=1, max_size=20) | st.text("a -._$\n\"'Ä☃", min_size=1, max_size=20).map(str.encode)
NAMES = (BYTES | st.just(b"x" * 240)).map(lambda raw: os.fsdecode(raw.translate(None, b"/\0")))
FILES = st.tuples(
    NAMES, st.tuples(NAMES, st.sampled_from([".png", ".PNG", ".JPeg", ".txt", ""])).map("".join)
)


def one_image(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(PNG)


TOKENS = [
    "a",
    "b",
    "0",
    "1",
    "7",
    "n01440764",
    *",;\t \"'{}[]:/\\.-",
    "\n",
    "\r\n",
    "\0",
    "a.png",
    "cat/1.png",
    "Ä",
]
TEXTS = st.tuples(
    st.lists(st.sampled_from(TOKENS), max_size=12).map("".join),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"]),
).map(lambda each: each[0].encode(each[1], "replace"))


@settings(law, max_examples=300)
@given(TEXTS | st.binary(max_size=20))
def test_class_maps_and_labels_of_any_text_are_read_or_named(content):
    with tempfile.TemporaryDirectory() as root:
        for name in ("a.png", "cat/1.png"):
            (Path(root) / "images" / name).parent.mkdir(exist_ok=True)
            (Path(root) / "images" / name).write_bytes(PNG)
        (Path(root) / "file").write_bytes(content)
        indices, refusal = tried(lambda: class_indices(["a", "b"], None, Path(root) / "file"))
        assert root in refusal if refusal else min(indices.values()) >= 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImagesWarning)
            found, refusal = tried(lambda: itn.load_images(f"{root}/images", labels_file=f"{root}/file"))
        assert root in refusal if refusal else found.labels.min() >= 0


@settings(law, max_examples=40)
@given(st.sets(FILES.filter(lambda each: not {"", ".", ".."} & set(each)), max_size=6))
def test_images_of_any_name_in_folders_of_any_name_are_read(files):
    with tempfile.TemporaryDirectory() as root:
        for name, file in files:
            (Path(root) / name).mkdir(exist_ok=True)
            (Path(root) / name / file).write_bytes(PNG)
        names = sorted({name for name, _ in files if name[0] != "."})
        known = [file for _, file in files if file[0] != "." and file.lower().endswith((".png", ".jpeg"))]
        wanted = sorted(f"{name}/{file}" for name, file in files if name in names and file in known)
        filled = {path.split("/")[0] for path in wanted}
        vanished = {name for name, file in files if name in names and file[0] != "."} - filled
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImagesWarning)
            found, refusal = tried(lambda: itn.load_images(root))
        if vanished:
            assert "no image of" in refusal
        else:
            assert root in refusal if not wanted else list(found.paths) == wanted
        if wanted and not vanished:
            assert found.labels.tolist() == [names.index(path.split("/")[0]) for path in wanted]


@pytest.mark.parametrize(
    ("link", "target", "outcome"),
    [
        ("cat/2.png", "1.png", ["cat/1.png", "cat/2.png"]),
        ("dog", ".", ["cat/1.png", "dog/cat/1.png"]),  # a loop is walked once
        ("dog", "dog", ["cat/1.png"]),
        ("dog", "nowhere", ["cat/1.png"]),
        ("cat/2.png", "2.png", "cat/2.png (Too many levels of symbolic links)"),
        ("cat/2.png", "nowhere", "cat/2.png (No such file or directory)"),
        ("cat/2.png", "/dev/zero", "cat/2.png ("),
    ],
)
def test_links_lead_to_images_or_are_named(link, target, outcome, tmp_path):
    one_image(tmp_path)
    (tmp_path / link).symlink_to(target)
    found, refusal = tried(lambda: itn.load_images(tmp_path))
    assert outcome in refusal if refusal else list(found.paths) == outcome


def test_a_pipe_called_like_an_image_is_not_waited_for(tmp_path):
    one_image(tmp_path)
    os.mkfifo(tmp_path / "cat" / "2.png")
    rescued = []

    def let_go():  # fails where nobody is reading
        with contextlib.suppress(OSError):
            rescued.append(os.open(tmp_path / "cat" / "2.png", os.O_WRONLY | os.O_NONBLOCK))
            os.close(rescued[0])

    rescue = threading.Timer(2.0, let_go)
    rescue.start()
    _, refusal = tried(lambda: itn.load_images(tmp_path))
    rescue.cancel()
    rescue.join()
    assert not rescued
    assert "cat/2.png" in refusal


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_image_that_may_not_be_read_is_named(tmp_path):
    one_image(tmp_path)
    (tmp_path / "cat" / "1.png").chmod(0)
    with pytest.raises(ValueError, match=r"cat/1\.png \(Permission denied"):
        itn.load_images(tmp_path)


@pytest.mark.long
def test_a_hundred_thousand_images_are_listed_in_seconds(tmp_path, capsys):
    for folder in (tmp_path / str(number) for number in range(10)):
        folder.mkdir()
        (folder / "0.png").write_bytes(PNG)
        for number in range(1, 10_000):
            os.link(folder / "0.png", folder / f"{number}.png")
    clock = time.perf_counter()
    found = itn.load_images(tmp_path, limit=100)
    seconds = time.perf_counter() - clock
    tracemalloc.start()  # which takes time
    itn.load_images(tmp_path, limit=100)
    mebibytes = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    with capsys.disabled():
        print(f"\n100,000 files: {seconds:.2f} s, {mebibytes:.0f} MiB")
    assert found.labels.bincount().tolist() == [10] * 10
    assert seconds < 30
    assert mebibytes < 200


# Files and names that mean harm


class Payload:
    """Unpickled without care, it writes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def plant(form, path, marker):
    if form == "pickle":
        path.write_bytes(pickle.dumps(Payload(marker)))
    else:
        torch.save({"weight": Payload(marker)}, path, _use_new_zipfile_serialization=form == "zip")


forms = pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])


@forms
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors"])
def test_weights_with_a_payload_do_not_run_and_the_cure_is_named(form, name, tmp_path):
    plant(form, tmp_path / name, tmp_path / "ran")
    with pytest.raises(ValueError, match=rf"{name} .*(: save .*torch\.save|: give a \.safetensors file)"):
        read_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


@forms
def test_a_checkpoint_with_a_payload_does_not_run(form, flats, brightness, tmp_path):
    config = itn.LearnConfig(objective="switched", steps=2, batch_size=16)
    run = tmp_path / "run"
    with (
        mock.patch("itn.learning.family.evaluate", side_effect=KeyboardInterrupt),
        pytest.raises(itn.Interrupted),
    ):
        itn.learn(brightness, *flats, config, run)
    for checkpoint in run.glob("checkpoint*.pt"):
        plant(form, checkpoint, tmp_path / "ran")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged .*overwrite=True"):
        itn.learn(brightness, *flats, config, run)
    assert not (tmp_path / "ran").exists()


NETWORK = """
import itn, torch

class Bright(torch.nn.Module):
    def forward(self, images):
        excess = 20 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-excess, excess], 1)

def make():
    return itn.Classifier(Bright(), class_names={!a})
"""
SWEEP = ("--transforms", "brightness", "--magnitudes", "brightness=-0.4,0.4", "--bisections", "0")
HARM = {
    "ways up": (["../../evil", "/itn-evil"], ["..\\..\\up", "-rf *"], "x.png"),
    "quotes": (["a\0b", "../" * 20 + "evil"], ["a\nb", '"q"\''], "$(touch evil).png"),
    "formulas": (["$a$ \\frac{$", "$$"], ["$HOME", "~"], "%s.png"),
    "class not in unicode": (["\udcff", "b"], ["0", "1"], "x.png"),
    "file not in unicode": (["a", "b"], ["\udcff", "1"], "\udcfe.png"),
}


def tree(root, out):
    return {path: path.is_file() and path.read_bytes() for path in root.rglob("*") if out not in path.parents}


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
@pytest.mark.parametrize(("names", "folders", "file"), HARM.values(), ids=HARM)
def test_names_that_mean_harm_are_only_text_in_the_files_of_a_run(names, folders, file, tmp_path, capsys):
    home = tmp_path / "deep" / "er" / "home"
    for name, level in zip(folders, (40, 220), strict=True):
        (home / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (4, 4), (level,) * 3).save(home / "photos" / name / f"{number} {file}")
    (home / "net.py").write_text(NETWORK.format(names))
    (home / "map.json").write_text(json.dumps(dict(zip(folders, names, strict=True))))
    out, before = home / "out", tree(tmp_path, home / "out")
    where = ("--model", f"{home}/net.py:make", "--data", f"{home}/photos", "--class-map", f"{home}/map.json")
    with mock.patch("sys.dont_write_bytecode", True):
        status = itn.cli.main.main(["screen", *where, "--out", str(out), "--device", "cpu", *SWEEP])
    after = tree(tmp_path, out)
    assert (status, capsys.readouterr().err) == (0, "")
    assert after == before | {out: False}
    figures = {f"{kind}-brightness.png" for kind in ("accuracy", "softmax", "survival")} | {"thresholds.png"}
    assert {path.name for path in (out / "figures").iterdir()} == figures
