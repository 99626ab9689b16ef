"""Everything that can be done with a view: the classes of commands, and what the library's table has beyond them.

The table decides what there is: a command that no class has a method for gets one (_generated.py), and a pipeline takes every method that
is here (COMMANDS), so the two cannot disagree.
"""

from __future__ import annotations

from typing import FrozenSet

from ._bits import BitCommands
from ._computing import ComputingCommands
from ._execute import ExecuteCommands
from ._expiry import ExpiryCommands
from ._generated import add_methods
from ._hashes import HashCommands
from ._keys import KeyCommands
from ._locks import LockCommands
from ._nearest import NearestCommands
from ._sets import SetCommands
from ._strings import StringCommands
from ._tensors import TensorCommands
from ._view import View
from ._waiting import WaitingCommands
from ._zsets import ZSetCommands


class Commands(
    StringCommands, BitCommands, ExpiryCommands, HashCommands, WaitingCommands,
    SetCommands, ZSetCommands, KeyCommands, TensorCommands, LockCommands, ComputingCommands, NearestCommands, ExecuteCommands,
):  # fmt: skip
    """Everything that can be done with a view."""

    def ping(self) -> bool:
        """True: there is no server that could be away. ClosedError if the view is closed."""
        self._handle
        return True


add_methods(Commands)

# What gives an object to go on with, rather than a result.
_NOT_COLLECTED = frozenset(("lock", "watch", "cached", "get_or_compute", "forget_computed", "compute_stats"))

COMMANDS: FrozenSet[str] = frozenset(
    name
    for name in dir(Commands)
    if name[0] != "_" and not name.endswith("_iter") and name not in _NOT_COLLECTED and not hasattr(View, name)
)
"""The methods that a pipeline collects."""
