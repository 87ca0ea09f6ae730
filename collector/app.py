"""The HTTP server as one value: OTLP, REST, health and metrics on one port.

``build_app`` keeps nothing outside the application it returns and starts nothing; the composition root starts and
stops what the services need.
"""

from __future__ import annotations

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig

from collector.auth import Authenticator
from collector.boundary import RequestBoundary
from collector.otlp_routes import OTLP_PATHS, otlp_routes
from collector.rest import (
    actions,
    approvals,
    audit,
    datasets,
    drift,
    endpoints,
    exchanges,
    fairness,
    feedback,
    gates,
    health,
    incidents,
    keys,
    ledger,
    me,
    metrics,
    models,
    overview,
    policies,
    prices,
    projects,
    reviews,
    silences,
    subjects,
    traces,
)
from collector.rest.problems import install_problem_handlers
from collector.services import Services
from custodes import __version__
from custodes.kernel.settings import MIB

API_PREFIX = "/api/v1"
MAX_REST_BODY_BYTES = MIB

# A receiver of traces that traced its own requests would feed itself.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

RESOURCES = (
    me,
    overview,
    traces,
    exchanges,
    fairness,
    drift,
    feedback,
    incidents,
    policies,
    approvals,
    silences,
    subjects,
    actions,
    gates,
    reviews,
    datasets,
    endpoints,
    keys,
    projects,
    prices,
    models,
    ledger,
    metrics,
    audit,
)
"""Every module of ``collector.rest`` that holds routes below ``/api/v1``."""


def build_app(services: Services, authenticator: Authenticator | None = None) -> FastAPI:
    """Return the application that serves ``services``; it may be built any number of times in one process.

    ``authenticator`` is shared with other listeners of the process, so that a key revoked here is refused there at
    once; without one the application makes its own.
    """
    app = FastAPI(
        title="Custodes",
        version=__version__,
        openapi_url=f"{API_PREFIX}/openapi.json",
        # The interactive pages load scripts from a content network; Custodes works where there is none.
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.authenticator = authenticator or Authenticator(services.db, services.clock, dev=services.settings.dev)
    app.router.routes.extend(otlp_routes(services))
    app.include_router(health.router)
    api = APIRouter(prefix=API_PREFIX)
    for resource in RESOURCES:
        api.include_router(resource.router)
    app.include_router(api)
    install_problem_handlers(app)
    ingest = services.settings.ingest
    app.add_middleware(
        RequestBoundary,
        metrics=services.metrics,
        limit=MAX_REST_BODY_BYTES,
        otlp_limit=ingest.max_body_bytes,
        otlp_paths=OTLP_PATHS,
        timeout_s=ingest.body_timeout_s,
    )
    return app


__all__ = ["API_PREFIX", "Services", "build_app"]
