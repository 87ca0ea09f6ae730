"""E-mail: one plain text message for each event; the messages of one incident form a thread.

What a name holds can end no header, because every text is one line before it gets here and ``email`` folds and encodes
it (RFC 5322, RFC 2047). Answering machines are asked to keep quiet (RFC 3834).
"""

from __future__ import annotations

import re
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import urlsplit

from policies.errors import EndpointError
from policies.hooks.channels.channel import Channel, MailCall, Setting, Target
from policies.hooks.channels.event import Event, shorten

MOST_RECIPIENTS = 20
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,188}[A-Za-z0-9])?")
_MOST_SUBJECT = 200


def format_mail(event: Event, target: Target) -> tuple[MailCall, ...]:
    """Return one message to all recipients."""
    sender, recipients = target.options["from"], split_addresses(target.options["to"])
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Custodes <{sender}>"
    message["To"] = ", ".join(recipients)
    message["Subject"] = shorten(f"[{event.severity or 'info'}] {event.headline}: {event.title}", _MOST_SUBJECT)
    message["Date"] = datetime.fromisoformat(event.timestamp.replace("Z", "+00:00"))
    message["Message-ID"] = f"<{event.id}@{domain}>"
    if event.incident_id:
        message["References"] = f"<incident-{event.incident_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(event), charset="utf-8", cte="quoted-printable")
    return (
        MailCall(
            target.url,
            sender,
            recipients,
            message.as_bytes(),
            starttls=urlsplit(target.url).scheme == "smtp" and target.options.get("starttls") != "never",
            username=target.options.get("username", ""),
            password=target.secrets.get("password", ""),
        ),
    )


def split_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in a comma-separated text, without repetition."""
    return tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))


def _text(event: Event) -> str:
    parts = [f"{event.headline}: {event.title}", event.summary]
    parts.append("\n".join(f"{name}: {value}" for name, value in event.facts))
    parts.append(event.url)
    return "\n\n".join(part for part in parts if part) + "\n"


def _check_addresses(value: str) -> None:
    found = split_addresses(value)
    if not 1 <= len(found) <= MOST_RECIPIENTS:
        raise EndpointError(f"write 1 to {MOST_RECIPIENTS} addresses, separated by commas")
    for one in found:
        _check_one(one)


def _check_one(value: str) -> None:
    if _ADDRESS.fullmatch(value) is None:
        raise EndpointError(f"{value[:64]!r} is not a mail address such as oncall@example.org")


def _check_starttls(value: str) -> None:
    if value not in ("required", "never"):
        raise EndpointError(f"starttls is required or never, not {value[:16]!r}")


MAIL = Channel(
    "email",
    "E-mail by SMTP",
    format_mail,
    address="mail",
    settings=(
        Setting("from", "address of the sender", required=True, check=_check_one),
        Setting("to", "addresses of the recipients, separated by commas", required=True, check=_check_addresses),
        Setting("username", "for logging in to the mail server, with the secret password"),
        Setting("starttls", "required (the default) or never, for smtp:// addresses", check=_check_starttls),
        Setting("password", "for logging in to the mail server", secret=True),
    ),
)
