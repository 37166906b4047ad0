"""Addresses that a page is served at, and what is refused before anything is served."""

import asyncio
import sys

import pytest

import itn
from itn.explorer.serve import POLICY, guarded, listening


def test_a_port_that_is_taken_is_refused():
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            ValueError, match=f"cannot listen at 127.0.0.1, port {port} .*: give another port"
        ):
            listening("127.0.0.1", port)


def test_without_a_port_the_first_free_one_is_taken(monkeypatch):
    with listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        monkeypatch.setattr("itn.explorer.serve.PORT", port)
        with listening("127.0.0.1", None) as second:
            assert second.getsockname()[1] > port
            monkeypatch.setattr("itn.explorer.serve.PORTS", 1)
            with pytest.raises(ValueError, match=f"ports {port} to {port}"):
                listening("127.0.0.1", None)


def test_addresses_that_are_not_here_are_refused():
    with pytest.raises(ValueError, match="port must be a number from 0"):
        listening("127.0.0.1", 65536)
    with pytest.raises(ValueError, match="there is no address 'no such host' here"):
        listening("no such host", 0)
    with pytest.raises(ValueError, match=r"cannot listen at 192\.0\.2\.1"):  # reserved for documentation
        listening("192.0.2.1", 0)


def test_without_gradio_one_line_says_what_to_install(monkeypatch, capsys, colors):
    monkeypatch.setattr("itn.explorer.serve.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "itn\[explore\]"'):
        itn.explore(colors)
    from itn.cli.main import main  # noqa: PLC0415

    monkeypatch.setattr("itn.cli.explore.load_classifier", lambda *_: pytest.fail("loaded a model"))
    assert main(["explore"]) == 2
    assert capsys.readouterr().err == 'itn: exploring needs Gradio: pip install "itn[explore]"\n'


def asked(path, host, names):
    """What a guarded application that greets answers: status, headers, body."""
    said = []

    async def application(scope, receive, send):
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=9")]}
        )
        await send({"type": "http.response.body", "body": b"hello"})

    async def send(message):
        said.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"host", host.encode())]}
    asyncio.run(guarded(application, names)(scope, None, send))
    return said[0]["status"], dict(said[0]["headers"]), said[1]["body"]


def test_the_guard_lets_through_only_what_the_page_asks_for():
    names = {"127.0.0.1", "localhost"}
    status, headers, body = asked("/", "127.0.0.1:7860", names)
    assert (status, body) == (200, b"hello")
    assert headers[b"content-security-policy"] == POLICY.encode()
    assert headers[b"cache-control"] == b"no-store"
    assert asked("/", "localhost:7860", names)[0] == 200
    assert asked("/", "elsewhere.example:7860", names)[::2] == (421, b"")
    assert asked("/", "elsewhere.example:7860", None)[0] == 200
    assert asked("/gradio_api/upload", "127.0.0.1:7860", names)[::2] == (403, b"")


def test_the_policy_names_no_other_host():
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert "default-src 'self'" in POLICY


def test_a_page_is_imported_without_gradio():
    assert itn.explore is sys.modules["itn.explorer.serve"].explore
