"""The examples of notify.command, run as the service runs them, against a real HTTP server."""

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aod.incidents.notices import Notice
from aod.incidents.notify import Notify
from aod.processes.children import Children
from tests.children import Witness
from tests.conftest import Logged

EXAMPLES = Path(__file__).parents[2] / "examples/notify"
EVIL = "//nas/a\nBcc: all@example.org\n$(touch /tmp/x)"


class Server(ThreadingHTTPServer):
    """Keeps what it is sent; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 201
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, headers, body))
        self.send_response(self.server.status)
        self.end_headers()

    do_POST = do_PUT = answer  # noqa: N815 - the names of http.server

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def notice(bundle: Path | str = "", outcome: Any = "sealed") -> Notice:
    return Notice(outcome, str(bundle), "", "host-1", "now", f"3 operations on {EVIL} slow.", ())


async def tell(tmp_path: Path, name: str, told_of: Notice, *arguments: str) -> dict[str, Any]:
    """Run an example as the service does, and return what the audit has of it."""
    program = tmp_path / name
    await asyncio.to_thread(shutil.copy, EXAMPLES / name, program)
    program.chmod(0o755)
    told: asyncio.Future[dict[str, Any]] = asyncio.Future()

    class Audit(Witness):
        def record(self, event: str, /, **facts: Any) -> None:
            super().record(event, **facts)
            told.set_result(self.records[-1])

    audit = Audit()
    notify = Notify([str(program), *arguments], Children(audit, audit), audit)
    notify.send(told_of)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(notify.run())
        await told
        notify.close()
    return told.result()


def url_file(tmp_path: Path, url: str) -> str:
    path = tmp_path / "url"
    path.write_text(f"{url}\n")
    return str(path)


async def test_the_webhook_posts_the_notice(tmp_path: Path, server: Server) -> None:
    file = url_file(tmp_path, f"{server.url}/hook?token=1")

    done = await tell(tmp_path, "webhook.py", notice("/b"), "--url-file", file)

    ((method, path, headers, body),) = server.requests
    assert (done["state"], method, path) == ("ok", "POST", "/hook?token=1")
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == json.loads(json.dumps(notice("/b").as_dict()))


async def test_the_webhook_posts_a_text_for_a_chat(tmp_path: Path, server: Server) -> None:
    file = url_file(tmp_path, server.url)

    await tell(tmp_path, "webhook.py", notice("/b"), "--url-file", file, "--text")

    assert json.loads(server.requests[0][3]) == {
        "text": f"aod on host-1: 3 operations on {EVIL} slow. (/b)"
    }


async def test_a_server_that_refuses_is_a_failure(
    tmp_path: Path, server: Server, logged: Logged
) -> None:
    server.status = 500

    done = await tell(
        tmp_path, "webhook.py", notice(), "--url-file", url_file(tmp_path, server.url)
    )

    assert (done["state"], done["exit_code"]) == ("failed", 1)
    assert logged.count("HTTP Error 500") == 1


def refusing_url() -> str:
    """Return an address that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        return f"http://127.0.0.1:{nobody.getsockname()[1]}"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("webhook.py", "notice not posted: <urlopen error [Errno 111] Connection refused>"),
        ("upload.py", "aod_0000000000000000001.tar.zst not uploaded: <urlopen error [Errno 111]"),
    ],
)
async def test_a_server_that_is_down_is_told_in_one_sentence(
    tmp_path: Path, logged: Logged, name: str, sentence: str
) -> None:
    file = url_file(tmp_path, refusing_url())

    done = await tell(tmp_path, name, notice(bundle(tmp_path)), "--url-file", file)

    assert done["exit_code"] == 1
    assert (logged.count(sentence), logged.count("Traceback")) == (1, 0)


@pytest.mark.parametrize("name", ["webhook.py", "upload.py"])
async def test_an_address_that_cannot_be_read_is_told_in_one_sentence(
    tmp_path: Path, logged: Logged, name: str
) -> None:
    nowhere = str(tmp_path / "none")

    done = await tell(tmp_path, name, notice(bundle(tmp_path)), "--url-file", nowhere)

    assert done["exit_code"] == 1
    assert (logged.count("[Errno 2] No such file"), logged.count("Traceback")) == (1, 0)


