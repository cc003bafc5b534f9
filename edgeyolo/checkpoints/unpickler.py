"""Reads a pickle without running it: a small stack machine of our own over the opcodes.

Python's ``pickle`` executes what a file asks for. This one knows the opcodes, keeps values on
a stack as Python does, and builds only plain values and the records of ``records.py``. A name
that is not on the allow-list (``allowlist.py``) ends the reading at once. Every length is
checked against the bytes that are there, and the memory, steps and time that a file may cost
are limited, so that a hostile file is refused cheaply.

Format: the comments in Python's ``pickletools``; protocols 0 to 5.
"""

from __future__ import annotations

import codecs
import re
import struct
import time
from collections.abc import Callable
from typing import Any

from edgeyolo.checkpoints import allowlist
from edgeyolo.checkpoints.records import IncompleteError, RefusedError

# The largest genuine one (YOLOv7-E6E in training, model and EMA) has about 400 000 steps,
# 2 MB of pickle and 40 MB of values; each limit leaves a factor of four or more.
MAX_PICKLE_BYTES = 16 << 20
MAX_STEPS = 3_000_000
MAX_VALUE_BYTES = 160 << 20
MAX_SECONDS = 60.0
MAX_INTEGER_BYTES = 32
MAX_LINE_BYTES = 4096

# What repr() writes for bytes; other escapes make codecs.escape_decode warn. The alternatives
# exclude each other, so that matching cannot run away.
_ESCAPED = re.compile(rb"(?:[^\\]|\\[\\'\"abfnrtv]|\\x[0-9a-fA-F]{2})*")

PersistentLoad = Callable[[object], object]

_Key = (str, bytes, int, type(None))


class _Mark:
    """Where a variable number of stack entries begins."""


_MARK = _Mark()


