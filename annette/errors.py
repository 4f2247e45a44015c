"""The errors annette raises: few and typed, each one line: where, what was found, expected, what to do."""

__all__ = [
    "AnnetteError",
    "DeviceLostError",
    "GraphError",
    "HardwareError",
    "MeasurementError",
    "ModelError",
    "StoreError",
    "UsageError",
    "WorkerLostError",
]


class AnnetteError(Exception):
    """Base of every error that annette raises on purpose; its text is one line meant for the user."""


class GraphError(AnnetteError, ValueError):
    """A network, or the file it is read from, is not what annette can work with."""


class HardwareError(AnnetteError, ValueError):
    """A description of an accelerator is wrong or cannot run what it is asked to run."""


class MeasurementError(AnnetteError, RuntimeError):
    """A device could not be opened, or did not answer."""


class DeviceLostError(MeasurementError):
    """A device is gone for good: a campaign stops, and leaves what is not measured yet for the next run."""


class StoreError(AnnetteError, OSError):
    """A campaign store or a platform folder is missing, damaged or of another schema version."""


class ModelError(AnnetteError, ValueError):
    """A model cannot be fitted to, or asked about, what it was given."""


class UsageError(AnnetteError, ValueError):
    """A call names something that does not exist or asks for something impossible (exit code 2)."""


class WorkerLostError(AnnetteError, RuntimeError):
    """A process that worked for this one died, and what it was asked to do is not done."""
