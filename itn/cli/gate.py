"""What ``--require`` prints and writes, and how it ends a command."""

import json
from functools import partial
from pathlib import Path

from itn.cli.options import say
from itn.runtime import distributed
from itn.runtime.errors import writing
from itn.runtime.requirements import NotMetError, Requirements
from itn.runtime.run_dir import write_whole
from itn.runtime.run_files import REQUIREMENTS
from itn.runtime.wording import counted


def report(requirements: Requirements, folder: Path, suite: str) -> None:
    """Print verdicts, and write them into the folder of a finished run.

    Raises:
        NotMetError: If one of them is not met.
    """
    say(f"\n{requirements}")
    if distributed.rank() == 0:
        texts = (json.dumps(requirements.to_json(), indent=2) + "\n", requirements.to_xml(suite))
        with writing():
            for name, text in zip(REQUIREMENTS, texts, strict=True):
                write_whole(folder / name, partial(Path.write_text, data=text, encoding="utf-8"))
    say(f"verdicts: {', '.join(str(folder / name) for name in REQUIREMENTS)}")
    if not requirements.met:
        failed = [verdict.requirement for verdict in requirements.verdicts if not verdict.met]
        raise NotMetError(
            f"{len(failed)} of {counted(len(requirements.verdicts), 'verdict')} "
            f"{'is' if len(failed) == 1 else 'are'} not met: {','.join(dict.fromkeys(failed))}"
        )
