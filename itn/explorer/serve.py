"""The page of an explorer, served on this machine until it is interrupted."""

import contextlib
import ipaddress
import os
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from importlib.util import find_spec
from typing import Any

from torch import nn

from itn.explorer.explorer import Explorer, Run
from itn.explorer.page import POLICY, page_blocks, text_file
from itn.explorer.requests import PageRequests
from itn.models.canvases import SurroundSetting
from itn.nn import Parts
from itn.runtime.errors import Interrupted, RunError
from itn.transforms import Transform

HOST = "127.0.0.1"
PORT = 7860
PORTS = 100  # that are tried from there on
SHUTDOWN = 1  # seconds that open connections are given at the end
WAKES = 0.2  # seconds after which Ctrl-C is noticed on systems where it does not interrupt waiting

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def explore(
    classifier: nn.Module,
    run: Run | None = None,
    transforms: Sequence[str | Transform] | None = None,
    *,
    padding: str | None = None,
    surround: SurroundSetting = "auto",
    background: str | None = None,
    size: int | None = None,
    seed: int = 0,
    accept: Sequence[str] = (),
    label: int | None = None,
    transformers: Parts | None = None,
    host: str = HOST,
    port: int | None = None,
    browser: bool = False,
    wording: Callable[[str], str] = str,
) -> None:
    """Serve a page on which one photograph is moved by sliders, and the classifier answers, until Ctrl-C.

    The photograph stays in memory. Nothing is written, and nothing is asked of any other machine.

    Args:
        classifier: The classifier under study; its device does the work.
        run: A run of ``itn.learn`` for it, its folder or its result: adds sliders for k1 and k2. None: only
            the transformations of the table.
        transforms: Names of ``itn.TRANSFORMS``, or transformations; None: all that are registered.
        padding: What lies outside the frame, or the photograph: zeros, border or reflection; None: what the
            family was learned with, otherwise zeros.
        surround: What is looked at around the crop, as in ``itn.load_images``.
        background: Color that is seen through transparent pixels; None: the one that is stored beneath.
        size: For a classifier without preprocessing, pixels to resize the shorter side of photographs to, and
            to crop; None: images are taken as they are.
        seed: Seed of the noise.
        accept: Checks of the preflight that do not refuse a photograph.
        label: Whose family, if the run has learned one for each class.
        transformers: Transformers of your own, by name, as the run was given them.
        host: Address to listen at; any but that of this machine itself lets others use the page.
        port: Its port; None: the first free one from 7860 on.
        browser: Whether to open the page in a browser.
        wording: From a message of the package to the one that is shown on the page.

    Raises:
        ValueError: If Gradio is not installed, a setting is out of its range, the run cannot be read, or the
            port is taken.
        Interrupted: At the end.

    Example:
        >>> itn.explore(itn.load_classifier("efficientnet-lite0"))
    """
    require_gradio()
    explorer = Explorer(
        classifier,
        run,
        transforms,
        padding=padding,
        surround=surround,
        background=background,
        size=size,
        seed=seed,
        accept=accept,
        label=label,
        transformers=transformers,
    )
    with contextlib.closing(listening(host, port)) as listener, _gradio_at_home():
        serve(PageRequests(explorer, wording), listener, browser)


def require_gradio() -> None:
    """Raise ValueError unless Gradio is installed."""
    if find_spec("gradio") is None:
        raise ValueError('exploring needs Gradio: pip install "itn[explore]"')


def listening(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ValueError: If there is no such address here, or the port is taken.
    """
    if port is not None and not 0 <= port <= 65535:
        raise ValueError(f"port must be a number from 0, any free one, to 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise ValueError(f"there is no address {host!r} here: leave out the host, which is {HOST}") from None
    reason = ""
    for candidate in range(PORT, PORT + PORTS) if port is None else (port,):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address[0], candidate, *address[2:]))
            listener.listen()
        except OSError as error:
            listener.close()
            reason = error.strerror or str(error)
        else:
            return listener
    where = f"ports {PORT} to {PORT + PORTS - 1}" if port is None else f"port {port}"
    raise ValueError(f"cannot listen at {host}, {where} ({reason}): give another port, or 0 for any free one")


def serve(requests: PageRequests, listener: socket.socket, browser: bool) -> None:
    """Serve a page at a socket until Ctrl-C."""
    # An extra, and slow to import
    import gradio  # noqa: PLC0415
    import uvicorn  # noqa: PLC0415
    from fastapi import FastAPI  # noqa: PLC0415

    host, port = listener.getsockname()[:2]
    here = ipaddress.ip_address(host).is_loopback
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/"
    system = gradio.themes.Font("system-ui"), gradio.themes.Font("sans-serif")
    application = gradio.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page_blocks(requests),
        path="/",
        server_name=host,
        server_port=port,
        footer_links=[],
        run_history=False,
        root_path="",
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gradio.themes.Base(font=system, font_mono=gradio.themes.Font("monospace")),
        head=f"<style>{text_file('page.css')}</style>",  # as css Gradio would lose what is for dark screens
    )
    names = {shown, "localhost"} if here else None
    config = uvicorn.Config(
        guarded(application, names),
        log_level="critical",
        access_log=False,
        timeout_graceful_shutdown=SHUTDOWN,
    )
    print(f"open {address} in a browser; Ctrl-C ends it", flush=True)
    if not here:
        print("others who can reach this address can use the page, and see what it answers", flush=True)
    if browser:
        webbrowser.open(address)
    server = uvicorn.Server(config)
    # In a thread, since in a notebook this one has an event loop already
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        while thread.is_alive():
            thread.join(WAKES)
    server.should_exit = True
    thread.join()
    if not server.started:
        raise RunError("the page could not be served: try another port")
    raise Interrupted("ended; no photograph was kept")


def guarded(application: Application, names: set[str] | None) -> Application:
    """Return an application that sends the policy along, and takes no files.

    Args:
        application: What is to be guarded.
        names: The names of this server that a browser may have asked for; None: any. Another name is that of
            a page elsewhere, which had it lead here.
    """

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        asked = headers.get(b"host", b"").decode("latin-1").rpartition(":")[0]
        if names is not None and asked not in names:
            await _refuse(send, 421)
        elif "/upload" in scope["path"]:  # Gradio would write what is sent there to a disk
            await _refuse(send, 403)
        else:
            await application(scope, receive, _with_policy(send))

    return guard


def _with_policy(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [
                (b"content-security-policy", POLICY.encode()),
                (b"referrer-policy", b"no-referrer"),
                (b"cache-control", b"no-store"),
            ]
            kept = [(key, value) for key, value in message["headers"] if key.lower() != b"cache-control"]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return send_with


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextlib.contextmanager
def _gradio_at_home() -> Iterator[None]:
    """Let Gradio write into a folder of its own, removed at the end, and report nothing to anyone."""
    with tempfile.TemporaryDirectory(prefix="itn-explore-") as folder:
        settings = {
            "GRADIO_TEMP_DIR": folder,
            "GRADIO_ANALYTICS_ENABLED": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
