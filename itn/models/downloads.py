"""Files of weights from the network, with errors that say which file to put where."""

import contextlib
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import huggingface_hub as hub
import torch
from huggingface_hub import errors

from itn.runtime.errors import first_line


def probe(url: str) -> None:
    """Raise an OSError within seconds if the server of a URL cannot be reached.

    Without this, downloads wait for minutes where packets are dropped, or try five times. Any answer will do:
    what is wrong with the file, or who may have it, is for the download to say.
    """
    # Not HEAD, which some servers refuse
    request = Request(url, headers={"User-Agent": "itn", "Range": "bytes=0-0"})
    try:
        urlopen(request, timeout=10).close()
    except HTTPError as answer:
        answer.close()


def hub_file(url: str, model: str) -> Path:
    """Return the path of a URL's file in torch's cache, downloaded if it is missing.

    Raises:
        ValueError: If it cannot be downloaded; the message has the cause, the URL and the path to put it at.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    digest = torch.hub.HASH_REGEX.search(path.name)
    try:
        probe(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest and digest[1], sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # RuntimeError: its hash is not the one in its name
        raise ValueError(
            f"{model} needs {path.name}, whose download failed ({first_line(error)}): "
            f"put {url} at {path}, or give the file with weights=FILE"
        ) from None
    return path


def hugging_face_file(repository: str, file: str, model: str, cure: str) -> Path:
    """Return the path of a repository's file in the cache of Hugging Face, downloaded if it is missing.

    Args:
        repository: OWNER/NAME, or OWNER/NAME@REVISION.
        file: Its name there.
        model: Who needs it, for the error.
        cure: What to do with it where it can be had, for the error.

    Raises:
        ValueError: If it cannot be downloaded; the message has the cause and how to get it.
    """
    name, _, revision = repository.partition("@")
    with contextlib.suppress(errors.LocalEntryNotFoundError, errors.HFValidationError):
        return Path(hub.hf_hub_download(name, file, revision=revision or None, local_files_only=True))
    try:
        probe(hub.hf_hub_url(name, file))
        return Path(hub.hf_hub_download(name, file, revision=revision or None))
    except Exception as error:  # of three libraries, without a common base
        needs = f"{model} needs {file} of {hub.constants.ENDPOINT}/{name}"
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise ValueError(
                f"{needs}, which was denied ({first_line(error)}): accept its terms there, and log in with "
                "hf auth login, or set HF_TOKEN"
            ) from None
        raise ValueError(
            f"{needs}, whose download failed ({first_line(error)}): get it where there is a network, with: "
            f"hf download {name} {cure}"
        ) from None
