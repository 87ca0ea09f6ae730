"""Takes Custodes' signed orders to fine-tune, runs the trainer, and answers with a signed callback.

    python receiver.py --datasets EXPORTS --out RUNS --base MODEL --custodes http://127.0.0.1:4318 \\
        --secret-file whsec.txt --register support-bot

It trains only what it has: an order names a data set by id and hash, and the export has to lie in a folder below
EXPORTS. An order that comes twice, as they do after a failure, is trained once; what became of it is reported again.
Orders are kept in RUNS, so one that was cut off is begun again at the next start. What is behind ``--`` goes to the
trainer, e.g. ``-- --epochs 1``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 100_000
ATTEMPTS = 8


class Receiver:
    """Runs one training at a time. A folder below ``out`` holds the order, what became of it, and if that was told."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._signer = Webhook(given.secret_file.read_text().strip())
        self._turn = threading.Lock()

    def resume(self) -> None:
        """Go on with the orders that were taken and not reported on."""
        for kept in sorted(self._given.out.glob("*/order.json")):
            if not kept.with_name("told").exists():
                self._begin(json.loads(kept.read_text()))

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Return the HTTP status for a message: 401 unsigned, 204 none of ours, 400 unusable, 202 taken."""
        try:
            message = self._signer.verify(body, headers)
        except WebhookVerificationError:
            return 401
        order = message.get("data", {}) if message.get("type") == "action.dispatched" else {}
        if order.get("kind") != "finetune":
            return 204
        target, action = order.get("target", {}), str(order.get("action_id", ""))
        ours = f"{self._given.custodes.rstrip('/')}/api/v1/actions/"
        is_usable = action.replace("-", "").isalnum() and order.get("callback") == f"{ours}{action}/callback"
        if not is_usable or not target.get("dataset") or not target.get("sha256"):
            return 400
        # Kept before it is answered for: nobody sends it again once it was taken.
        out = self._given.out / action
        out.mkdir(parents=True, exist_ok=True)
        _write(out / "order.json", json.dumps(order))
        self._begin(order)
        return 202

    def _begin(self, order: dict[str, Any]) -> None:
        threading.Thread(target=self._work, args=(order, order["action_id"]), daemon=True).start()

    def _work(self, order: dict[str, Any], action: str) -> None:
        with self._turn:
            out = self._given.out / action
            said = out / "said.json"
            if not said.exists():
                try:
                    result, detail = self._train(order["target"], action, out)
                except (OSError, ValueError) as error:
                    result, detail = "failed", f"the trainer could not be run: {error}"
                _write(said, json.dumps({"action_id": action, "result": result, "detail": detail[:500]}))
            if self._report(order["callback"], said.read_bytes()):
                (out / "told").touch()

    def _train(self, target: dict[str, str], action: str, out: Path) -> tuple[str, str]:
        """Return ``done`` or ``failed``, and what there is to say about it."""
        folder = self._find(target["dataset"])
        if folder is None:
            return "failed", f"no export of data set {target['dataset']} lies here"
        command = [sys.executable, str(Path(__file__).with_name("train.py")), str(folder), "--out", str(out)]
        command += ["--base", str(self._given.base), "--custodes", self._given.custodes, "--action", action]
        command += ["--sha256", target["sha256"]]
        command += ["--register", self._given.register] if self._given.register else []
        with (out / "train.log").open("wb") as log:
            code = subprocess.run([*command, *self._given.more], stdout=log, stderr=log, check=False).returncode
        lines = (out / "train.log").read_text(errors="replace").splitlines()
        told = [line for line in lines if line.startswith(("held-out loss", "refused:"))]
        words = told[-1] if told else f"the trainer ended with {code}; see {out / 'train.log'}"
        if code == 0:
            record = json.loads((out / "training.json").read_text())
            made = record.get("registered")
            return "done", words.partition(";")[0] + (f"; {made['model']} version {made['version']}" if made else "")
        return "failed", words

    def _find(self, dataset_id: str) -> Path | None:
        for manifest in sorted(self._given.datasets.glob("*/manifest.json")):
            if json.loads(manifest.read_text()).get("id") == dataset_id:
                return manifest.parent
        return None

    def _report(self, callback: str, body: bytes) -> bool:
        """Send the callback until the server has taken it, or says that it never will; return whether it said so."""
        for attempt in range(ATTEMPTS):
            now, identifier = datetime.now(UTC), f"cb_{time.time_ns()}"
            headers = {
                "content-type": "application/json",
                "webhook-id": identifier,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": self._signer.sign(identifier, now, body.decode()),
            }
            try:
                with urllib.request.urlopen(urllib.request.Request(callback, body, headers), timeout=30):
                    return True
            except urllib.error.HTTPError as error:
                if error.code < 500 and error.code != 429:
                    print(f"the callback was refused with {error.code}", file=sys.stderr)
                    return True
            except OSError as error:
                print(f"the callback did not arrive: {error}", file=sys.stderr)
            time.sleep(2**attempt)
        return False


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def make_server(given: argparse.Namespace) -> ThreadingHTTPServer:
    """Return the server, listening on loopback, at work on what was left over."""
    receiver = Receiver(given)
    receiver.resume()

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            status = 413 if length > MAX_BODY_BYTES else receiver.take(dict(self.headers), self.rfile.read(length))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    return ThreadingHTTPServer(("127.0.0.1", given.port), Handler)


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=Path, required=True, help="folder whose folders are exports")
    parser.add_argument("--out", type=Path, required=True, help="folder for runs, one for each action")
    parser.add_argument("--base", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--custodes", required=True, metavar="URL", help="server; CUSTODES_KEY is a viewer's key")
    parser.add_argument("--secret-file", type=Path, required=True, help="the endpoint's whsec_ secret")
    parser.add_argument("--register", metavar="MODEL", help="model in the registry that MLFLOW_TRACKING_URI names")
    parser.add_argument("--port", type=int, default=9300)
    parser.add_argument("more", nargs="*", help="options of the trainer")
    server = make_server(parser.parse_args())
    print(f"listening on http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
