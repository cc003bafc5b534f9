"""Builds hostile checkpoint files: pickles that run code, and files that exhaust the reader.

``files(canary)`` gives name -> content. A file named ``run_...`` creates *canary*/NAME when
Python's own ``pickle`` loads its pickle, which the test proves; the others lie about sizes,
loop, nest, or use what ``torch.save`` never writes.
"""

from __future__ import annotations

import io
import marshal
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAGIC = 0x1950A86A20F9469CFC6C
ORDERED = b"ccollections\nOrderedDict\n"
SYSTEM = b"cposix\nsystem\n"


class Call:
    """Pickles as a call of *function* (by name) with *arguments*."""

    def __init__(self, function: str, *arguments: object) -> None:
        self.function, self.arguments = function, arguments


class Name:
    """Pickles as a reference to a global that need not exist here."""

    def __init__(self, name: str) -> None:
        self.name = name


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(dotted: str) -> bytes:
    module, _, attribute = dotted.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def value(item: object) -> bytes:
    """Opcodes of protocol 2 or 4 that push *item*."""
    if isinstance(item, Call):
        return name(item.function) + value(item.arguments) + b"R"
    if isinstance(item, Name):
        return name(item.name)
    if isinstance(item, tuple):
        return b"(" + b"".join(map(value, item)) + b"t"
    if isinstance(item, dict):
        return b"}(" + b"".join(value(k) + value(v) for k, v in item.items()) + b"u"
    if isinstance(item, list):
        return b"](" + b"".join(map(value, item)) + b"e"
    return pickle.dumps(item, 4)[2:-1] if not isinstance(item, str) else text(item)


