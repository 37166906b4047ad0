"""The loop that trains the networks of the studies: what it computes, and that it can be interrupted."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

import itn
from itn.learning.split import split_images
from itn.models.zoo import NETWORKS

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def study(experiment):
    return experiment("study")


@pytest.fixture
def few(study, tmp_path):
    """A protocol that writes to a folder of its own, and a recipe of 300 digits."""
    protocol = study.Protocol("short", (0,), tmp_path, torch.device("cpu"))
    recipe = study.Recipe("soni-dense-described", "adam", 1e-3, 50, 2, mean=0.5, std=0.5, digits=300)
    return protocol, recipe


def weights(trained):
    return torch.cat([p.flatten() for p in trained.net.parameters()])


def test_a_training_that_goes_on_is_the_same_as_one_in_one_go(study, few):
    protocol, recipe = few
    whole = study.train(recipe, 3, "whole", protocol)
    study.train(dataclasses.replace(recipe, epochs=1), 3, "parts", protocol)
    torch.rand(7)  # whatever else happens between
    parts = study.train(recipe, 3, "parts", protocol)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=0)
    assert parts.history == whole.history
    assert len(whole.history) == 2
    other = study.train(recipe, 4, "other", protocol)
    assert not torch.equal(weights(other), weights(whole))


def test_a_training_under_another_recipe_is_not_taken_for_this_one(study, few):
    protocol, recipe = few
    study.train(recipe, 0, "net", protocol)
    with pytest.raises(ValueError, match="was trained otherwise: remove it, or name another --out"):
        study.train(dataclasses.replace(recipe, rate=2e-3), 0, "net", protocol)


def test_one_step_of_gradient_descent_by_hand(study, few):
    protocol, recipe = few
    recipe = dataclasses.replace(
        recipe, network="lenet5", optimizer="sgd", rate=0.1, batch=300, epochs=1, mean=0.2, std=0.4
    )
    trained = study.train(recipe, 1, "step", protocol)
    torch.manual_seed(1)
    net = NETWORKS["lenet5"]()
    images, labels = itn.load_images("mnist:train")
    loss = torch.nn.functional.cross_entropy(net((images[:300].float() / 255 - 0.2) / 0.4), labels[:300])
    gradients = torch.autograd.grad(loss, list(net.parameters()))
    expected = torch.cat([(p - 0.1 * g).flatten() for p, g in zip(net.parameters(), gradients, strict=True)])
    torch.testing.assert_close(weights(trained), expected, rtol=1e-4, atol=1e-6)
    assert trained.history[0].train_loss == pytest.approx(loss.item(), rel=1e-5)


def test_an_optimiser_of_another_network_leaves_this_one_alone(study, few):
    protocol, recipe = few
    first = study.train(recipe, 0, "first", protocol)
    before = weights(first).clone()
    slip = study.train(recipe, 5, "slip", protocol, optimized=first.net)
    torch.manual_seed(5)
    torch.testing.assert_close(
        weights(slip),
        torch.cat([p.flatten() for p in NETWORKS[recipe.network]().parameters()]),
        rtol=0,
        atol=0,
    )
    assert torch.equal(weights(first), before)
    assert slip.history[1].test_loss == pytest.approx(slip.untrained[0], abs=1e-6)


def test_the_loss_of_probabilities_has_its_floor(study, few):
    """With all probability on the right class, softmax again leaves ln(e + 9) - 1."""
    protocol, recipe = few
    loop = study._Loop(
        dataclasses.replace(recipe, softmax_twice=True), torch.nn.Identity(), None, protocol.device
    )
    logits = 100 * torch.eye(10)
    assert loop._loss(logits, torch.arange(10)).item() == pytest.approx(math.log(math.e + 9) - 1, abs=1e-6)


def test_initial_weights_as_keras_draws_them(study, few):
    protocol, recipe = few
    trained = study.train(dataclasses.replace(recipe, initial="keras", rate=1e-30), 0, "keras", protocol)
    reach = trained.net.dense1.weight.abs().max().item()
    assert reach == pytest.approx(math.sqrt(6 / (784 + 100)), rel=1e-3)
    assert trained.net.dense1.bias.abs().max().item() < 1e-20


def test_digits_are_turned_counter_clockwise(study, few):
    protocol, recipe = few
    loop = study._Loop(dataclasses.replace(recipe, turn=1), torch.nn.Identity(), None, protocol.device)
    image = itn.load_images("mnist:train").images[0, 0].numpy()
    np.testing.assert_array_equal(loop.train[0][0, 0].numpy(), ndimage.rotate(image, 90, reshape=False))


@pytest.mark.parametrize("most", [(1, 1), (4, 3)])
def test_shifted_digits_against_scipy(most, experiment):
    """Each digit moved by its own sub-pixel shift: scipy's linear interpolation, black outside."""
    soni = experiment("soni_translation.run")
    images = itn.load_images("mnist", limit=40).images.float() / 255
    moved = soni.shifted(images, most, seed=2)
    uniform = 2 * torch.rand(40, 2, generator=soni.generator(2, f"shift {most}")) - 1
    dx, dy = (uniform * torch.tensor(most)).T.numpy()
    for image, shifted, x, y in zip(images[:, 0].numpy(), moved[:, 0].numpy(), dx, dy, strict=True):
        expected = ndimage.shift(np.pad(image, 8), (y, x), order=1)[8:-8, 8:-8]
        np.testing.assert_allclose(shifted, expected, atol=1e-4)
    assert np.abs(dx).max() <= most[0]
    assert np.abs(dy).max() <= most[1]
    assert {np.sign(x) for x in dx} == {-1, 1}


def test_augmentation_moves_each_digit_by_up_to_a_tenth_and_repeats_the_border(study):
    """Against scipy's linear interpolation with the nearest pixel outside; 0.1 is 2.8 pixels."""
    images = itn.load_images("mnist", limit=40).images.float() / 255 + 0.5  # a border that can be seen
    torch.manual_seed(4)
    moved = study._shifted(images, 0.1)
    torch.manual_seed(4)
    dx, dy = (2.8 * (2 * torch.rand(40, 2) - 1)).T.numpy()
    for image, shifted, x, y in zip(images[:, 0].numpy(), moved[:, 0].numpy(), dx, dy, strict=True):
        expected = ndimage.shift(image, (-y, -x), order=1, mode="nearest")
        np.testing.assert_allclose(shifted, expected, atol=1e-4)
    assert min(np.abs(dx).max(), np.abs(dy).max()) > 2


def test_a_study_that_was_killed_goes_on_where_it_was(tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, str(EXPERIMENTS), "poddar_cnn", "--smoke", "--out", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    part = out / "parts" / "as-published-seed0.pt"
    process = subprocess.Popen(command, **quiet)
    until = time.monotonic() + 120
    while not part.exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "result.json").exists()
    first = part.stat().st_mtime_ns
    subprocess.run(command, check=True, timeout=300, **quiet)
    assert part.stat().st_mtime_ns == first
    runs = json.loads((out / "result.json").read_text())["runs"]
    assert [run["variant"] for run in runs] == ["as published", "as intended"]


@pytest.mark.parametrize("n", [61, 1000])
def test_images_are_split_as_learning_splits_them(study, n):
    labels = torch.randint(4, (n,), generator=torch.Generator().manual_seed(n))
    config = itn.LearnConfig(tolerance=0.2, train_fraction=0.3, seed=5)
    numbered = itn.CheckedImages(torch.arange(n).view(-1, 1, 1, 1), labels, labels)
    for index, part in zip(study.split(labels, config), split_images(numbered, config), strict=True):
        assert torch.equal(index, part.images.flatten())
