"""Loading the configured detector profile into a process of its own. Only workers and ``custodes score`` do that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

from custodes.kernel.errors import ConfigurationError, CustodesError, UnavailableError
from custodes.kernel.settings import ModelsSettings, Settings, child_environment
from custodes.runtime.scoring import ScoringProfile
from detectors.devices import find_devices
from detectors.errors import DetectorError, MissingBundleError, ScoringProcessError
from detectors.full.escalation import Escalation
from detectors.full.options import FullOptions, find_missing
from detectors.isolation import IsolatedProfile, Loader
from detectors.model import DetectorIdentity, Exchange, ExchangeScores

# What keeps the libraries of the model hub from any attempt to reach it; read when they are imported.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class ScoringProcess:
    """A profile in a process of its own, with errors as the worker knows them."""

    def __init__(self, profile: IsolatedProfile) -> None:
        self._profile = profile

    @property
    def name(self) -> str:
        """The profile's name."""
        return self._profile.name

    @property
    def device(self) -> str:
        """What computes, in words."""
        return self._profile.device

    def identities(self) -> tuple[DetectorIdentity, ...]:
        """Return who scores here."""
        return self._profile.identities()

    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that every exchange is answered for."""
        return self._profile.metrics()

    def warm_up(self) -> None:
        """Nothing: the process warmed up before it said that it was ready."""

    def score(self, exchanges: Sequence[Exchange]) -> list[ExchangeScores]:
        """Return one answer per exchange, in order.

        Raises ``UnavailableError`` if the process cannot be started again, and ``CustodesError`` if scoring these
        exchanges fails as a whole.
        """
        try:
            return self._profile.score(exchanges)
        except ScoringProcessError as error:
            raise UnavailableError(str(error)) from error
        except DetectorError as error:
            raise CustodesError(str(error)) from error

    def close(self) -> None:
        """End the process."""
        self._profile.close()


def find_configured_devices(settings: Settings) -> tuple[str, ...]:
    """Return the devices to score on; raise ``ConfigurationError`` for one that isn't there, or without torch."""
    check_packages_installed(settings.models.profile)
    try:
        return find_devices(settings.models.device)
    except DetectorError as error:
        raise ConfigurationError(f"CUSTODES_MODELS__DEVICE: {error}") from error


def load_configured_profile(
    settings: Settings, *, profile: str | None = None, device: str | None = None, of_devices: int = 1
) -> ScoringProfile:
    """Start a process with the profile of the settings (or ``profile``) on ``device``, by default the first there is.

    ``of_devices`` is how many such processes share this machine's cores. Raises ``ConfigurationError`` saying what to
    install, to import or to change, and ``UnavailableError`` if the process ends while it loads.
    """
    models = settings.models
    check_packages_installed(profile or models.profile)
    chosen = find_configured_devices(settings)[0] if device is None else device
    loader = Loader(
        "detectors.profile:load_profile",
        {
            "name": profile or models.profile,
            "models_dir": settings.models_dir,
            "device": chosen,
            "threads": models.threads or None,
            "offline": models.offline,
            "without": models.without,
            "full": full_options(models),
            "plugins": models.plugins,
        },
    )
    try:
        isolated = IsolatedProfile(
            loader,
            limit_s=settings.worker.detector_timeout_s,
            offline=models.offline,
            environment=child_environment(_child_variables(settings, of_devices)),
        )
    except ScoringProcessError as error:
        raise UnavailableError(str(error)) from error
    except DetectorError as error:
        raise ConfigurationError(str(error)) from error
    return ScoringProcess(isolated)


def full_options(settings: ModelsSettings) -> FullOptions:
    """Return what the settings say about the full profile."""
    return FullOptions(
        toxicity=settings.toxicity,
        grounding=settings.grounding,
        claims=settings.claims or None,
        encoder=settings.encoder or None,
        escalation=Escalation(settings.claims_threshold, settings.claims_rate),
        checkpoint_loader=settings.checkpoint_loader,
    )


def check_bundles_present(settings: Settings) -> None:
    """Raise ``ConfigurationError`` naming every bundle the configured profile lacks and the commands that bring them.

    Needs no torch and reads no model file.
    """
    if settings.models.profile != "full":
        return
    try:
        missing = find_missing(settings.models_dir, full_options(settings.models).bundles())
        if missing:
            raise MissingBundleError(missing, settings.models_dir)
    except DetectorError as error:
        raise ConfigurationError(str(error)) from error


def check_packages_installed(profile: str) -> None:
    """Raise ``ConfigurationError`` unless the packages that scoring with ``profile`` needs are installed."""
    missing = [name for name in ("torch", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"scoring needs {', '.join(missing)}: pip install 'custodes[detectors]'; serving does not"
        )
    if profile == "full" and find_spec("transformers") is None:
        raise ConfigurationError("the full profile needs transformers: pip install 'custodes[full]'")


def _child_variables(settings: Settings, of_devices: int) -> dict[str, str]:
    variables = dict(_OFFLINE) if settings.models.offline else {}
    if of_devices > 1:
        # The tokenizer takes every core there is; several processes would take them from each other.
        variables["RAYON_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // of_devices))
    return variables
