"""Alerts that are read again while the engine runs: checked against the channels, and put in place or refused.

Imports flow, observe and errors only.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from hl7auth.errors import UserError
from hl7auth.flow.alert import Alerts, load_alerts
from hl7auth.flow.change import Did, Told
from hl7auth.flow.channel import Channel
from hl7auth.flow.channel_files import ALERTS
from hl7auth.flow.channel_values import NO_ENVIRONMENT, Environment


class AlertsAgain:
    """The alerts of a folder of channels, and those that are in place."""

    def __init__(self, folder: Path, alerts: Alerts | None, environment: Environment = NO_ENVIRONMENT) -> None:
        self._folder = folder
        self._environment = environment
        self._version = "" if alerts is None else self._now()
        self.alerts = alerts

    def look(self, channels: Sequence[Channel]) -> Told | None:
        """Reads the file as it is now; None where it says what is in place. What is wrong leaves that as it is."""
        before = self._version
        version = self._now()
        try:
            found = load_alerts(self._folder, channels, self._environment)
        except UserError as fault:
            return Told(ALERTS, Did.REFUSED, before, before, str(fault))
        known = self.alerts
        if (found and found.file) == (known and known.file):
            return None
        self.alerts, self._version = found, version if found else ""
        if found is None:
            return Told(ALERTS, Did.REMOVED, "", before)
        return Told(ALERTS, Did.CHANGED if before else Did.ADDED, version, before)

    def _now(self) -> str:
        try:
            return blake2b((self._folder / ALERTS).read_bytes(), digest_size=6).hexdigest()
        except OSError:
            return ""
