"""The scheduled job that carries actions out: one process leads, and what it may use is put together here."""

from __future__ import annotations

from custodes.db import Database
from custodes.db.leases import acquire_lease, check_lease
from custodes.kernel.clock import SECOND_NS, Clock
from custodes.kernel.logs import fields, get_logger
from custodes.kernel.metrics import Metrics
from custodes.kernel.settings import Settings
from custodes.runtime.tasks import make_sender
from custodes.runtime.verification import measure_signal
from policies.actions.action import Action
from policies.actions.adapters import Adapter
from policies.actions.connections import make_adapters, may_use, read_connections
from policies.actions.gates import action_rules_of
from policies.actions.webhook import PeopleAdapter, WebhookAdapter
from policies.actions.work import ActionWorker, Tools
from policies.audit.log import AuditLog
from policies.hooks.address import AddressRules
from policies.hooks.endpoint_store import Endpoint, find_endpoint
from policies.hooks.secrets import SecretBox

log = get_logger("actions")
LEASE = "actions"
_CALLS_IN_A_STEP = 4
"""Most calls one step of an adapter makes, each at most ``timeout_s`` long."""


class CarryOutActions:
    """Moves actions on, if this process leads.

    The lease ``actions`` is held by one process; its token is checked inside each commit, so that a leader that was
    paused and lost the lease writes nothing.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        box: SecretBox,
        audit: AuditLog,
        clock: Clock,
        metrics: Metrics,
        owner: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._metrics = metrics
        self._owner = owner
        call_s = _CALLS_IN_A_STEP * max(settings.action.timeout_s, settings.webhook.timeout_s)
        self._ttl_ns = int((call_s + 30) * SECOND_NS)
        tools = Tools(
            find_adapter=AdapterTable(database, settings, box, clock).find,
            measure=measure_signal,
            confirm=lambda intake_id: _flush(audit, intake_id),
            rules=action_rules_of(settings),
            console_url=settings.console_url,
            alpha=settings.action.verify_alpha,
            call_ns=int(call_s * SECOND_NS),
        )
        self._worker = ActionWorker(database, tools, clock)

    def run(self) -> None:
        """Move what is due, or do nothing while another process leads."""
        with self._database.write() as tx:
            held = acquire_lease(tx, LEASE, self._owner, now_ns=self._clock(), ttl_ns=self._ttl_ns)
        if held is None:
            return
        report = self._worker.run(lambda tx: check_lease(tx, held))
        for state, n in report.steps.items():
            self._metrics.actions.labels(state=state).inc(n)
        for problem in report.problems:
            log.warning("an action could not go on", extra=fields(problem=problem))


class AdapterTable:
    """Every adapter this installation has, by connection."""

    def __init__(self, database: Database, settings: Settings, box: SecretBox, clock: Clock) -> None:
        self._database = database
        action = settings.action
        rules = AddressRules.of(action.allowed_private_cidrs, allow_http=action.allow_http)
        self._connections = read_connections(action.connections_file)
        self._adapters: dict[str, Adapter] = make_adapters(self._connections, rules, action.timeout_s)
        self._webhook = WebhookAdapter(self._find_endpoint, make_sender(settings.webhook, box), clock, settings.api_url)
        self._people = PeopleAdapter()

    def find(self, action: Action) -> Adapter | None:
        """Return what carries an action out; ``None`` where its project has no such connection."""
        if action.adapter == "webhook":
            return self._webhook
        if action.adapter == "people":
            return self._people
        name = action.target.get("connection", action.adapter)
        usable = may_use(self._connections.get(name), action.adapter, action.project_id)
        return self._adapters[name] if usable else None

    def _find_endpoint(self, project_id: str, name: str) -> Endpoint | None:
        with self._database.read() as tx:
            return find_endpoint(tx, project_id, name)


def _flush(audit: AuditLog, intake_id: int) -> None:
    audit.flush_until(intake_id)
