"""generate.py - from generators to sequences: steps, units that stay together, blocks and episodes.

A step is a command with the rule by which its replies are compared, or something that is done with both sides ("sleep", "reopen", "kill").
A unit is a list of steps that mean something only together: keys that expire, the sleep until that is over, and what is asked of them then.
A block is what runs in one piece; an episode begins with empty sides and has a mood, which says what sorts of commands come more often.

The keys that expire in earnest are set and then left alone until the sleep is over: nothing here depends on who is faster. The word
"@now:50" stands for the time that is then, in milliseconds, plus 50. Standard library only.
"""
import itertools
from typing import Dict, List, Set, Tuple

import gen_flush
import gen_hash
import gen_keys
import gen_list
import gen_set
import gen_string
import gen_zset
from source import ENTRIES, POOLS, Entry, Source, Words

THEMES = tuple(module.__name__ for module in (gen_string, gen_list, gen_hash, gen_set, gen_zset, gen_keys))
MUTATED = 0.012
SLEEP_MS = 140
BURST_ONE_IN = 4000
EXPIRED = "(expired)"
# Each form with the kind of its key; {} is a time of some 30 to 60 ms.
BURST = (
    ("SET", "string", (b"value", b"PX", b"{}")),
    ("SET", "string", (b"value", b"PXAT", b"@now:{}")),
    ("PSETEX", "string", (b"{}", b"value")),
    ("GETEX", "string", (b"PX", b"{}")),
    ("GETEX", "number", (b"PXAT", b"@now:{}")),
    ("PEXPIRE", "", (b"{}",)),
    ("PEXPIRE", "", (b"{}", b"LT")),
    ("PEXPIREAT", "", (b"@now:{}",)),
)
AFTERWARDS = ((b"EXISTS",), (b"TYPE",), (b"PTTL",), (b"GET",), (b"PERSIST",), (b"EXPIRE", b"5000"), (b"TOUCH",), (b"DEL",), (b"LLEN",),
              (b"SET", b"new", b"KEEPTTL"), (b"SET", b"new", b"XX"), (b"SET", b"new", b"NX"), (b"APPEND", b"new"), (b"INCR",),
              (b"GETDEL",), (b"RPUSHX", b"new"), (b"HSETNX", b"f", b"new"), (b"SADD", b"m1"), (b"ZADD", b"XX", b"1", b"m1"),
              (b"SETNX", b"new"), (b"HLEN",), (b"SCARD",), (b"ZCARD",), (b"STRLEN",), (b"SETRANGE", b"2", b"x"), (b"COPY", b"none-yet"))


class Step:
    __slots__ = ("name", "words", "rule", "options", "where")

    def __init__(self, name: str, words: Words, rule: str, options: Tuple[str, ...] = (), where: int = 0) -> None:
        self.name, self.words, self.rule, self.options, self.where = name, words, rule, options, where


Unit = List[Step]


def options_of_table() -> Dict[str, Set[str]]:
    """Each command with the options that must come up."""
    table: Dict[str, Set[str]] = {}
    for entry in ENTRIES:
        table.setdefault(entry.name.decode(), set()).update(entry.options)
    for name, _, _ in BURST:
        table[name].add(EXPIRED)
    return table


def mutate(s: Source, words: Words) -> Words:
    """Another number of words, or other words: nothing that would make a command wait for ever."""
    chance = s.random()
    if chance < 0.4:
        return words[:-1] if len(words) > 1 else words
    if chance < 0.7:
        return words + [s.pick((b"extra", b"", b"\x00", b"NX", b"COUNT", b"-"))]
    if chance < 0.85:
        return words[:1]
    if chance < 0.9:
        return [words[0] + s.pick((b"X", b" ", b"\r\n", b"|y"))] + words[1:]
    return words[:1 + s.below(len(words))]


class Episode:
    """The units of one episode; all of it follows from the seed and the number."""

    def __init__(self, seed: int, number: int, only: Tuple[str, ...]) -> None:
        self.source = Source(f"{seed}/{number}")
        s = self.source
        mood = s.random()
        favourite = THEMES[s.below(len(THEMES))]
        entries, weights = [], []
        for entry in ENTRIES:
            weight = entry.weight
            if entry.theme == "gen_flush":
                weight = 2.0 if mood > 0.91 else 0.0
            elif mood < 0.3:
                weight *= 5 if entry.theme == favourite else 0.3
            if weight and (not only or entry.name.decode() in only):
                entries.append(entry)
                weights.append(weight)
        self.entries: List[Entry] = entries
        self.weights = list(itertools.accumulate(weights))
        self.keeps_to_itself = bool(only)

    def unit(self) -> Unit:
        s = self.source
        if s.below(BURST_ONE_IN) == 0 and not self.keeps_to_itself:
            return self.burst()
        entry: Entry = s.generator.choices(self.entries, cum_weights=self.weights)[0]
        s.options, s.rule = [], entry.rule
        words = [entry.name, *entry.function(s)]
        options = tuple(s.options)
        rule = s.rule
        if s.random() < 0.03:
            words[0] = words[0].lower()
        if rule not in ("walk", "restore") and s.random() < MUTATED:
            words, options = mutate(s, words), ()
        return [Step(entry.name.decode(), words, rule, options, s.below(1 << 16))]

    def burst(self) -> Unit:
        """Keys that are about to expire, a sleep until they have, and a look at each."""
        s = self.source
        keys = [key for kind in POOLS for key in POOLS[kind] if kind not in ("weight", "weights", "lex", "ranked", "big", "large")]
        s.generator.shuffle(keys)
        steps, later = [], []
        for key in keys[:14]:
            name, kind, form = BURST[s.below(len(BURST))]
            if kind:
                key = next((other for other in POOLS[kind] if other in keys), key)
                keys = [other for other in keys if other != key]
            if any(key == step.words[1] for step in steps):
                continue
            time = b"%d" % (30 + s.below(30))
            words = [name.encode(), key, *(word.replace(b"{}", time) for word in form)]
            steps.append(Step(name, words, "now" if any(b"@now" in word for word in words) else "exact", (EXPIRED,), s.below(1 << 16)))
            after = s.pick(AFTERWARDS)
            rule = "milliseconds" if after[0] == b"PTTL" else "exact"
            later.append(Step(after[0].decode(), [after[0], key, *after[1:]], rule, (), s.below(1 << 16)))
        return [*steps, Step("(sleep)", [b"%d" % SLEEP_MS], "sleep"), *later]
