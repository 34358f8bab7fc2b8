"""Which adapters are installed: entry points of the group ``metav_audit.adapters``, loaded one by one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from metav_audit.adapter.contract import ENTRY_POINT_GROUP, Adapter
from metav_audit.config import nearest
from metav_audit.errors import FOREIGN, ConfigurationError


@dataclass(frozen=True, slots=True)
class InstalledAdapter:
    """One announced adapter, usable or not.

    Attributes:
        name: the name an endpoint file uses.
        package: the distribution that announces it.
        adapter: the class, or None where it cannot be used.
        problem: why it cannot be used, or None.
    """

    name: str
    package: str
    adapter: type[Adapter] | None
    problem: str | None


def installed_adapters() -> list[InstalledAdapter]:
    """List every announced adapter by name; a broken one is listed with its problem and harms no other."""
    return [_load(entries) for _, entries in sorted(_announced().items())]


def find_adapter(name: str) -> type[Adapter]:
    """Return the adapter called ``name``.

    Raises:
        ConfigurationError: it is not installed, or cannot be used; the message lists those that are.
    """
    announced = _announced()
    if name not in announced:
        there = ", ".join(sorted(announced)) or "none"
        raise ConfigurationError(
            f"adapter {name!r} is not installed: use one of {there}, or install its package{nearest(name, announced)}"
        )
    found = _load(announced[name])
    if found.adapter is None:
        raise ConfigurationError(f"adapter {name!r} of the package {found.package} cannot be used: {found.problem}")
    return found.adapter


def _announced() -> dict[str, list[EntryPoint]]:
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        by_name.setdefault(entry.name, {})[entry.value] = entry
    return {name: list(entries.values()) for name, entries in by_name.items()}


def _load(entries: list[EntryPoint]) -> InstalledAdapter:
    entry = entries[0]
    package = ", ".join(sorted({each.dist.name if each.dist else "unknown" for each in entries}))
    if len(entries) > 1:
        return InstalledAdapter(entry.name, package, None, "two packages announce this name: uninstall one")
    try:
        loaded = entry.load()
    # A stranger's module may raise anything while it is imported.
    except FOREIGN as error:
        return InstalledAdapter(entry.name, package, None, f"importing it raised {type(error).__name__}: {error}")
    if not (isinstance(loaded, type) and issubclass(loaded, Adapter)):
        return InstalledAdapter(
            entry.name, package, None, f"{entry.value} is no subclass of metav_audit.adapter.contract.Adapter"
        )
    return InstalledAdapter(entry.name, package, loaded, None)
