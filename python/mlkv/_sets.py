"""Set commands."""

from __future__ import annotations

import ctypes
from typing import Any, Iterator, List, Optional, Set, Tuple, Union

from ._keys import SCAN_SET, Scanning
from ._library import library
from ._values import Result, Value, flatten
from ._view import ABSENT, check
from .errors import DataError


class SetCommands(Scanning):
    def sadd(self, name: Value, *values: Value) -> int:
        """Adds members, all at once; how many are new."""
        return self._change(library.mlkv_set_add, name, values)

    def srem(self, name: Value, *values: Value) -> int:
        """Removes members, all at once; how many there were."""
        return self._change(library.mlkv_set_remove, name, values)

    def _change(self, function: Any, name: Value, values: Tuple[Value, ...]) -> int:
        members = self._codec.slices(values)
        changed = ctypes.c_size_t()
        check(function(self._handle, self._codec.slice(name), members, members.count, changed))
        return changed.value

    def sismember(self, name: Value, value: Value) -> bool:
        """Whether the value is a member."""
        return self.smismember(name, [value])[0] == 1

    def smismember(self, name: Value, values: Any, *args: Value) -> List[int]:
        """1 or 0 for each value."""
        members = self._codec.slices(flatten(values, args))
        present = (ctypes.c_uint8 * members.count)()
        check(library.mlkv_set_contains(self._handle, self._codec.slice(name), members, members.count, present))
        return list(present)

    def smembers(self, name: Value) -> Set[Result]:
        """All members, as of one moment; an empty set for an absent key."""
        return set(self._all(library.mlkv_set_members, name))

    def scard(self, name: Value) -> int:
        """Number of members; 0 for an absent key."""
        count = ctypes.c_uint64()
        check(library.mlkv_set_count(self._handle, self._codec.slice(name), count))
        return count.value

    def srandmember(self, name: Value, number: Optional[int] = None) -> Union[Optional[Result], List[Result]]:
        """A member by chance, or None. With a number: a list of up to so many different members; of exactly so many, with repetition, if
        it is negative. The cost does not depend on the size of the set."""
        wanted = 1 if number is None else abs(number)
        distinct = number is None or number >= 0
        rows = self._pool.take_rows()
        absent = check(library.mlkv_set_random(self._handle, self._codec.slice(name), wanted, distinct, rows)) == ABSENT
        members = [] if absent else self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]
        if number is None:
            return members[0] if members else None
        return members

    def spop(self, name: Value, count: Optional[int] = None) -> Union[Optional[Result], List[Result]]:
        """Removes a member by chance and returns it, or None. With a count: a list of up to so many."""
        if count is not None and count < 0:
            raise DataError(f"{count} members cannot be removed")
        rows = self._pool.take_rows()
        check(library.mlkv_set_pop(self._handle, self._codec.slice(name), 1 if count is None else count, rows))
        members = self._codec.list(self._pool.give_rows(rows))  # type: ignore[arg-type]
        return members if count is not None else members[0] if members else None

    def smove(self, src: Value, dst: Value, value: Value) -> bool:
        """Moves a member from one set to another; False: it was not in the first."""
        codec = self._codec
        return check(library.mlkv_set_move(self._handle, codec.slice(src), codec.slice(dst), codec.slice(value))) != ABSENT

    def _combined(self, function: Any, keys: Any, args: Tuple[Value, ...]) -> Set[Result]:
        names = self._codec.slices(flatten(keys, args))
        rows = self._pool.take_rows()
        check(function(self._handle, names, names.count, rows))
        return set(self._codec.list(self._pool.give_rows(rows)))  # type: ignore[arg-type]

    def _stored(self, function: Any, dest: Value, keys: Any, args: Tuple[Value, ...]) -> int:
        names = self._codec.slices(flatten(keys, args))
        count = ctypes.c_uint64()
        check(function(self._handle, self._codec.slice(dest), names, names.count, count))
        return count.value

    def sinter(self, keys: Any, *args: Value) -> Set[Result]:
        """The members that are in all of the sets, as of one moment."""
        return self._combined(library.mlkv_set_intersection, keys, args)

    def sinterstore(self, dest: Value, keys: Any, *args: Value) -> int:
        """sinter, stored as a new set under dest; how many members it has."""
        return self._stored(library.mlkv_set_intersection_store, dest, keys, args)

    def sintercard(self, numkeys: int, keys: Any, limit: int = 0) -> int:
        """How many members sinter would have; counted up to the limit, if it is not 0."""
        parts = flatten(keys, ())
        if numkeys != len(parts) or limit < 0:
            raise DataError(f"numkeys is {numkeys} for {len(parts)} keys" if limit >= 0 else f"limit is {limit}")
        names = self._codec.slices(parts)
        count = ctypes.c_uint64()
        check(library.mlkv_set_intersection_count(self._handle, names, names.count, limit, count))
        return count.value

    def sunion(self, keys: Any, *args: Value) -> Set[Result]:
        """The members that are in any of the sets, as of one moment."""
        return self._combined(library.mlkv_set_union, keys, args)

    def sunionstore(self, dest: Value, keys: Any, *args: Value) -> int:
        """sunion, stored as a new set under dest; how many members it has."""
        return self._stored(library.mlkv_set_union_store, dest, keys, args)

    def sdiff(self, keys: Any, *args: Value) -> Set[Result]:
        """The members of the first set that are in none of the others, as of one moment."""
        return self._combined(library.mlkv_set_difference, keys, args)

    def sdiffstore(self, dest: Value, keys: Any, *args: Value) -> int:
        """sdiff, stored as a new set under dest; how many members it has."""
        return self._stored(library.mlkv_set_difference_store, dest, keys, args)

    def sscan(
        self, name: Value, cursor: int = 0, match: Optional[Value] = None, count: Optional[int] = None
    ) -> Tuple[int, List[Result]]:
        """A part of the members: (cursor of the next part or 0, members)."""
        token, pairs = self._scan(SCAN_SET, name, cursor, match, count)
        return token, self._codec.list([member for member, _ in pairs])

    def sscan_iter(self, name: Value, match: Optional[Value] = None, count: Optional[int] = None) -> Iterator[Result]:
        """Members one after another; what is written meanwhile may be in it or not."""
        decode = self._codec.decode
        for member, _ in self._scan_iter(SCAN_SET, name, match, count):
            yield decode(member)
