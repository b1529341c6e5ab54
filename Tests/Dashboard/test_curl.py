"""Every request of Docs/openapi.json, asked with curl as Docs/ADMIN.md writes it, of a daemon that holds state."""

from __future__ import annotations

import json
import shutil
import subprocess
import unittest
from pathlib import Path
from typing import Any

from sample import Daemon, fill, larderd

OPENAPI = Path(__file__).resolve().parents[2] / "Docs/openapi.json"
#: Seconds that curl may take; a stream is cut off after one.
SECONDS = 60

#: What a verb's body says. Those that are not named here have none.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/sessions/{session}/fork"): {"offset_tokens": 0, "name": "by curl"},
    ("POST", "/v1/sessions/{session}/truncate"): {"offset_tokens": 1 << 20},
    ("POST", "/v1/sessions/{session}/evict"): {"from_tokens": 1 << 20},
    ("POST", "/v1/sessions/{session}/retain"): {"seconds": 5},
    ("POST", "/v1/sessions/{session}/pin"): {"seconds": 1},
    ("POST", "/v1/sessions/{session}/demote"): {},
    ("POST", "/v1/sessions/{session}/prefetch"): {},
    ("PUT", "/v1/sessions/{session}/ttl"): {"ttl_seconds": 3600},
    ("POST", "/v1/namespaces/{namespace}/policy"): {"ttl_seconds": 86400},
    ("PUT", "/v1/models/{model}/prefill_rate"): {"tokens_per_second": 1000},
    ("PUT", "/v1/cap"): {"cap_bytes": 1 << 30},
    ("POST", "/v1/verify"): {},
    ("POST", "/v1/compact"): {},
    ("PUT", "/v1/log_level"): {"level": "info"},
    ("PUT", "/v1/drain"): {"draining": False},
}
#: Asked last: what it is about is gone afterwards.
LAST = ("DELETE", "/v1/sessions/{session}")


class CurlTest(unittest.TestCase):
    daemon: Daemon

    @classmethod
    def setUpClass(cls) -> None:
        built = larderd()
        if shutil.which("curl") is None:
            raise unittest.SkipTest("no curl (Debian: apt-get install curl)")
        if built is None:
            raise unittest.SkipTest("no larderd: set LARDER_LARDERD or build it (swift build -c release)")
        cls.daemon = Daemon(built)
        cls.addClassCleanup(cls.daemon.close)
        cls.daemon.start()
        fill(cls.daemon)

    def curl(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
        """The status and the body of an answer. A stream is left after a second."""
        is_stream = path == "/v1/events"
        command = ["curl", "-sS", "--unix-socket", str(self.daemon.admin), "-X", method, "-w", "\n%{http_code}"]
        command += ["-H", "Content-Type: application/json"]
        command += ["--max-time", "1" if is_stream else str(SECONDS), f"http://localhost{path}"]
        if body is not None:
            command += ["-d", json.dumps(body)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # 28: the time was over, which ends a stream.
        self.assertEqual(done.returncode, 28 if is_stream else 0, done.stderr)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    def test_every_request(self) -> None:
        described = json.loads(OPENAPI.read_text())["paths"]
        requests = [
            (method.upper(), path, list(operation["responses"]))
            for path, methods in described.items()
            for method, operation in methods.items()
            if method != "parameters"
        ]
        requests.sort(key=lambda request: request[:2] == LAST)
        self.assertIn(LAST, [request[:2] for request in requests])
        self.assertLessEqual(BODIES.keys(), {request[:2] for request in requests}, "a body of no request")
        backup = Path(self.daemon.directory) / "backup"
        session = json.loads(self.curl("GET", "/v1/sessions")[1])["sessions"][0]
        model = json.loads(self.curl("GET", "/v1/models")[1])["models"][0]
        namespaces = json.loads(self.curl("GET", "/v1/namespaces")[1])["namespaces"]
        namespace = next(one for one in namespaces if one["name"] == session["namespace"])
        names = {
            "{session}": str(session["id"]),
            "{namespace}": str(namespace["id"]),
            "{model}": str(model["id"]),
            "{file}": "dashboard.css",
        }
        for method, template, statuses in requests:
            body = BODIES.get((method, template))
            if template == "/v1/backup":
                body = {"directory": str(backup)}
            if "{job}" in template:
                # A job that is there: the last that was begun.
                self.curl("POST", "/v1/verify", {})
                names["{job}"] = str(json.loads(self.curl("GET", "/v1/jobs")[1])["jobs"][0]["id"])
            path = template
            for name, value in names.items():
                path = path.replace(name, value)
            with self.subTest(f"{method} {template}"):
                self.assertNotIn("{", path)
                status, text = self.curl(method, path, body)
                self.assertEqual(str(status), statuses[0], text[:300])


if __name__ == "__main__":
    unittest.main()
