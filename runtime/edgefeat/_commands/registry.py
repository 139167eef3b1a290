"""The commands of edgefeat by name, with the module of each."""

from __future__ import annotations

__all__ = ["DEVICE", "ENTRY_POINTS", "OWN", "WORKSTATION"]

ENTRY_POINTS = "edgefeat.commands"
# The commands of this package. They are loaded without reading entry points, which takes 30 ms.
DEVICE = {
    "extract": "extract.command",
    "search": "neighbours.search",
    "duplicates": "neighbours.duplicates",
    "convert": "convert",
    "info": "info",
    "verify": "verify",
    "tune": "tune",
    "bench": "bench.command",
    "watch": "services.watch.command",
    "serve": "services.serve.command",
}
# The device side's code puts itself on a board; who runs it is at a workstation.
WORKSTATION = {"pack": "deploy.pack_command", "deploy": "deploy.command"}
OWN = {**DEVICE, **WORKSTATION}
