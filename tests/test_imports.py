"""Importing itn is fast: heavy libraries are imported where they are used."""

import os
import subprocess
import sys

HEAVY = ("matplotlib", "timm", "torchvision", "kornia", "scipy.stats", "huggingface_hub", "gradio", "uvicorn")


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


def openmp(code, **environment):
    """What OpenMP has read from the environment, and what itn leaves in it, once torch is loaded."""
    ours = {name: value for name, value in os.environ.items() if "OMP" not in name}
    code += "; import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    command = [sys.executable, "-c", code]
    environment |= ours | {"OMP_DISPLAY_ENV": "VERBOSE"}
    completed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return completed.stderr, completed.stdout.strip()


def test_threads_wait_passively_unless_told_otherwise():
    said, policy = openmp("import itn")
    assert policy == "PASSIVE"
    if "GOMP_SPINCOUNT" in said:  # libgomp, which torch has on Linux
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
        assert "GOMP_SPINCOUNT = '0'" in said
    assert openmp("import itn", OMP_WAIT_POLICY="ACTIVE")[1] == "ACTIVE"
    assert openmp("import torch, itn")[1] == "None"  # too late: torch has read it