async def test_an_address_that_is_no_http_is_refused(tmp_path: Path, logged: Logged) -> None:
    file = url_file(tmp_path, "file:///etc/shadow")

    done = await tell(tmp_path, "webhook.py", notice(), "--url-file", file)

    assert done["exit_code"] == 1
    assert logged.count("holds no http address") == 1


SENDMAIL = """#!/bin/sh
printf '%s\\n' "$@" > "$0.arguments"
cat > "$0.mail"
"""


def fake(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_text(SENDMAIL)
    path.chmod(0o755)
    return path


async def test_the_mail_goes_to_sendmail_and_a_name_adds_no_header(tmp_path: Path) -> None:
    sendmail = fake(tmp_path, "sendmail")
    options = ("--to", "ops@example.org", "--sendmail", str(sendmail))

    done = await tell(tmp_path, "mail.py", notice("/b"), *options)

    head, _, body = (tmp_path / "sendmail.mail").read_text().partition("\n\n")
    assert done["state"] == "ok"
    assert (tmp_path / "sendmail.arguments").read_text().split() == [
        *("-i", "-f", "root", "--", "ops@example.org")
    ]
    assert "Subject: aod on host-1: 3 operations on //nas/a Bcc: all@example.org" in head
    assert not any(line.startswith("Bcc") for line in head.splitlines())
    assert "The bundle was sealed: /b" in body


async def test_without_a_sendmail_the_mail_is_a_failure(tmp_path: Path, logged: Logged) -> None:
    nowhere = str(tmp_path / "none")

    done = await tell(tmp_path, "mail.py", notice(), "--to", "a@b", "--sendmail", nowhere)

    assert done["state"] == "failed"
    assert logged.count("mail not sent: [Errno 2]") == 1


def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "aod_0000000000000000001.tar.zst"
    path.write_bytes(b"x" * 300_000)
    return path


async def test_the_upload_puts_the_bundle_beside_the_others(tmp_path: Path, server: Server) -> None:
    file = url_file(tmp_path, f"{server.url}/container/?sig=a%2Fb")

    done = await tell(tmp_path, "upload.py", notice(bundle(tmp_path)), "--url-file", file)

    ((method, path, headers, body),) = server.requests
    assert (done["state"], method) == ("ok", "PUT")
    assert path == "/container/aod_0000000000000000001.tar.zst?sig=a%2Fb"
    assert headers["x-ms-blob-type"] == "BlockBlob"
    assert body == b"x" * 300_000


@pytest.mark.parametrize("outcome", ["not opened", "not sealed"])
async def test_what_was_not_sealed_is_not_uploaded(
    tmp_path: Path, server: Server, outcome: str
) -> None:
    file = url_file(tmp_path, server.url)

    done = await tell(tmp_path, "upload.py", notice("/x", outcome), "--url-file", file)

    assert (done["state"], server.requests) == ("ok", [])


async def test_a_link_in_the_bundles_place_is_not_uploaded(tmp_path: Path, server: Server) -> None:
    link = tmp_path / "aod_0000000000000000002.tar.zst"
    link.symlink_to(bundle(tmp_path))
    file = url_file(tmp_path, server.url)

    done = await tell(tmp_path, "upload.py", notice(link), "--url-file", file)

    assert (done["state"], server.requests) == ("failed", [])


async def test_a_detached_upload_is_one_that_systemd_runs(tmp_path: Path, server: Server) -> None:
    systemd_run, file = fake(tmp_path, "systemd-run"), url_file(tmp_path, server.url)
    options = ("--url-file", file, "--detach", "--systemd-run", str(systemd_run))
    await tell(tmp_path, "upload.py", notice(bundle(tmp_path)), *options)

    arguments = (tmp_path / "systemd-run.arguments").read_text().splitlines()
    *_, program = arguments[: arguments.index("--") + 2]
    child = await asyncio.create_subprocess_exec(program, *arguments[arguments.index("--") + 2 :])

    assert await child.wait() == 0
    assert "--unit=aod-upload-0000000000000000001" in arguments
    assert program == str(tmp_path / "upload.py")
    assert server.requests[0][1] == "/aod_0000000000000000001.tar.zst"
