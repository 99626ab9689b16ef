"""redis-py's pipeline over a transaction.

Commands are collected and run by execute(), all in one transaction (transaction=True, the default) or one after another. A command that
fails changes nothing by itself and the others go on, as in Redis; execute() then raises the first error, after the commit.

watch() begins the transaction at once: it holds the writer lock, so that what is read until multi() cannot change before execute(). No
WatchError can come of it; loops that retry on one run once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, Optional, Tuple

from ._commands import COMMANDS
from .errors import Error

if TYPE_CHECKING:
    from .client import Client, Transaction

_Command = Tuple[str, Tuple[Any, ...], Dict[str, Any]]


class Pipeline:
    """Made by Client.pipeline(). Belongs to one thread."""

    def __init__(self, client: "Client", transaction: bool) -> None:
        self._client = client
        self._transactional = transaction
        self._commands: List[_Command] = []
        self._watching: Optional["Transaction"] = None
        self._collecting = True

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in COMMANDS:
            raise AttributeError(f"a pipeline has no command {name!r}")

        def command(*arguments: Any, **named: Any) -> Any:
            if not self._collecting:
                return getattr(self._watching, name)(*arguments, **named)
            self._commands.append((name, arguments, named))
            return self

        return command

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *COMMANDS})

    def __len__(self) -> int:
        return len(self._commands)

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: Any) -> None:
        self.reset()

    def watch(self, *names: Any) -> bool:
        """Begins the transaction; commands run at once until multi()."""
        if self._watching is None:
            self._watching = self._client.transaction().begin()
        self._collecting = False
        return True

    def unwatch(self) -> bool:
        """Ends what watch() began. What ran at once stays done, as in Redis."""
        self._end_watching(commit=True)
        return True

    def multi(self) -> None:
        """Commands are collected from here on."""
        self._collecting = True

    def execute(self, raise_on_error: bool = True) -> List[Any]:
        """Runs what was collected; the results in order. With raise_on_error=False errors stand among the results."""
        commands, self._commands = self._commands, []
        try:
            if self._watching is not None:
                results = _run(self._watching, commands)
                self._end_watching(commit=True)
            elif self._transactional and commands:
                with self._client.transaction() as view:
                    results = _run(view, commands)
            else:
                results = _run(self._client, commands)
        except BaseException:
            self._end_watching(commit=False)
            raise
        if raise_on_error:
            for result in results:
                if isinstance(result, Exception):
                    raise result
        return results

    def reset(self) -> None:
        """Forgets what was collected, and ends what watch() began."""
        self._commands = []
        self._end_watching(commit=True)

    def _end_watching(self, commit: bool) -> None:
        view, self._watching = self._watching, None
        self._collecting = True
        if view is not None:
            (view.commit if commit else view.abort)()


def _run(view: Any, commands: List[_Command]) -> List[Any]:
    results: List[Any] = []
    for name, arguments, named in commands:
        try:
            results.append(getattr(view, name)(*arguments, **named))
        except (Error, KeyError) as error:
            results.append(error)
    return results
