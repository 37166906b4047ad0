"""The site has every document, and its reference explains every setting; building it is a step of .ci/run."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import itn
from itn.learning.constrained.settings import ConstrainedSettings

ROOT = Path(__file__).parents[2]
SETTINGS = (
    itn.LearnConfig,
    itn.Constrained,
    ConstrainedSettings,
    itn.Switched,
    itn.ScreenConfig,
    itn.WorstConfig,
    itn.Preprocessing,
)


def test_every_document_has_a_place_on_the_site():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]
    places = set(re.findall(r"- (?:.*: )?(\S+\.md)$", nav, re.MULTILINE))
    documents = {path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "templates"}
    assert {str(path.relative_to(ROOT / "docs")) for path in documents} <= places
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("experiments/*/README.md")} <= places
    for place in places - {"index.md"}:
        written = [ROOT / "docs" / place, ROOT / place, (ROOT / "docs" / place).with_suffix(".ipynb")]
        assert any(path.exists() for path in written), place
    for path in (ROOT / "docs" / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{path.stem}.md" in places


def explained(config):
    """Return default and docstring of each setting of a dataclass, as they are written."""
    body = ast.parse(inspect.getsource(config)).body[0].body
    for line, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            default = None if line.value is None else ast.unparse(line.value)
            yield line.target.id, default, after.value.value if is_text else ""


@pytest.mark.parametrize("config", SETTINGS, ids=lambda config: config.__name__)
def test_every_setting_is_explained_and_so_is_what_stands_for_something_else(config):
    settings = list(explained(config))
    assert len(settings) >= 1
    for name, default, text in settings:
        assert text, name
        if default == "None":
            assert re.search(r"[Dd]efault|None", text), name
        if default == "0" and name != "seed":
            assert "0: " in text, name


def test_the_reference_has_every_public_module_and_all_settings():
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    for module in ("itn", "itn.functional", "itn.nn", "itn.plotting", "itn.stats", "itn.transforms"):
        assert f"<!-- generated: api {module} -->" in pages
    for config in SETTINGS:
        assert re.search(rf"<!-- generated: settings itn\S*\.{config.__name__} -->", pages), config