def program(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


def pushed(item: object) -> bytes:
    return b"\x80\x04" + value(item) + b"."


def zipped(data: bytes, storages: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return buffer.getvalue()


def streamed(data: bytes, tail: bytes = b"", machine: bytes | None = None) -> bytes:
    machine = machine or pickle.dumps({"little_endian": True}, 2)
    return pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + machine + data + tail


def tarred(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def storage(count: object, key: object = "0", kind: str = "torch.FloatStorage") -> bytes:
    """Pushes a storage by its persistent id."""
    return value(("storage", Name(kind), key, "cpu", count)) + b"Q"


def tensor(storage_bytes: bytes, offset: int, shape: object, strides: object) -> bytes:
    arguments = storage_bytes + b"".join(map(value, (offset, shape, strides, False)))
    return name("torch._utils._rebuild_tensor_v2") + b"(" + arguments + b"}tR"


def weights(tensor_bytes: bytes) -> bytes:
    """A state dict with one tensor."""
    return program(b"}(", text("model.weight"), tensor_bytes, b"u")


def running(canary: Path) -> dict[str, bytes]:
    """Pickles that create their canary when they are run."""

    def touch(case: str) -> str:
        return f"touch {canary / case}"

    def python(case: str) -> str:
        return f"open({str(canary / case)!r}, 'w').close()"

    pickles: dict[str, bytes] = {}

    def add(case: str, build: Callable[[str], bytes]) -> None:
        pickles[f"run_{case}"] = build(f"run_{case}")

    shell = "posix.system"
    code = "builtins.exec"
    add("os_system", lambda c: pushed(Call("os.system", touch(c))))
    add("posix_system", lambda c: pushed(Call(shell, touch(c))))
    add("popen", lambda c: pushed(Call("subprocess.check_call", ["touch", str(canary / c)])))
    add("os_popen", lambda c: pushed(Call("os.popen", touch(c))))
    add("spawn", lambda c: pushed(Call("os.spawnlp", 0, "touch", "touch", str(canary / c))))
    add("eval", lambda c: pushed(Call("builtins.eval", python(c))))
    add("exec", lambda c: pushed(Call(code, python(c))))
    add("exec_python2_name", lambda c: program(name("__builtin__.exec"), value((python(c),)), b"R"))
    add("open", lambda c: pushed(Call("builtins.open", str(canary / c), "w")))
    add("io_open", lambda c: pushed(Call("_io.open", str(canary / c), "w")))
    add("mkdir", lambda c: pushed(Call("os.mkdir", str(canary / c))))
    add(
        "map",
        lambda c: pushed(Call("builtins.list", Call("builtins.map", Name(shell), [touch(c)]))),
    )
    add(
        "timeit",
        lambda c: pushed(Call("timeit.timeit", python(c), "pass", Name("time.perf_counter"), 1)),
    )
    add("pdb_run", lambda c: pushed(Call("cProfile.run", python(c))))
    add("pickle_loads", lambda c: pushed(Call("_pickle.loads", pushed(Call(shell, touch(c))))))
    add(
        "getattr_chain",
        lambda c: program(
            *(name("builtins.getattr"), value((Name("os.path"), "os")), b"R0"),
            *(name("builtins.getattr"), b"(", value(Call("importlib.import_module", "os"))),
            *(text("system"), b"tR", value((touch(c),)), b"R"),
        ),
    )
    add(
        "attrgetter",
        lambda c: program(
            *(value(Call("operator.attrgetter", "system")),),
            *(b"(", value(Call("importlib.import_module", "os")), b"tR"),
            *(value((touch(c),)), b"R"),
        ),
    )
    add(
        "methodcaller",
        lambda c: program(
            value(Call("operator.methodcaller", "touch")),
            value((Call("pathlib.Path", str(canary / c)),)) + b"R",
        ),
    )
    add(
        "partial",
        lambda c: program(value(Call("functools.partial", Name(shell), touch(c))), b")R"),
    )
    add(
        "marshal_code",
        lambda c: program(
            name("types.FunctionType"),
            b"(" + value(Call("marshal.loads", marshal.dumps(compile(python(c), "x", "exec")))),
            value({"__builtins__": Call("importlib.import_module", "builtins")}) + b"tR)R",
        ),
    )
    add(
        "dotted_name",
        lambda c: (
            b"\x80\x04" + text("os") + text("path.os.system") + b"\x93" + value((touch(c),)) + b"R."
        ),
    )
    add(
        "stack_global",
        lambda c: b"\x80\x04" + text("os") + text("system") + b"\x93" + value((touch(c),)) + b"R.",
    )
    add("inst", lambda c: b"(" + f"S'{touch(c)}'\n".encode() + b"iposix\nsystem\n.")
    add("obj", lambda c: b"(" + SYSTEM + text(touch(c)) + b"o.")
    add(
        "newobj",
        lambda c: program(name("subprocess.Popen"), b")\x81", b"0", value(Call(shell, touch(c)))),
    )
    add(
        "reduce_in_state",
        lambda c: program(b"}(", text("model"), value({"a.weight": Call(shell, touch(c))}), b"u"),
    )
    add("in_tuple_key", lambda c: program(b"}(", value((Call(shell, touch(c)),)), b"Nu"))
    add("popped", lambda c: program(value(Call(shell, touch(c))), b"0}"))
    add("after_valid_memo", lambda c: program(b"}q\x00", value(Call(shell, touch(c))), b"0h\x00"))
    for protocol in range(6):
        add(
            f"protocol_{protocol}",
            lambda c, p=protocol: pickle.dumps(_Evil(touch(c)), p),  # type: ignore[misc]
        )
    return pickles


class _Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self.command,)


NAMES = (
    *("torch.load", "torch.storage._load_from_bytes", "torch.hub.load", "torch.jit.load"),
    *("torch.serialization.load", "torch.utils.cpp_extension.load", "torch._utils.importlib"),
    *("numpy.load", "numpy.testing._private.utils.runstring", "numpy.core.multiarray.fromfile"),
    *("ctypes.CDLL", "runpy.run_path", "code.interact", "pty.spawn", "shutil.rmtree"),
    *("webbrowser.open", "socket.create_connection", "urllib.request.urlopen"),
    *("builtins.__import__", "builtins.getattr", "builtins.type", "builtins.bytearray"),
    *("models.common.os.system", "torch.nn.modules.os.system", "torchvision.models.resnet"),
    *("collections.Counter", "collections.defaultdict", "copyreg.add_extension"),
    *("multiprocessing.util.Finalize", "edgeyolo.checkpoints.load.load_model", "modelsx.A"),
)


def names() -> dict[str, bytes]:
    """Names outside the allow-list, called with an argument that makes them work."""
    files = {f"name_{dotted}": zipped(pushed(Call(dotted, "/etc/passwd"))) for dotted in NAMES}
    nested = zipped(pushed(Call("posix.system", "true")))
    files["name_nested_checkpoint"] = zipped(
        program(name("torch.storage._load_from_bytes"), value((nested,)), b"R")
    )
    return files


def opcodes() -> dict[str, bytes]:
    """Opcodes in combinations that torch.save never writes."""
    module = name("models.yolo.Model") + b")\x81"
    programs = {
        "ext1": b"\x82\x01",
        "ext2": b"\x83\x01\x00",
        "ext4": b"\x84\x01\x00\x00\x00",
        "ext_zero": b"\x82\x00",
        "next_buffer": b"\x97",
        "readonly_buffer": b"N\x98",
        "unknown_opcode": b"\xff",
        "protocol_77": b"\x80\x4d}",
        "stack_global_numbers": b"K\x01K\x02\x93",
        "stack_global_lists": b"]]\x93",
        "inst_of_a_network": b"(imodels.yolo\nModel\n",
        "obj_of_a_network": b"(" + name("models.yolo.Model") + b"o",
        "newobj_of_a_function": name("torch._utils._rebuild_tensor_v2") + b")\x81",
        "newobj_of_text": text("os") + b")\x81",
        "newobj_with_arguments": name("models.yolo.Model") + value(("x",)) + b"\x81",
        "newobj_ex_keywords": name("models.yolo.Model") + b")" + value({"a": 1}) + b"\x92",
        "reduce_of_a_record": module + b")R",
        "reduce_of_a_dict": b"})R",
        "reduce_with_a_list": ORDERED + b"]R",
        "reduce_of_a_marker": name("torch.Tensor") + b")R",
        "reduce_wrong_arity": name("torch._utils._rebuild_tensor_v2") + b")R",
        "build_text_state": module + text("state") + b"b",
        "build_setstate": module + value({"__setstate__": 1}) + b"b" + text("id") + b"b",
        "build_slots_state": module + value((None, {"a": 1})) + b"b",
        "build_on_a_list": b"]}b",
        "build_on_a_number": b"K\x01}b",
        "build_on_a_tensor": tensor(storage(1), 0, (1,), (1,)) + b"}b",
        "build_on_a_name": name("torch.Tensor") + value({"x": 1}) + b"b",
        "append_to_a_dict": b"}Na",
        "appends_to_a_record": module + b"(Ne",
        "setitem_on_a_list": b"]NNs",
        "setitem_on_a_record": module + b"NNs",
        "setitems_odd": b"}(Nu",
        "key_list": b"}]Ns",
        "key_dict": b"}}Ns",
        "key_tuple_with_list": b"}]\x85Ns",
        "key_record": b"}" + module + b"Ns",
        "key_float": b"}G\x7f\xf8\0\0\0\0\0\0Ns",
        "key_huge_integer": b"}\x8a\x10" + b"\x7f" * 16 + b"Ns",
        "set_of_lists": b"\x8f(]\x90",
        "frozenset_of_lists": b"(]\x91",
        "pop_nothing": b"0",
        "stop_on_nothing": b"",
        "stop_on_a_mark": b"(",
        "mark_missing": b"t",
        "duplicate_a_mark": b"(2",
        "memo_missing": b"h\x07",
        "memo_of_nothing": b"q\x00",
        "memo_index_text": b"g-1\n",
        "bad_float": b"Fzero\n",
        "bad_integer": b"I0x10\n",
        "bad_quotes": b"S'abc\n",
        "bad_escape": b"S'\\x'\n",
        "bad_utf8": b"X\x02\0\0\0\xff\xfe",
        "bad_unicode_escape": b"V\\u12\n",
        "encode_rot13": value(Call("_codecs.encode", "abc", "rot13")),
        "encode_a_number": value(Call("_codecs.encode", 1, "latin1")),
        "reconstructor_base": value(
            Call("copy_reg._reconstructor", Name("models.yolo.Model"), Name("torch.Tensor"), None)
        ),
        "reconstructor_of_system": name("copy_reg._reconstructor") + b"(" + SYSTEM + b"NNtR",
        "ordered_dict_of_numbers": value(Call("collections.OrderedDict", (1, 2))),
        "ordered_dict_list_keys": value(Call("collections.OrderedDict", ([([], 1)]))),
        "plain_text": text("weights"),
        "no_weights": value({"model": {}, "epoch": 1}),
    }
    return {f"opcode_{case}": zipped(program(body)) for case, body in programs.items()}


def arrays() -> dict[str, bytes]:
    """numpy arrays and scalars that hold objects or lie about their size."""
    array = Call("numpy._core.multiarray._reconstruct", Name("numpy.ndarray"), (0,), b"b")
    double = value(Call("numpy.dtype", "f8", False, True)) + value((3, "<", None)) + b"b"

    def filled(shape: bytes, dtype: bytes, data: bytes) -> bytes:
        return value(array) + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"

    programs = {
        "of_objects": filled(value((1,)), value(Call("numpy.dtype", "O8")), value([None])),
        "objects_as_doubles": filled(value((1,)), double, value([None])),
        "of_records": filled(value((1,)), value(Call("numpy.dtype", "V8")), value(b"x" * 8)),
        "of_text": filled(value((1,)), value(Call("numpy.dtype", "U9999999")), value(b"")),
        "dtype_of_a_list": value(Call("numpy.dtype", [("a", "O")])),
        "huge_shape": filled(value((2**40,)), double, value(b"12345678")),
        "many_dimensions": filled(value((1,) * 40), double, value(b"12345678")),
        "negative_shape": filled(value((-1,)), double, value(b"12345678")),
        "overflowing_shape": filled(value((2**32, 2**32)), double, value(b"")),
        "short_data": filled(value((2,)), double, value(b"12345678")),
        "scalar_of_objects": value(
            Call("numpy.core.multiarray.scalar", Call("numpy.dtype", "O"), b"x")
        ),
        "scalar_short": name("numpy.core.multiarray.scalar") + b"(" + double + value(b"12") + b"tR",
        "subclass": value(
            Call("numpy.core.multiarray._reconstruct", Name("models.common.Conv"), (0,), b"b")
        ),
        "wrong_state": value(array) + value((1, 2)) + b"b",
    }
    return {f"array_{case}": zipped(program(body)) for case, body in programs.items()}


def sizes() -> dict[str, bytes]:
    """Claims of more than there is, and little bytes that become many."""
    many = 1_000_000
    module = name("models.yolo.Model") + b")\x81"
    programs = {
        "text_4_bytes": b"X\xff\xff\xff\xff",
        "text_8_bytes": b"\x8d" + struct.pack("<Q", 2**62),
        "bytes_4_bytes": b"B\xff\xff\xff\xff",
        "bytes_8_bytes": b"\x8e" + struct.pack("<Q", 2**63),
        "bytearray": b"\x96" + struct.pack("<Q", 2**40),
        "python2_text": b"T\xff\xff\xff\x7f",
        "long_4_bytes": b"\x8b\xff\xff\xff\x7f",
        "long_1_byte": b"\x8a\xff" + b"\x7f" * 255,
        "long_decimal": b"L" + b"9" * many + b"L\n",
        "integer_decimal": b"I" + b"9" * 4000 + b"\n",
        "line_without_end": b"V" + b"a" * many,
        "escapes": b"S'" + b"\\x41\\111" * 500 + b"\\q'\n",
        "frame": b"\x95" + struct.pack("<Q", 2**63) + b"}",
        "memo_index": b"}r\xff\xff\xff\xff",
        "dict_flood": b"}" * (15 << 20),
        "set_flood": b"\x8f" * (15 << 20),
        "mark_flood": b"(" * (15 << 20),
        "list_flood": b"(" + b"]" * 2_900_000 + b"l",
        "memo_flood": b"N" + b"\x94" * (15 << 20),
        "duplicate_flood": b"N" + b"2" * (15 << 20),
        "name_flood": name("torch.Tensor") * 400_000,
        "module_flood": module * 400_000,
        "wide_text": b"X"
        + struct.pack("<I", 12 << 20)
        + b"\xf0\x9f\x98\x80"
        + b"a" * ((12 << 20) - 4),
        "wide_text_thrice": (text("\U0001f600" + "a" * (4 << 20)) * 3),
        "pickle_too_long": b"N0" * (20 << 20),
        "ordered_dict_copies": b"("
        + b"".join(value((str(i), i)) for i in range(20_000))
        + b"lq\x00"
        + (ORDERED + b"h\x00\x85R0") * 1000,
        "encode_copies": text("a" * (4 << 20))
        + b"q\x00"
        + (name("_codecs.encode") + b"h\x00" + text("latin1") + b"\x86R") * 200,
        "shape_copies": b"("
        + b"K\x01" * 100_000
        + b"tq\x00"
        + (name("torch.Size") + b"h\x00\x85R") * 3000,
        "update_copies": value({str(i): i for i in range(20_000)})
        + b"q\x00"
        + (module + b"h\x00b") * 1000,
    }
    files = {f"size_{case}": zipped(program(body)) for case, body in programs.items()}
    tensors = {
        "storage_count": tensor(storage(2**60), 0, (4,), (1,)),
        "storage_count_over_by_one": tensor(storage(5), 0, (4,), (1,)),
        "storage_count_negative": tensor(storage(-4), 0, (4,), (1,)),
        "storage_count_boolean": tensor(storage(True), 0, (1,), (1,)),
        "storage_count_float": tensor(storage(4.0), 0, (4,), (1,)),
        "storage_wider_type": tensor(storage(4, kind="torch.DoubleStorage"), 0, (4,), (1,)),
        "shape_beyond": tensor(storage(4), 0, (5,), (1,)),
        "offset_beyond": tensor(storage(4), 1, (4,), (1,)),
        "offset_negative": tensor(storage(4), -1, (4,), (1,)),
        "stride_beyond": tensor(storage(4), 0, (2, 2), (3, 1)),
        "stride_negative": tensor(storage(4), 3, (4,), (-1,)),
        "stride_zero_expands": tensor(storage(4), 0, (2**40,), (0,)),
        "shape_negative": tensor(storage(4), 0, (-4,), (1,)),
        "shape_overflow": tensor(storage(4), 0, (2**62, 2**62, 4), (0, 0, 1)),
        "shape_of_text": tensor(storage(4), 0, ("4",), (1,)),
        "shape_long": tensor(storage(4), 0, (1,) * 50_000, (1,) * 50_000),
        "shape_without_strides": tensor(storage(4), 0, (4,), ()),
        "storage_missing": tensor(value("0"), 0, (4,), (1,)),
    }
    files |= {
        f"size_{case}": zipped(weights(body), {"0": bytes(16)}) for case, body in tensors.items()
    }
    return files


def identities() -> dict[str, bytes]:
    """Persistent ids that are none of torch's."""
    ids = {
        "number": 7,
        "text": "storage",
        "empty": (),
        "unknown_kind": ("file", "/etc/passwd"),
        "text_type": ("storage", "FloatStorage", "0", "cpu", 4),
        "network_type": ("storage", Name("models.common.Conv"), "0", "cpu", 4),
        "path_key": ("storage", Name("torch.FloatStorage"), "../../../etc/passwd", "cpu", 4),
        "number_key": ("storage", Name("torch.FloatStorage"), 0, "cpu", 4),
        "unknown_key": ("storage", Name("torch.FloatStorage"), "9", "cpu", 4),
        "short": ("storage", Name("torch.FloatStorage"), "0"),
        "view_beyond": ("storage", Name("torch.FloatStorage"), "0", "cpu", 4, ("v", 3, 2)),
        "view_negative": ("storage", Name("torch.FloatStorage"), "0", "cpu", 4, ("v", -1, 2)),
        "view_text": ("storage", Name("torch.FloatStorage"), "0", "cpu", 4, "view"),
        "module_of_text": ("module", "os.system", "file.py", "import os"),
        "module_of_tensor": ("module", Name("torch.Tensor"), "file.py", "import os"),
        "evil_type": ("storage", Name("posix.system"), "0", "cpu", 4),
    }
    files = {
        f"identity_{case}": zipped(
            weights(tensor(value(body) + b"Q", 0, (4,), (1,))), {"0": bytes(16)}
        )
        for case, body in ids.items()
    }
    files["identity_line"] = zipped(program(b"Pstorage\n"))
    files["identity_in_a_plain_pickle"] = program(b"N", b"Q")
    return files


def loops() -> dict[str, bytes]:
    """Objects that hold themselves, or nest without end."""
    deep = 300_000
    module = name("models.yolo.Model") + b")\x81"
    child = (
        b"q\x01"
        + module
        + b"}("
        + text("_modules")
        + b"}("
        + text("a")
        + b"h\x01"
        + text("b")
        + b"h\x01uub"
    )
    leaf = module + value({"_parameters": {"weight": None}}) + b"b"
    programs = {
        "list_in_itself": b"]q\x00h\x00a",
        "dict_in_itself": b"}q\x00" + text("model") + b"h\x00s",
        "tuple_in_its_list": b"](]q\x00h\x00\x85ae",
        "module_in_itself": module + b"q\x00}" + text("_modules") + b"}" + text("a") + b"h\x00ssb",
        "ema_in_itself": b"}q\x00" + text("ema") + module + b"}" + text("_modules") + b"h\x00sbs",
        "deep_lists": b"]" * deep + b"a" * (deep - 1),
        "deep_tuples": b")" + b"\x85" * deep,
        "deep_dicts": (b"}" + b"N") * deep + b"N" + b"s" * deep,
        "deep_tuple_as_key": b"})" + b"\x85" * deep + b"Ns",
        "deep_modules": (module + b"}" + text("x")) * 60_000 + b"N" + b"sb" * 60_000,
        "modules_that_double": leaf + child * 90,
        "lists_that_double": b"]" + b"q\x01](h\x01h\x01e" * 90,
    }
    return {f"loop_{case}": zipped(program(body)) for case, body in programs.items()}


def zips() -> dict[str, bytes]:
    """Archives that are bombs, lie in their directory, or hide a second pickle."""
    good = weights(tensor(storage(4), 0, (4,), (1,)))

    def packed(data: bytes, method: int, **entries: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("archive/data.pkl", data)
            for key, content in entries.items():
                archive.writestr(f"archive/data/{key}", content)
        return buffer.getvalue()

    def directory(content: bytes, place: int, layout: str, number: int) -> bytes:
        """With a number in the last directory entry overwritten."""
        at = content.rfind(b"PK\x01\x02") + place
        new = struct.pack(layout, number)
        return content[:at] + new + content[at + len(new) :]

    def end(content: bytes, place: int, layout: str, number: int) -> bytes:
        at = content.rfind(b"PK\x05\x06") + place
        new = struct.pack(layout, number)
        return content[:at] + new + content[at + len(new) :]

    plain = zipped(good, {"0": bytes(16)})
    two = io.BytesIO()
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a/data.pkl", good)
        archive.writestr("b/data.pkl", good)
    big = b"N0" * (256 << 20 >> 1)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflater.compress(big) + deflater.flush()
    return {
        "zip_bomb_pickle": packed(b"\0" * (100 << 20), zipfile.ZIP_DEFLATED),
        "zip_bomb_storage": packed(good, zipfile.ZIP_DEFLATED, **{"0": bytes(100 << 20)}),
        "zip_bomb_bzip2": packed(b"\0" * (50 << 20), zipfile.ZIP_BZIP2),
        "zip_bomb_lzma": packed(b"\0" * (50 << 20), zipfile.ZIP_LZMA),
        "zip_of_bomb_bytes": zipped(bomb),
        "zip_entry_size": directory(plain, 20, "<Q", 0xFFFFFFFEFFFFFFFE),
        "zip_entry_offset": directory(plain, 42, "<I", 0xFFFFFFF0),
        "zip_entry_crc": directory(plain, 16, "<I", 1),
        "zip_entry_overlap": directory(plain, 42, "<I", 0),
        "zip_count": end(plain, 10, "<H", 0xFFFF),
        "zip_directory_size": end(plain, 12, "<I", 0xFFFFFFFE),
        "zip_directory_offset": end(plain, 16, "<I", 0xFFFFFFFE),
        "zip_two_pickles": two.getvalue(),
        "zip_end_only": b"PK\x03\x04" + b"PK\x05\x06" + bytes(18),
        "zip_duplicate_entry": plain.replace(b"archive/data/0", b"archive/data.pkl"[:14]),
        "zip_encrypted": directory(plain, 8, "<H", 1),
    }


def streams(canary: Path) -> dict[str, bytes]:
    """The two old containers, with payloads at every place where a pickle stands."""
    evil = pushed(Call("posix.system", f"touch {canary / 'stream'}"))
    good = weights(tensor(storage(4), 0, (4,), (1,)))
    viewed = weights(
        tensor(
            value(("storage", Name("torch.FloatStorage"), "0", "cpu", 4, None)) + b"Q",
            0,
            (4,),
            (1,),
        )
    )
    keys = pickle.dumps(["0"], 2)
    count = struct.pack("<q", 4)
    storages = pickle.dumps(1, 2) + program(value((1, "cpu", Name("torch.FloatStorage"))))
    views = pickle.dumps([], 2)
    tensors = pickle.dumps(1, 2) + program(value((2, 1, Name("torch.FloatTensor"))))

    def tar_tensor(dimensions: int, *numbers: int) -> bytes:
        return tensors + struct.pack(f"<i4x{len(numbers)}q", dimensions, *numbers)

    whole = storages + count + bytes(16) + views
    shape = tar_tensor(1, 4, 1, 0)
    root = program(b"}(", text("a.weight"), text("2"), b"Qu")
    header_size = tarred(storages=whole, tensors=shape, pickle=root)
    return {
        "stream_evil_root": streamed(evil),
        "stream_evil_first": evil,
        "stream_evil_machine": streamed(good, machine=evil),
        "stream_evil_keys": streamed(good, evil),
        "stream_other_protocol": pickle.dumps(MAGIC, 2) + pickle.dumps(1002, 2),
        "stream_big_endian": streamed(viewed, keys, pickle.dumps({"little_endian": False}, 2)),
        "stream_count": streamed(viewed, keys + struct.pack("<q", 2**60) + bytes(16)),
        "stream_count_negative": streamed(viewed, keys + struct.pack("<q", -4) + bytes(16)),
        "stream_claim": streamed(weights(tensor(storage(2**58), 0, (4,), (1,))), keys),
        "stream_keys_repeated": streamed(
            viewed, pickle.dumps(["0", "0"], 2) + (count + bytes(16)) * 2
        ),
        "stream_keys_unknown": streamed(viewed, pickle.dumps(["1"], 2) + count + bytes(16)),
        "stream_keys_missing": streamed(viewed, pickle.dumps([], 2)),
        "stream_keys_no_list": streamed(viewed, pickle.dumps(7, 2)),
        "stream_cut": streamed(viewed, keys + count + bytes(15)),
        "stream_plain_pickle": pickle.dumps({"model": {"a.weight": 1}}, 2),
        "tar_evil_pickle": tarred(storages=whole, tensors=shape, pickle=evil),
        "tar_evil_storages": tarred(storages=evil, tensors=shape, pickle=root),
        "tar_evil_tensors": tarred(storages=whole, tensors=evil, pickle=root),
        "tar_missing_member": tarred(storages=whole, pickle=root),
        "tar_storage_count": tarred(
            storages=storages + struct.pack("<q", 2**60), tensors=shape, pickle=root
        ),
        "tar_storage_negative": tarred(
            storages=storages + struct.pack("<q", -1) + views, tensors=shape, pickle=root
        ),
        "tar_many_storages": tarred(storages=pickle.dumps(2**60, 2), tensors=shape, pickle=root),
        "tar_view_beyond": tarred(
            storages=storages + count + bytes(16) + pickle.dumps([(9, 1, 3, 2)], 2),
            tensors=shape,
            pickle=root,
        ),
        "tar_tensor_beyond": tarred(storages=whole, tensors=tar_tensor(1, 5, 1, 0), pickle=root),
        "tar_tensor_dimensions": tarred(storages=whole, tensors=tar_tensor(2**31 - 1), pickle=root),
        "tar_member_size": header_size[:124] + b"77777777777\0" + header_size[136:],
        "tar_traversal": tarred(**{"../../storages": whole, "tensors": shape, "pickle": root}),
    }


def files(canary: Path) -> dict[str, bytes]:
    """Every hostile file, by name."""
    runs = running(canary)
    result = {f"{case}.zip": zipped(data) for case, data in runs.items()}
    result |= {f"{case}.raw": data for case, data in runs.items()}
    result |= {f"{case}.stream": streamed(data) for case, data in runs.items()}
    for group in (names(), opcodes(), arrays(), sizes(), identities(), loops(), zips()):
        result |= group
    return result | streams(canary)
