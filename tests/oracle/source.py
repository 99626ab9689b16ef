"""source.py - where random commands come from: keys, values and numbers of all kinds, and the list of the commands' generators.

A generator is a function that gets the source and gives the words behind the command's name. It says what options it used by s.option(),
from those that it declared; each declared option must come up often. The keys are few and belong to a type each, by their names, so that
most commands fit what they find; now and then a generator takes a key of another type. Three kinds of keys keep to themselves, because
Redis leaves open what happens otherwise: sorted sets whose scores are all equal (for ranges of names), weights for SORT, and numbers.

What comes out depends on the seed alone, never on replies or on the time: times are far ahead, long past, or relative. The only exception
is a key that expires in earnest, whose generators stand apart (see generate.py). Standard library only.
"""
import random
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple, TypeVar

T = TypeVar("T")
Words = List[bytes]

LONG_NAME = b"a-long-name-" * 30
POOLS: Dict[str, Tuple[bytes, ...]] = {
    "string": (b"s0", b"s1", b"s2", b""),
    "lcs": (b"c0", b"c1", b"c2"),
    "number": (b"n0", b"n1", b"n2", b"n3"),
    "float": (b"f0", b"f1"),
    "bits": (b"b0", b"b1", b"b2"),
    "list": (b"l0", b"l1", b"l2", b"l\x00\xff\r\n"),
    "numbers": (b"il0", b"il1", b"il2"),
    "long": (b"L0", b"L1"),
    "hash": (b"h0", b"h1", b"h2", LONG_NAME + b"h"),
    "large": (b"H0", b"H1"),
    "set": (b"t0", b"t1", b"t2", b"t3", b"t*[?]\\"),
    "big": (b"T0", b"T1"),
    "zset": (b"z0", b"z1", b"z2", b"z3"),
    "ranked": (b"Z0", b"Z1"),
    "lex": (b"x0", b"x1", b"x2"),
    "weight": tuple(b"w_%d" % i for i in range(10)),
    "weights": tuple(b"wh_%d" % i for i in range(10)),
}
# What is mostly not there, and what somebody takes by mistake: never a key that keeps to itself.
COMMON = ("string", "lcs", "float", "bits", "list", "numbers", "hash", "set", "zset")
COLLISIONS: Dict[str, Tuple[bytes, ...]] = {
    kind: tuple(key for other in COMMON if other != kind for key in POOLS[other]) for kind in POOLS
}
ALONE = ("number", "lex", "weight", "weights")
for _kind in ALONE:
    COLLISIONS[_kind] = POOLS["number"]
MISSING = (b"none", b"\x80missing", b"nothing" * 50)

MEMBERS: Tuple[bytes, ...] = tuple(b"m%d" % i for i in range(26)) + (
    b"", b"\x00", b"\xff\xfe\x80", b"a b", b"\r\n", b"10", b"-5", b"3.0", b"M1", b"m\x001", b"%s", b"e" * 65, b"o" * 300)
