"""One message to an SMTP server, under the rules that webhooks follow for where they may go.

The host is resolved once, every address is checked, and the connection goes to an address that passed; TLS still sees
the host name. The deadline covers the whole attempt: at its end the socket is shut, whatever the server drips.
"""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from policies.errors import EndpointError, UnresolvedError
from policies.hooks.address import AddressRules, Resolver, check_address, resolve_host, system_resolver
from policies.hooks.channels import MailCall
from policies.hooks.webhook import Delivered, Outcome, Rejected, RetryLater

ACCEPTED = 250
_PORTS = {"smtp": 587, "smtps": 465}
_OUR_NAME = "[127.0.0.1]"
"""What we call ourselves in EHLO (RFC 5321, 4.1.3): the name of this machine is nobody's business."""


class MailSender:
    """Sends single messages. Stateless between them and safe to share between threads."""

    def __init__(
        self,
        rules: AddressRules,
        *,
        timeout_s: float = 20.0,
        resolver: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._timeout_s = timeout_s
        self._resolver = resolver
        self._ssl_context = ssl_context or ssl.create_default_context()

    def send(self, call: MailCall) -> Outcome:
        """Return the outcome of one attempt; never raises for anything the server does.

        Delivered means that the server has taken the message for at least one recipient.
        """
        parts = urlsplit(call.url)
        is_plain = parts.scheme == "smtp" and not call.starttls
        try:
            check_address(call.url, mail=True)
            if is_plain and (call.password or not self._rules.allow_http):
                raise EndpointError(
                    "mail without TLS is switched off; use smtps:// or STARTTLS, or set "
                    "CUSTODES_WEBHOOK__ALLOW_HTTP=true and send no password"
                )
            host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
            addresses = resolve_host(host, port, self._rules, self._resolver)
        except EndpointError as error:
            return Rejected(str(error))
        except UnresolvedError as error:
            return RetryLater(str(error))
        context = self._ssl_context if parts.scheme == "smtps" else None
        client = _PinnedClient(addresses, self._timeout_s, context)
        late = threading.Event()

        def end() -> None:
            late.set()
            client.abort()

        watch = threading.Timer(self._timeout_s, end)
        watch.daemon = True
        watch.start()
        try:
            return self._converse(client, call, host, port)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            return RetryLater(f"no complete answer within {self._timeout_s:g} s") if late.is_set() else _judge(error)
        finally:
            watch.cancel()
            client.close()

    def _converse(self, client: _PinnedClient, call: MailCall, host: str, port: int) -> Outcome:
        client.open(host, port)
        if call.starttls:
            client.starttls(context=self._ssl_context)
        if call.username or call.password:
            client.login(call.username, call.password)
        refused = client.sendmail(call.sender, call.recipients, call.message)
        with suppress(smtplib.SMTPException, OSError):
            client.quit()
        return Delivered(ACCEPTED, f"{len(refused)} of {len(call.recipients)} recipients refused" if refused else "")


class _PinnedClient(smtplib.SMTP):
    """A client that connects to addresses that were checked, and can be cut off by another thread."""

    def __init__(self, addresses: Sequence[str], timeout_s: float, context: ssl.SSLContext | None) -> None:
        self._addresses = tuple(addresses)
        self._tls = context
        super().__init__(local_hostname=_OUR_NAME, timeout=timeout_s)

    def open(self, host: str, port: int) -> None:
        """Connect and read the greeting; raise ``smtplib.SMTPConnectError`` for another one than 220."""
        self._host = host  # What STARTTLS compares the certificate with.
        code, _ = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, b"")

    def abort(self) -> None:
        """Shut the connection under whoever waits for it."""
        sock = self.sock
        if sock is not None:
            with suppress(OSError):
                # Of the class below: that of TLS would begin a conversation first.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        problem: OSError = OSError(f"no address to connect to for {host!r}")
        for address in self._addresses:
            try:
                plain = socket.create_connection((address, port), timeout)
            except OSError as error:
                problem = error
                continue
            if self._tls is None:
                return plain
            self.sock = plain
            try:
                return self._tls.wrap_socket(plain, server_hostname=host)
            except OSError:
                plain.close()
                raise
        raise problem


def _judge(error: Exception) -> Outcome:
    """Return what an error means, naming the answer's number and never its words."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return RetryLater("the mail server refused every recipient", codes[0] if codes else None)
    if isinstance(error, smtplib.SMTPResponseException):
        return RetryLater(f"the mail server answered {error.smtp_code}", error.smtp_code)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return RetryLater("the mail server offers no STARTTLS or no way to log in")
    return RetryLater(f"the connection failed: {type(error).__name__}")
