"""Learning F(k1, k2): the switched objective of Bunne et al., one loop, and what it found."""

import dataclasses
import json
import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from itn import plots
from itn.classifiers import CheckedImages, Classifier, preflight
from itn.color import check_images, unit_float
from itn.evaluation import draw, measure
from itn.folder import (
    CHECKPOINT,
    RunError,
    RunFolder,
    data_fingerprint,
    explained,
    provenance,
    run_settings,
)
from itn.losses import displacement, required_correct, sampled_displacement, transformer_loss, unit_vectors
from itn.net import InvariantTransformerNet
from itn.results import LearnRecord, LearnStep, summary
from itn.settings import LearnConfig
from itn.statistics import generator, stratified_split
from itn.transformers import CONTROLS, ColorTransformer, SpatialTransformer

CHECKPOINT_SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class LearnResult:
    """What ``itn.learn`` returns; ``print`` shows the closing table."""

    net: InvariantTransformerNet
    record: LearnRecord
    history: tuple[LearnStep, ...]

    def __str__(self) -> str:
        return summary(self.record)


class Learner:
    """The loop's body: draws a batch and k, lets the switch choose a loss, updates the transformers.

    Args:
        net: What learns; its classifier does not.
        data: Images to learn from.
        config: Settings.
    """

    def __init__(self, net: InvariantTransformerNet, data: CheckedImages, config: LearnConfig) -> None:
        assert isinstance(net.classifier, Classifier)
        self.net, self.classifier, self.config = net, net.classifier, config
        self.data = data.to(self.classifier.device)
        self.clean = self.data.clean
        self.generator = generator(config.seed, "batches")
        self.parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=config.learning_rate, fused=True)
        # A balance needs two sides
        self.c_theta = config.c_theta if len(net.parts) == 2 else 1.0
        self.accuracy = self.clean.double().mean().item()

    def step(self, number: int) -> LearnStep:
        """Take one step and return what happened in it.

        Args:
            number: Index of the step, from 0.

        Raises:
            RunError: If the loss is not finite.
        """
        config, net, data = self.config, self.net, self.data
        size, device = config.batch_size, data.labels.device
        chosen = torch.randint(len(data), (size,), generator=self.generator).to(device)
        k1, k2 = torch.rand(2, size, CONTROLS, generator=self.generator).to(device)
        images, labels = unit_float(data.images[chosen]), data.labels[chosen]

        color_matrix, space_matrix = net.matrices(k1, k2)
        logits = self.classifier.logits(net.render(images, color_matrix, space_matrix))
        cross_entropy = F.cross_entropy(logits, labels)
        color, space = self._displacement(color_matrix), self._displacement(space_matrix)
        moved = transformer_loss(color, space, k1, k2, self.c_theta)

        # One transfer from the device for all that the switch and the record need
        zero = cross_entropy.new_zeros((), dtype=torch.float64)
        correct, clean, entropy, transformers, color_mean, space_mean = torch.stack(
            [
                (logits.argmax(1) == labels).sum().to(zero),
                self.clean[chosen].sum().to(zero),
                cross_entropy.detach().to(zero),
                moved.detach().to(zero),
                zero if color is None else color.detach().mean().to(zero),
                zero if space is None else space.detach().mean().to(zero),
            ]
        ).tolist()
        if not (math.isfinite(entropy) and math.isfinite(transformers)):
            raise RunError(
                f"the loss is not finite at step {number}: look at the classifier's logits on transformed "
                "images, or begin anew with a smaller learning rate"
            )

        asks_accuracy = correct < required_correct(self._acc_orig(clean / size), config.tolerance, size)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * number / config.steps))
        self.optimizer.zero_grad()
        # Displacement depends on the matrices alone: its backward pass never enters the classifier.
        (cross_entropy if asks_accuracy else moved).backward()
        self.optimizer.step()
        return LearnStep(
            step=number,
            cross_entropy=entropy,
            transformer_loss=transformers,
            accuracy=correct / size,
            clean_accuracy=clean / size,
            color_displacement=None if color is None else color_mean,
            spatial_displacement=None if space is None else space_mean,
            asked_cross_entropy=asks_accuracy,
        )

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, as references to the live tensors."""
        return {
            "transformers": self.net.transformer_state(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        load_transformers(self.net, state["transformers"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(parameter.isfinite().all()) for parameter in self.parameters)

    def _acc_orig(self, batch_clean: float) -> float:
        match self.config.acc_orig:
            case "paired":
                return batch_clean
            case "measured":
                return self.accuracy
            case number:
                return float(number)

    def _displacement(self, matrix: Tensor | None) -> Tensor | None:
        if matrix is None:
            return None
        if not self.config.vectors:
            return displacement(matrix)
        vectors = unit_vectors(self.config.vectors, matrix.shape[-1], self.generator)
        return sampled_displacement(matrix, vectors.to(matrix))


def learn(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    config: LearnConfig | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> LearnResult:
    """Learn transformations F(k1, k2) that a frozen classifier does not see.

    Args:
        classifier: What is studied; it is not changed. The work is done on its device.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N integers in [0, K).
        config: Settings; None takes the defaults.
        out: Folder for config.json, result.json, timing.json, history.jsonl, model.safetensors and
            figures/; new or empty, or that of an unfinished run with the same settings, which is then
            continued. None writes nothing.
        source: What the images are, for the record.
        overwrite: Replace an earlier run in ``out``.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The net, the record of result.json, and one entry per step.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the loss stops being finite; names the last good state.
        Interrupted: On Ctrl-C with ``out``; names what was kept.

    Example:
        >>> result = itn.learn(clf, images, labels, itn.LearnConfig(parts=("space",)), out="runs/space")
        >>> result.record.spatial_displacement_at_corner
        0.12
    """
    config = config or LearnConfig()
    started, clock = datetime.now(UTC), time.perf_counter()
    check_images(images, classifier.channels)
    origin = provenance(classifier.device)
    settings = run_settings("learn", config, origin, classifier, images, labels, source)
    folder = None if out is None else RunFolder(out, settings, overwrite)
    data = preflight(classifier, images, labels, config.batch_size)
    learned, held = (
        data.part(index) for index in stratified_split(data.labels, config.learn_fraction, config.seed)
    )
    net = make_net(classifier, config, data.images.shape)
    learner = Learner(net, learned, config)
    if folder is not None:
        folder.start()
    seconds = {"preparation": time.perf_counter() - clock}
    history = [] if folder is None else _resume(learner, folder)
    with explained(lambda: _kept(folder), resumable=folder is not None):
        clock = time.perf_counter()
        _train(learner, history, folder, progress)
        seconds["learning"] = time.perf_counter() - clock
        clock = time.perf_counter()
        split = {
            "learned": len(learned),
            "held_out": len(held),
            "seed": config.seed,
            "held_out_sha256": data_fingerprint(held.images, held.labels),
        }
        record = measure(net, held, history, config, split, origin)
        if folder is not None:
            folder.write("model.safetensors", partial(save_file, net.transformer_state()))
            for name, figure in draw(net, held, history, record, classifier.class_name).items():
                folder.write(f"figures/{name}.png", partial(plots.save, figure))
            seconds["evaluation"] = time.perf_counter() - clock
            folder.write_json("timing.json", {"started": started.isoformat(), "seconds": seconds})
            folder.write_json("result.json", record.to_json())  # last: it says that the run is finished
            folder.remove(CHECKPOINT)
    return LearnResult(net, record, tuple(history))


def make_net(classifier: Classifier, config: LearnConfig, shape: Sequence[int]) -> InvariantTransformerNet:
    """Return the untrained net that a configuration describes, for images of shape N x C x H x W."""
    _, channels, height, width = shape
    weights, rectified = generator(config.seed, "weights"), config.rectified
    color = space = None
    if "color" in config.parts:
        color = ColorTransformer(channels, config.hidden, config.color_bound, weights, rectified)
    if "space" in config.parts:
        aspect = width / height
        space = SpatialTransformer(
            config.family, config.hidden, config.spatial_bound, config.padding, aspect, weights, rectified
        )
    return InvariantTransformerNet(classifier, color, space).to(classifier.device)


def load_net(folder: str | Path, classifier: Classifier) -> InvariantTransformerNet:
    """Return the net that a finished run has learned.

    Args:
        folder: The run's output folder.
        classifier: What to put behind the transformers; usually the one that they were learned for.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``.
    """
    folder = Path(folder)
    try:
        (folder / "result.json").stat()
        settings = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "model.safetensors")
        config = LearnConfig(**{**settings["config"], "parts": tuple(settings["config"]["parts"])})
        net = make_net(classifier, config, settings["images"]["shape"])
        load_transformers(net, state)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no finished run of itn learn ({error})") from None
    return net


def load_transformers(net: InvariantTransformerNet, state: Mapping[str, Tensor]) -> None:
    """Load what ``net.transformer_state()`` returned, all of it and nothing else."""
    own = net.transformer_state()
    shapes, others = ({name: value.shape for name, value in s.items()} for s in (own, state))
    if shapes != others:
        raise ValueError(f"weights are those of another net: {others}, expected {shapes}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])


def _train(
    learner: Learner, history: list[LearnStep], folder: RunFolder | None, progress: bool | None
) -> None:
    """Take all steps that the history lacks, and append them to it; leave a checkpoint at the end."""
    written = len(history)
    last = -math.inf
    steps = learner.config.steps
    hidden = None if progress is None else not progress  # None: a bar on a terminal only
    with tqdm(total=steps, initial=len(history), desc="learn", unit="step", disable=hidden) as bar:
        for number in range(len(history), steps):
            if folder is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                written = _checkpoint(learner, history, written, folder)
                last = time.monotonic()
            history.append(learner.step(number))
            bar.update()
            bar.set_postfix_str(_progress(history[-50:]), refresh=False)
    if not learner.is_finite():
        raise RunError("the last step left weights that are not finite")
    if folder is not None:
        _checkpoint(learner, history, written, folder)


def _resume(learner: Learner, folder: RunFolder) -> list[LearnStep]:
    """Go back to the checkpoint of an unfinished run, if there is one; return the steps taken so far."""
    path = folder.path / CHECKPOINT
    if not folder.resumes or not path.exists():
        return folder.cut_history(0)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        learner.load_state(checkpoint["learner"])
        return folder.cut_history(checkpoint["step"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{path} is damaged ({error}): start again with --overwrite") from None


def _checkpoint(learner: Learner, history: Sequence[LearnStep], written: int, folder: RunFolder) -> int:
    """Save history and state if the state is good; return how much of the history is on disk."""
    if not learner.is_finite():
        return written
    folder.append_history(history[written:])
    content = {"step": len(history), "learner": learner.state()}
    folder.write(CHECKPOINT, lambda path: torch.save(content, path))
    return len(history)


def _kept(folder: RunFolder | None) -> str:
    if folder is None or not (folder.path / CHECKPOINT).exists():
        return "nothing was kept"
    step = torch.load(folder.path / CHECKPOINT, map_location="cpu", weights_only=True)["step"]
    return f"the state after {step} steps is kept in {folder.path / CHECKPOINT}"


def _progress(steps: Sequence[LearnStep]) -> str:
    def mean(name: str) -> float:
        values = [getattr(step, name) for step in steps]
        return float("nan") if values[0] is None else sum(values) / len(values)

    text = f"accuracy {mean('accuracy'):.3f} (clean {mean('clean_accuracy'):.3f})"
    for part in ("color", "spatial"):
        if not math.isnan(value := mean(f"{part}_displacement")):
            text += f", {part} {value:.4f}"
    return text + f", cross-entropy {100 * mean('asked_cross_entropy'):.0f} %"
