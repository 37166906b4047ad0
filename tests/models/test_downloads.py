"""Downloads from servers on this machine: what they answer decides, not what they do not."""

import hashlib
import os
import subprocess
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from safetensors.torch import save

from itn.models.downloads import hub_file, probe

TOKEN = "hf_of_a_member"


class Server(ThreadingHTTPServer):
    """Answers each request by a method of its own."""

    def __init__(self, answer):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = answer(self.command, self.path, self.headers)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *arguments):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Start a server that answers by a function."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    servers = []

    def start(answer):
        servers.append(Server(answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1].url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_refuses_head_gives_its_files(status, serve):
    content = b"weights"

    def answer(command, path, headers):
        return (status, {}, b"") if command == "HEAD" else (200, {}, content)

    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    assert hub_file(f"{serve(answer)}/{name}", "net").read_bytes() == content


def test_a_missing_file_is_named_by_the_download(serve):
    url = serve(lambda command, path, headers: (404, {}, b"")) + "/net.pth"
    with pytest.raises(ValueError, match=r"net needs net\.pth, whose download failed \(HTTP Error 404"):
        hub_file(url, "net")


def test_a_server_that_is_not_there_is_named(serve):
    server = Server(lambda *request: (200, {}, b""))
    server.server_close()
    with pytest.raises(OSError, match="refused"):
        probe(server.url)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_weights_of_a_gated_repository_need_a_token(token, serve, tmp_path):
    """The library that downloads them sends it; nothing before it may give up."""
    torch.manual_seed(0)
    content = save(timm.create_model("test_resnet").state_dict())
    digest = hashlib.sha256(content).hexdigest()

    def answer(command, path, headers):
        if "/resolve/" not in path:
            return 404, {}, b""
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"X-Error-Code": "GatedRepo"}, b""
        return 200, {"ETag": f'"{digest}"', "X-Repo-Commit": 40 * "a"}, content

    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": serve(answer), "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_TOKEN": token} if token else {}
    code = "import itn; print(itn.load_classifier('timm:test_resnet').sha256())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if token:
        assert done.returncode == 0, done.stderr
    else:
        message = done.stderr.strip().splitlines()[-1]
        assert "timm:test_resnet needs model.safetensors of http://127.0.0.1" in message
        assert "which was denied (401 Client Error.): accept its terms there" in message
        assert "HF_TOKEN" in message


def test_a_repository_that_is_not_cached_is_asked_for_by_a_fresh_process():
    """huggingface_hub imports its modules when they are first used, and nothing has used them here."""
    code = (
        "from itn.models import downloads\n"
        "def probe(url): raise OSError('no network')\n"
        "downloads.probe = probe\n"
        "downloads.hugging_face_file('itn/nothing', 'config.json', 'mine', 'FOLDER')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "mine needs config.json of https://huggingface.co/itn/nothing" in done.stderr.splitlines()[-1]
