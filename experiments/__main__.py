"""Run a study by its name, or make README.md of studies from their committed results.

Command:   python experiments STUDY [options]     (--help lists them)
           python experiments readme [STUDY ...]  (default: all)
"""

import importlib
import sys

import readme
import study


def main() -> None:
    """Be the command line."""
    name, *arguments = sys.argv[1:] or [""]
    if name == "readme":
        readme.write(arguments)
        return
    if name not in study.names():
        raise SystemExit(f"{__doc__}\nStudies:   {', '.join(study.names())}")
    sys.argv = [f"experiments {name}", *arguments]
    script = importlib.import_module(f"{name}.run")
    if hasattr(script, "main"):
        script.main()
    else:
        study.run(script)


if __name__ == "__main__":
    main()