ELEMENTS: Tuple[bytes, ...] = tuple(b"e%d" % i for i in range(12)) + (b"", b"a\x00b", b"\xfe\xff", b"17", b"-3", b"0.5", b"long" * 40)
BIG_MEMBERS = tuple(b"E%04d" % i for i in range(1500))
LETTERS: Tuple[bytes, ...] = tuple(bytes([97 + i // 6, 97 + i % 6]) for i in range(36)) + (
    b"", b"a", b"\x00", b"\xff", b"aa\x00", b"Z", b"zz")
LCS_VALUES = (b"", b"ohmytext", b"mynewtext", b"abcabcabcab", b"cabbacabba", b"a" * 40, b"ab\x00cd", b"xyz" * 12)

GOOD_INTEGERS = (b"9223372036854775807", b"-9223372036854775808", b"2147483648", b"4294967296", b"-2147483649", b"1000000000000")
BAD_INTEGERS = (b"", b"abc", b"1.5", b"9223372036854775808", b"-9223372036854775809", b" 1", b"1 ", b"+1", b"01", b"0x10", b"1e3", b"-0",
                b"99999999999999999999999", b"1\x00", b"-", b"--1", b"\xff", b"1\n")
FINE_FLOATS = (b"1.5", b"-2", b"3e2", b"0.1", b"0.25", b"-0.125", b"1e-7", b"100", b"7.000", b".5", b"5.", b"1E5", b"3.14159265358979")
ODD_FLOATS = (b"1e308", b"-1e308", b"5e-324", b"2.2250738585072014e-308", b"0x1p3", b"0x1.8p1", b"-0x10", b"-0", b"-0.0", b"1e17",
              b"123456789012345678", b"9007199254740993", b"+3", b"+0.5", b"0.1e-20", b"1e22", b"1e21", b"1e-5", b"123456.789e-3")
INFINITE = (b"inf", b"-inf", b"+inf", b"INF", b"infinity", b"-Infinity")
BAD_FLOATS = (b"nan", b"-nan", b"NaN", b"", b" 1", b"1 ", b"1e400", b"-1e400", b"1e-400", b"abc", b"1.5x", b"0x", b"1,5", b"--1",
              b"nan(1)", b"1\x00", b"e5", b".", b"in", b"1e", b"\xff", b"1.5\n", b"0x1p99999")
FUTURE_SECONDS = tuple(4102444800 + 100 * i for i in range(20))


class Entry(NamedTuple):
    name: bytes
    weight: float
    rule: str
    options: Tuple[str, ...]
    function: Callable[["Source"], Words]
    theme: str


ENTRIES: List[Entry] = []


def command(name: str, weight: float, rule: str = "exact", options: str = "") -> Callable:
    """Enters a generator of the command's words. `options` names what s.option() may say in it, separated by blanks."""
    def enter(function: Callable[["Source"], Words]) -> Callable[["Source"], Words]:
        theme = function.__module__.rsplit(".", 1)[-1]
        ENTRIES.append(Entry(name.encode(), weight, rule, tuple(options.split()), function, theme))
        return function
    return enter


class Source:
    """Random choices, all from one seed."""

    def __init__(self, seed: str) -> None:
        self.generator = random.Random(seed)
        self.random = self.generator.random
        self.options: List[str] = []
        self.rule = "exact"

    def below(self, n: int) -> int:
        return int(self.random() * n)

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def option(self, name: str) -> bytes:
        """The option's word, in letters of any case; noted for the table of what was tried."""
        self.options.append(name)
        word = name.encode()
        chance = self.random()
        return word if chance > 0.04 else word.lower() if chance > 0.015 else word.capitalize()

    def note(self, name: str) -> None:
        """Notes an option that is no word of its own, as the count of LPOP."""
        self.options.append(name)

    # --- keys ---
    def key(self, kind: str) -> bytes:
        chance = self.random()
        if chance < 0.955:
            return self.pick(POOLS[kind])
        return self.pick(COLLISIONS[kind] if chance < 0.985 or kind in ALONE else MISSING)

    def own(self, kind: str) -> bytes:
        return self.pick(POOLS[kind])

    def keys(self, kind: str, most: int) -> Words:
        return [self.key(kind) for _ in range(1 + self.below(most))]

    def kind(self) -> str:
        return self.pick(tuple(POOLS))

    def any_key(self) -> bytes:
        return self.key(self.kind())

    def counted_keys(self, kind: str, most: int) -> Words:
        """numkeys and the keys, at times not so many."""
        keys = self.keys(kind, most)
        count = b"%d" % len(keys)
        if self.chance(0.03):
            count = self.pick((b"0", b"-1", b"100", b"%d" % (len(keys) + 1), self.pick(BAD_INTEGERS), b"9223372036854775807"))
        return [count, *keys]

    # --- values ---
    def value(self) -> bytes:
        chance = self.random()
        if chance < 0.6:
            return self.pick(ELEMENTS)
        if chance < 0.8:
            return b"%d" % (self.below(2000) - 1000)
        if chance < 0.992:
            return b"value %d" % self.below(1000000)
        if chance < 0.9995:
            return self.generator.randbytes(1 + self.below(3000))
        return (b"%d " % self.below(100)) * (5000 + self.below(15000))

    def member(self) -> bytes:
        return self.pick(MEMBERS)

    def members(self, most: int) -> Words:
        return [self.pick(MEMBERS) for _ in range(1 + self.below(most))]

    def element(self) -> bytes:
        return self.pick(ELEMENTS) if self.chance(0.98) else self.value()

    # --- numbers ---
    def integer(self, low: int, high: int, extreme: float = 0.02, bad: float = 0.02) -> bytes:
        chance = self.random()
        if chance < bad:
            return self.pick(BAD_INTEGERS)
        if chance < bad + extreme:
            return self.pick(GOOD_INTEGERS)
        return b"%d" % (low + int(self.random() * (high - low + 1)))

    def count(self, low: int, high: int) -> bytes:
        """How many: nothing that makes a server work for hours."""
        chance = self.random()
        if chance < 0.02:
            return self.pick(BAD_INTEGERS)
        if chance < 0.03:
            return self.pick((b"9223372036854775807", b"4611686018427387904", b"-9223372036854775808", b"1000000000"))
        return b"%d" % (low + int(self.random() * (high - low + 1)))

    def float(self, infinite: float = 0.01) -> bytes:
        chance = self.random()
        if chance < infinite:
            return self.pick(INFINITE)
        if chance < infinite + 0.02:
            return self.pick(BAD_FLOATS)
        if chance < infinite + 0.06:
            return self.pick(ODD_FLOATS)
        return b"%d" % (self.below(41) - 20) if chance < 0.7 else self.pick(FINE_FLOATS)

    def score(self) -> bytes:
        """For sums that are the same in every order: multiples of 1/4; at times what is odd but for itself."""
        chance = self.random()
        if chance < 0.93:
            return b"%d" % (self.below(41) - 20) if chance < 0.7 else b"%d.%d" % (self.below(9), self.pick((25, 5, 75)))
        return self.float(0.2)

    # --- times ---
    def seconds(self) -> bytes:
        """From now on: never two that are near each other, as both sides do not have the same now."""
        return b"%d" % (1000 + self.below(1000000000)) if self.chance(0.93) else self.awkward_time()

    def milliseconds(self) -> bytes:
        return b"%d" % (1000000 + self.below(1000000000000)) if self.chance(0.93) else self.awkward_time()

    def at_seconds(self) -> bytes:
        chance = self.random()
        if chance < 0.9:
            return b"%d" % self.pick(FUTURE_SECONDS)
        return self.pick((b"1", b"1000000000")) if chance < 0.95 else self.awkward_time()

    def at_milliseconds(self) -> bytes:
        chance = self.random()
        if chance < 0.9:
            return b"%d" % (self.pick(FUTURE_SECONDS) * 1000 + self.pick((0, 0, 1, 499, 500, 999)))
        return self.pick((b"1", b"1000000000000")) if chance < 0.95 else self.awkward_time()

    def awkward_time(self) -> bytes:
        return self.pick((b"0", b"-1", b"-1000", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775",
                          b"9223372036854776", b"9223372036854774807", b"-9223372036854775", b"-9223372036854776",
                          self.pick(BAD_INTEGERS)))

    def timeout(self) -> bytes:
        """Of a command that waits; 0 would be for ever."""
        chance = self.random()
        if chance < 0.97:
            return self.pick((b"0.001", b"0.002", b"0.003", b"0.0015", b"1e-3", b".004"))
        return self.pick((b"-1", b"-0.5", b"abc", b"", b"nan", b"1e400", b" 1", b"9223372036854775807", b"1e300", b"0.001x", b"-inf",
                          b"inf"))
