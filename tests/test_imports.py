"""Importing itn is fast: heavy libraries are imported where they are used."""

import subprocess
import sys

HEAVY = ("matplotlib", "timm", "torchvision", "kornia", "scipy.stats", "huggingface_hub")


def imported(code):
    """Which of the heavy libraries are imported after some code has run in a new process."""
    code += f"\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return completed.stdout.strip()


def test_importing_itn_imports_no_heavy_library():
    assert imported("import itn; assert isinstance(itn.__version__, str)") == "[]"


def test_plotting_is_imported_when_it_is_used():
    assert imported("import itn; itn.plotting.kernels") == "['matplotlib']"


def test_an_unknown_model_is_refused_without_heavy_libraries():
    code = """
import itn
try:
    itn.load_classifier("resnet8")
except ValueError as error:
    assert "nearest are torchvision:resnet18" in str(error), error
else:
    raise AssertionError("a model that does not exist was loaded")
"""
    assert imported(code) == "[]"
