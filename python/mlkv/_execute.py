"""execute_command: any command by its words, as redis-py has it."""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ._library import Reply, Slice, library
from ._replies import ERROR, NIL_ARRAY, error_text, first_kind, read_reply
from ._responses import BINARY, CALLBACKS, Callback
from ._table import BLOCKS, ROWS, split
from ._values import Slices, Value
from ._view import ABSENT, View
from ._waiting import in_turns
from .errors import DataError, error_of, error_of_reply

_FEW = 4  # up to so many words an array of slices is made faster than what Slices joins

# Which word is the timeout of a command that waits: the first or the last of its arguments.
_TIMEOUTS: Dict[str, int] = {
    row.name.upper(): 1 if row.synopsis.startswith("timeout:") else -1 for row in ROWS if row.flags & BLOCKS
}
_PLAIN_SECONDS = re.compile(rb"[0-9]{1,9}(\.[0-9]{1,9})?")


class _Plan(NamedTuple):
    """What is known of a command by its name."""

    words: Tuple[bytes, ...]
    timeout: Optional[int]
    is_binary: bool
    callback: Optional[Callback]


def _plan_of(name: bytes) -> _Plan:
    command = name.decode("utf-8", "replace").upper()
    words = tuple(name.split()) if b" " in name else (name,)
    return _Plan(words, _TIMEOUTS.get(command), command in BINARY, CALLBACKS.get(command))


# Names as they are mostly written.
_PLANS: Dict[Any, _Plan] = {
    spelled: _plan_of(name.encode())
    for row in ROWS
    for name in (row.name, row.name.upper(), " ".join(split(row)[0]))
    for spelled in (name, name.encode())
}


def _same(value: bytes) -> bytes:
    return value


class ExecuteCommands(View):
    def execute_command(self, *args: Value, **options: Any) -> Any:
        """Runs a command given as its words ("SET", "k", 1, "EX", 10); its name may have a space ("MEMORY USAGE"). The reply is what
        redis-py would make of it, with its options (withscores=True, ...). An error is raised as its class of mlkv.errors, with Redis's
        text."""
        if not args:
            raise DataError("execute_command without a command")
        encode = self._codec.encode
        first = args[0]
        plan = (_PLANS.get(first) if isinstance(first, (str, bytes)) else None) or _plan_of(encode(first))
        words = [*plan.words, *map(encode, args[1:])]
        reply = self._pool.take_reply()
        waits = plan.timeout is not None and self._waits
        result = self._wait(plan.timeout, words, reply) if waits else self._run(words, reply)  # type: ignore[arg-type]
        if result < 0:
            self._refuse(result, reply)
        value = read_reply(reply, _same if plan.is_binary else self._codec.decode)
        self._pool.keep_reply(reply)
        return value if plan.callback is None else plan.callback(value, **options)

    def _run(self, words: List[bytes], reply: Reply) -> int:
        count = len(words)
        if count <= _FEW:
            return library.mlkv_command(self._handle, (Slice * count)(*[(word, len(word)) for word in words]), count, reply)
        return library.mlkv_command(self._handle, Slices(words), count, reply)

    def _wait(self, place: int, words: List[bytes], reply: Reply) -> int:
        """In turns, so that a signal is seen; a timeout that is no plain number is the library's to judge."""
        if len(words) < 2 or not _PLAIN_SECONDS.fullmatch(words[place]):
            return self._run(words, reply)
        seconds = float(words[place])
        results = [0]

        def turn(timeout_ms: int) -> int:
            words[place] = b"%.3f" % (max(1, timeout_ms) / 1000)  # 0 would be for ever
            results[0] = self._run(words, reply)
            return ABSENT if results[0] == 0 and first_kind(reply) <= NIL_ARRAY else results[0]

        in_turns(seconds or None, turn)
        return results[0]

    def _refuse(self, result: int, reply: Reply) -> None:
        if first_kind(reply) != ERROR:
            raise error_of(result)
        error = error_of_reply(result, error_text(reply))
        self._pool.keep_reply(reply)
        raise error
