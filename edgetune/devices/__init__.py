"""Where engines run. A device is a module with ``describe``, ``fingerprint`` and ``telemetry``."""

DEVICES = {"local": "edgetune.devices.local"}