class Unpickler:
    """Reads one pickle from *data*, starting at *position*.

    Attributes:
        position: After :meth:`load`, the first byte behind the pickle.
    """

    def __init__(
        self, data: bytes, position: int = 0, *, persistent_load: PersistentLoad | None = None
    ) -> None:
        self.position = position
        self._data = data
        self._end = min(len(data), position + MAX_PICKLE_BYTES)
        self._persistent_load = persistent_load
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._value_bytes = 0
        self._stopped = False

    def load(self) -> object:
        """The value that the pickle describes.

        Raises:
            RefusedError: Names the reason: a global outside the allow-list, a limit, damage.
            IncompleteError: The bytes end inside the pickle.
        """
        deadline = time.monotonic() + MAX_SECONDS
        steps = 0
        while not self._stopped:
            steps += 1
            if steps > MAX_STEPS:
                raise RefusedError(f"its pickle has more than {MAX_STEPS} steps")
            if not steps & 0xFFF and time.monotonic() > deadline:
                raise RefusedError(f"its pickle takes longer than {MAX_SECONDS:.0f} s to read")
            code = self._take(1)[0]
            action = _ACTIONS.get(code)
            if action is None:
                raise RefusedError(
                    f"its pickle has the opcode {code:#04x} at byte {self.position - 1}, "
                    "which torch.save never writes; the file is damaged or foreign"
                )
            action(self)
        return self._pop()

    # Reading bytes

    def _take(self, count: int) -> bytes:
        start = self.position
        if count > self._end - start:
            if self._end < len(self._data):
                raise RefusedError(f"its pickle is longer than {MAX_PICKLE_BYTES >> 20} MiB")
            raise IncompleteError("its pickle ends too early")
        self.position = start + count
        return self._data[start : start + count]

    def _line(self) -> bytes:
        limit = min(self._end, self.position + MAX_LINE_BYTES)
        stop = self._data.find(b"\n", self.position, limit)
        if stop < 0:
            if limit < self._end:
                raise RefusedError(f"its pickle has a line longer than {MAX_LINE_BYTES} bytes")
            raise IncompleteError("its pickle ends too early")
        line = self._data[self.position : stop]
        self.position = stop + 1
        return line

    def _unsigned(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    # The stack and what it costs

    def _charge(self, count: int) -> None:
        self._value_bytes += count
        if self._value_bytes > MAX_VALUE_BYTES:
            raise RefusedError(
                f"its pickle describes more than {MAX_VALUE_BYTES >> 20} MiB of values "
                "beside the tensors"
            )

    def _push(self, value: object, cost: int = 40) -> None:
        self._charge(cost)
        self._stack.append(value)

    def _charge_copy(self, arguments: object) -> None:
        """Charge what a copy of *arguments* and of their direct contents would take."""
        if isinstance(arguments, (dict, tuple, list)):
            self._charge(120 * len(arguments))
        if isinstance(arguments, tuple):
            for item in arguments:
                if isinstance(item, (list, tuple, dict, set)):
                    self._charge(120 * len(item))
                elif isinstance(item, (str, bytes)):
                    self._charge(4 * len(item))

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise _damaged()
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise _damaged()
        return self._stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise _damaged()

    # Plain values

    def _push_text(self, raw: bytes, encoding: str = "utf-8") -> None:
        # Worst case: four bytes a character.
        self._push(raw.decode(encoding, "surrogatepass"), 64 + 4 * len(raw))

    def _push_bytes(self, raw: bytes) -> None:
        self._push(raw, 40 + len(raw))

    def _quoted_string(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise _damaged()
        if not _ESCAPED.fullmatch(line, 1, len(line) - 1):
            raise _damaged()
        raw, _ = codecs.escape_decode(line[1:-1])
        self._push_text(raw, "latin-1")

    def _decimal(self, *, long: bool) -> None:
        line = self._line().strip()
        if not long and line in (b"00", b"01"):
            self._push(line == b"01")
            return
        if long:
            line = line.removesuffix(b"L")
        if len(line) > 2 * MAX_INTEGER_BYTES or not line.removeprefix(b"-").isdigit():
            raise RefusedError(f"its pickle has the integer {line[:20]!r}..., which is not read")
        self._push(int(line))

    def _long(self, count: int) -> None:
        if count > MAX_INTEGER_BYTES:
            raise RefusedError(f"its pickle has an integer of {count} bytes")
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def _decimal_float(self) -> None:
        line = self._line()
        try:
            self._push(float(line))
        except ValueError:
            raise _damaged() from None

    # Containers

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        self._add_items([key, value])

    def _add_items(self, items: list[Any]) -> None:
        self._fill(self._top(), items)

    def _fill(self, target: object, items: list[Any]) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            raise _damaged()
        self._charge(120 * len(items))
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_checked_key(key)] = value

    def _extend_top(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise _damaged()
        self._charge(16 * len(items))
        target.extend(items)

    def _extend_set(self, items: list[Any]) -> None:
        target = self._top()
        if not isinstance(target, set):
            raise _damaged()
        self._charge(120 * len(items))
        target.update(_checked_key(item) for item in items)

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)), 40 + 8 * count)

    def _marked(self, build: Callable[[list[Any]], object]) -> None:
        items = self._pop_to_mark()
        self._push(build(items), 250 + 120 * len(items))

    def _dict_of(self, items: list[Any]) -> dict[Any, Any]:
        target: dict[Any, Any] = {}
        self._fill(target, items)
        return target

    # The memo

    def _get(self, index: int) -> None:
        try:
            value = self._memo[index]
        except KeyError:
            raise _damaged() from None
        self._push(value, 8)

    def _put(self, index: int) -> None:
        self._charge(110)
        self._memo[index] = self._top()

    def _text_index(self) -> int:
        line = self._line()
        if not line.isdigit() or len(line) > 10:
            raise _damaged()
        return int(line)

    # Names and what is done with them

    def _global(self) -> None:
        module, name = self._line(), self._line()
        self._push_global(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise RefusedError("its pickle takes a class name from something that is not text")
        self._push_global(module, name)

    def _push_global(self, module: str, name: str) -> None:
        self._push(allowlist.find(module, name), 120)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._charge_copy(arguments)
        self._push(allowlist.call(function, arguments), 400)

    def _new_object(self, *, keywords: bool) -> None:
        if keywords and self._pop() != {}:
            raise RefusedError("its pickle creates an object with keyword arguments")
        arguments, class_name = self._pop(), self._pop()
        self._push(allowlist.create(class_name, arguments), 400)

    def _build(self) -> None:
        state = self._pop()
        self._charge_copy(state)
        self._stack[-1] = allowlist.build(self._top(), state)

    def _persistent(self, identity: object) -> None:
        if self._persistent_load is None:
            raise RefusedError(
                "its pickle refers to data outside itself: it is the data.pkl out of a .pt or .pth "
                "file, without the tensors beside it; give the whole file"
            )
        self._push(self._persistent_load(identity), 200)

    def _stop(self) -> None:
        self._stopped = True

    def _protocol(self) -> None:
        version = self._take(1)[0]
        if version > 5:
            raise RefusedError(f"its pickle has protocol {version}, known are 0 to 5")

    def _frame(self) -> None:
        self._take(8)  # only a hint for buffered readers

    def _drop_to_mark(self) -> None:
        self._pop_to_mark()

    def _drop(self) -> None:
        if not self._stack:
            raise _damaged()
        self._stack.pop()

    def _duplicate(self) -> None:
        self._push(self._top(), 8)


def _checked_key(key: object) -> object:
    """Only keys whose hash is cheap: nested tuples could exhaust the C stack."""
    if not isinstance(key, _Key) or (isinstance(key, int) and key.bit_length() > 64):
        raise RefusedError(f"its pickle uses a {type(key).__name__} as a key of a dict or set")
    return key


def _damaged() -> RefusedError:
    return RefusedError("its pickle is damaged")


def _refuse(opcode: str) -> Callable[[Unpickler], None]:
    def action(_: Unpickler) -> None:
        raise RefusedError(f"its pickle has the opcode {opcode}, which torch.save never writes")

    return action


def _refuse_instance(machine: Unpickler) -> None:
    """INST: named separately so that the message says what the file tried to create."""
    module, name = (machine._line().decode("utf-8", "replace") for _ in range(2))
    allowlist.find(module, name)
    raise RefusedError(f"its pickle creates {module}.{name} in a way torch.save never does (INST)")


def _actions() -> dict[int, Callable[[Unpickler], None]]:
    m = Unpickler
    table: dict[bytes, Callable[[Unpickler], None]] = {
        b"\x80": m._protocol,
        b"\x95": m._frame,
        b".": m._stop,
        b"(": lambda s: s._push(_MARK, 8),
        b"0": m._drop,
        b"1": m._drop_to_mark,
        b"2": m._duplicate,
        b"N": lambda s: s._push(None, 8),
        b"\x88": lambda s: s._push(True, 8),
        b"\x89": lambda s: s._push(False, 8),
        b"I": lambda s: s._decimal(long=False),
        b"L": lambda s: s._decimal(long=True),
        b"J": lambda s: s._push(int.from_bytes(s._take(4), "little", signed=True)),
        b"K": lambda s: s._push(s._unsigned(1)),
        b"M": lambda s: s._push(s._unsigned(2)),
        b"\x8a": lambda s: s._long(s._unsigned(1)),
        b"\x8b": lambda s: s._long(s._unsigned(4)),
        b"F": m._decimal_float,
        b"G": lambda s: s._push(struct.unpack(">d", s._take(8))[0]),
        b"S": m._quoted_string,
        b"T": lambda s: s._push_text(s._take(s._unsigned(4)), "latin-1"),
        b"U": lambda s: s._push_text(s._take(s._unsigned(1)), "latin-1"),
        b"V": lambda s: s._push_text(s._line(), "raw-unicode-escape"),
        b"X": lambda s: s._push_text(s._take(s._unsigned(4))),
        b"\x8c": lambda s: s._push_text(s._take(s._unsigned(1))),
        b"\x8d": lambda s: s._push_text(s._take(s._unsigned(8))),
        b"B": lambda s: s._push_bytes(s._take(s._unsigned(4))),
        b"C": lambda s: s._push_bytes(s._take(s._unsigned(1))),
        b"\x8e": lambda s: s._push_bytes(s._take(s._unsigned(8))),
        b"\x96": lambda s: s._push_bytes(s._take(s._unsigned(8))),
        b"]": lambda s: s._push([], 60),
        b"}": lambda s: s._push({}, 70),
        b"\x8f": lambda s: s._push(set(), 220),
        b")": lambda s: s._push((), 8),
        b"a": lambda s: s._extend_top([s._pop()]),
        b"e": lambda s: s._extend_top(s._pop_to_mark()),
        b"s": m._set_item,
        b"u": lambda s: s._add_items(s._pop_to_mark()),
        b"\x90": lambda s: s._extend_set(s._pop_to_mark()),
        b"l": lambda s: s._marked(list),
        b"d": lambda s: s._marked(s._dict_of),
        b"t": lambda s: s._marked(tuple),
        b"\x91": lambda s: s._marked(lambda items: frozenset(map(_checked_key, items))),
        b"\x85": lambda s: s._tuple(1),
        b"\x86": lambda s: s._tuple(2),
        b"\x87": lambda s: s._tuple(3),
        b"g": lambda s: s._get(s._text_index()),
        b"h": lambda s: s._get(s._unsigned(1)),
        b"j": lambda s: s._get(s._unsigned(4)),
        b"p": lambda s: s._put(s._text_index()),
        b"q": lambda s: s._put(s._unsigned(1)),
        b"r": lambda s: s._put(s._unsigned(4)),
        b"\x94": lambda s: s._put(len(s._memo)),
        b"c": m._global,
        b"\x93": m._stack_global,
        b"R": m._reduce,
        b"b": m._build,
        b"\x81": lambda s: s._new_object(keywords=False),
        b"\x92": lambda s: s._new_object(keywords=True),
        b"P": lambda s: s._persistent(s._line().decode("utf-8", "replace")),
        b"Q": lambda s: s._persistent(s._pop()),
        b"i": _refuse_instance,
        b"o": _refuse("OBJ"),
        b"\x82": _refuse("EXT1"),
        b"\x83": _refuse("EXT2"),
        b"\x84": _refuse("EXT4"),
        b"\x97": _refuse("NEXT_BUFFER"),
        b"\x98": _refuse("READONLY_BUFFER"),
    }
    return {code[0]: action for code, action in table.items()}


_ACTIONS = _actions()
