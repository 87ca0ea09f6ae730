"""A webhook receiver on a free loopback port, and endpoints and messages in the database."""

from __future__ import annotations

import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.content import MasterSecretBox
from custodes.db import Database
from custodes.db.tables import incident
from policies.hooks.endpoint_store import Endpoint, insert_endpoint
from policies.hooks.secrets import seal_secrets
from policies.hooks.signing import generate_secret
from policies.hooks.store import OutboxMessage, insert_message


@dataclass
class Received:
    """One request a receiver got."""

    headers: dict[str, str]
    body: bytes
    path: str


@dataclass
class Receiver:
    """A small HTTP server that answers from a list (the last answer repeats) and keeps what it got."""

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(204, {}, b"")])
    requests: list[Received] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver that answers 204 until told otherwise."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.requests.append(Received({k.lower(): v for k, v in self.headers.items()}, body, self.path))
            status, headers, answer = state.answers[min(len(state.requests), len(state.answers)) - 1]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext, list[str | None]]:
    """Contexts of a server called hooks.example and of a client that trusts it, and the names the client asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    asked: list[str | None] = []
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem + secret)
        file.flush()
        server_context.load_cert_chain(file.name)
    server_context.sni_callback = lambda _, name, __: asked.append(name)
    return server_context, ssl.create_default_context(cadata=pem.decode()), asked


@pytest.fixture
def add_endpoint(database: Database, secret_box: MasterSecretBox) -> Callable[..., Endpoint]:
    """Return a function that stores an endpoint."""

    def add(name: str = "oncall", url: str = "https://hooks.example/x") -> Endpoint:
        sealed = seal_secrets(secret_box, "default", name, {"signing": generate_secret()})
        made = Endpoint("default", name, url, sealed, "active", 0)
        with database.write() as tx:
            insert_endpoint(tx, made)
        return made

    return add


@pytest.fixture
def add_incident(database: Database) -> Callable[[str], str]:
    """Return a function that stores an incident and returns its id."""

    def add(name: str) -> str:
        # A policy has one open incident a group.
        place = f'{{"service":"{name}"}}'
        names = {"id": name, "project_id": "default", "policy_id": "p", "version": "v", "group_key": place}
        said = {"severity": "high", "state": "new", "title": "t", "summary": "s", "opened_ns": 0, "updated_ns": 0}
        with database.write() as tx:
            tx.execute(incident.insert().values(**names, **said))
        return name

    return add


@pytest.fixture
def add_message(database: Database) -> Callable[..., OutboxMessage]:
    """Return a function that queues a message."""

    def add(
        name: str = "msg_1", *, endpoint: str = "oncall", at_ns: int = 0, incident: str | None = None
    ) -> OutboxMessage:
        made = OutboxMessage(
            name,
            "default",
            endpoint,
            "incident.opened",
            incident,
            b'{"type":"incident.opened"}',
            "pending",
            0,
            at_ns,
            at_ns,
        )
        with database.write() as tx:
            insert_message(tx, made)
        return made

    return add
