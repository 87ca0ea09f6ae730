"""Loading the configured detector profile. Only workers and ``custodes score`` need torch, and only when they load."""

from __future__ import annotations

from importlib.util import find_spec

from custodes.kernel.errors import ConfigurationError
from custodes.kernel.settings import ModelsSettings
from custodes.runtime.scoring import ScoringProfile
from detectors.errors import DetectorError


def load_configured_profile(settings: ModelsSettings, *, profile: str | None = None) -> ScoringProfile:
    """Return the profile of the settings (or ``profile``); raise ``ConfigurationError`` saying what to install."""
    check_torch_installed()
    # Here and not above: a process that only serves must start without torch.
    from detectors.profile import load_profile  # noqa: PLC0415

    try:
        return load_profile(
            profile or settings.profile,
            models_dir=settings.dir,
            device=settings.device,
            threads=settings.threads or None,
        )
    except DetectorError as error:
        raise ConfigurationError(str(error)) from error


def check_torch_installed() -> None:
    """Raise ``ConfigurationError`` unless the packages that scoring needs are installed."""
    missing = [name for name in ("torch", "tokenizers", "safetensors") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(f"scoring needs {', '.join(missing)}: pip install 'custodes[detectors]'")
