"""Frozen classifiers: wrapping, checking and loading them."""

from itn.models.classifier import Classifier, first_line, margins, predict
from itn.models.forward import Change, Output, forward
from itn.models.preflight import CheckedImages, preflight, suitable_batch
from itn.models.preprocessing import Preprocessing
from itn.models.sources import load_classifier, model_cards, model_table

__all__ = [
    "Change",
    "CheckedImages",
    "Classifier",
    "Output",
    "Preprocessing",
    "first_line",
    "forward",
    "load_classifier",
    "margins",
    "model_cards",
    "model_table",
    "predict",
    "preflight",
    "suitable_batch",
]
