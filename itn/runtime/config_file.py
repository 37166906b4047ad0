"""The settings that a run has left in its folder."""

import json
from pathlib import Path
from typing import Any


def settings_of(folder: Path) -> dict[str, Any]:
    """Return the content of config.json of a run; nothing if it cannot be read."""
    try:
        content = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def finished_command(folder: Path) -> str | None:
    """Return the command whose finished run a folder holds; None if it holds none."""
    return settings_of(folder).get("command") if (folder / "result.json").is_file() else None
