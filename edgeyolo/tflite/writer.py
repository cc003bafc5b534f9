"""A graph becomes the bytes of a ``.tflite`` file, with the schema classes that LiteRT ships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeyolo.errors import needs
from edgeyolo.tflite.graph import (
    AxisOptions,
    BlockOptions,
    ConvOptions,
    Graph,
    Kind,
    LeakyOptions,
    Operator,
    Options,
    PoolOptions,
    SliceOptions,
    Tensor,
)
from edgeyolo.tflite.reader import read

# Constants start on multiples of this, as the schema asks (force_align: 16).
_ALIGNMENT = 16

_INT8_VERSIONS: Mapping[Kind, int] = {
    Kind.CONV_2D: 3,  # weights per channel
    Kind.DEPTHWISE_CONV_2D: 3,
    Kind.QUANTIZE: 2,  # int8 to int8
    **dict.fromkeys(
        (
            Kind.ADD,
            Kind.CONCATENATION,
            Kind.DEQUANTIZE,
            Kind.GATHER,
            Kind.LEAKY_RELU,
            Kind.LOGISTIC,
            Kind.MAX_POOL_2D,
            Kind.MUL,
            Kind.PAD,
            Kind.RELU,
            Kind.RESIZE_NEAREST_NEIGHBOR,
            Kind.SPACE_TO_DEPTH,
            Kind.SPLIT_V,
            Kind.STRIDED_SLICE,
            Kind.SUB,
        ),
        2,
    ),
}


def to_bytes(graph: Graph, *, signature: str = "serving_default") -> bytes:
    """Serialise.

    Args:
        graph: Every operator input is a constant, a graph input or an earlier output.
        signature: Key of the signature that names inputs and outputs by their tensor names.

    Raises:
        MissingPackageError: ai-edge-litert is not installed.
    """
    with needs("ai-edge-litert", extra="tflite"):
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

    index = {name: number for number, name in enumerate(graph.tensors)}
    codes: dict[tuple[Kind, int], int] = {}
    for operator in graph.operators:
        codes.setdefault((operator.kind, _version(operator, graph)), len(codes))

    payloads: list[NDArray[np.uint8]] = []
    tensors = [_tensor(schema, tensor, payloads) for tensor in graph.tensors.values()]
    metadata = []
    for name, text in graph.metadata.items():
        payloads.append(np.frombuffer(text, np.uint8))
        metadata.append(schema.MetadataT(name, len(payloads)))

    model = schema.ModelT(
        version=3,
        description="edgeyolo",
        operatorCodes=[_code(schema, kind, version) for kind, version in codes],
        subgraphs=[
            schema.SubGraphT(
                tensors=tensors,
                inputs=_int32(index[name] for name in graph.inputs),
                outputs=_int32(index[name] for name in graph.outputs),
                operators=[
                    _operator(
                        schema, operator, index, codes[operator.kind, _version(operator, graph)]
                    )
                    for operator in graph.operators
                ],
                name="main",
            )
        ],
        buffers=[schema.BufferT(), *_aligned_buffers(schema, payloads)],
        metadata=metadata,
        signatureDefs=[
            schema.SignatureDefT(
                inputs=[schema.TensorMapT(name, index[name]) for name in graph.inputs],
                outputs=[schema.TensorMapT(name, index[name]) for name in graph.outputs],
                signatureKey=signature,
            )
        ],
    )
    # Room for everything at once: growing copies the whole file each time.
    size = sum(payload.nbytes + 64 for payload in payloads) + 512 * len(tensors) + (1 << 16)
    builder = flatbuffers.Builder(size)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def set_metadata(data: bytes, name: str, content: bytes) -> bytes:
    """The file with one metadata entry added or replaced; everything else as it was.

    Raises:
        ArtifactError: *data* is not a sound TFLite file.
        MissingPackageError: ai-edge-litert is not installed.
    """
    read(data, origin="file")
    with needs("ai-edge-litert", extra="tflite"):
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    kept = [item for item in model.metadata or () if item.name.decode() != name]
    buffers = [
        np.empty(0, np.uint8) if item.data is None else np.asarray(item.data, np.uint8)
        for item in model.buffers
    ]
    replaced = {item.buffer for item in model.metadata or ()} - {item.buffer for item in kept}
    # An entry that is replaced gives its buffer on; otherwise a new one is appended.
    place = replaced.pop() if replaced else len(buffers)
    payload = np.frombuffer(content, np.uint8)
    buffers[place : place + 1] = [payload]
    model.metadata = [*kept, schema.MetadataT(name, place)]
    empty = schema.BufferT()
    aligned = iter(_aligned_buffers(schema, (buffer for buffer in buffers if buffer.size)))
    model.buffers = [next(aligned) if buffer.size else empty for buffer in buffers]
    builder = flatbuffers.Builder(len(data) + len(content) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _version(operator: Operator, graph: Graph) -> int:
    first = graph.tensors[operator.inputs[0]].dtype
    if operator.kind is Kind.DEQUANTIZE:
        return {np.dtype(np.float16): 3, np.dtype(np.int8): 2}.get(first, 1)
    if operator.kind is Kind.QUANTIZE:
        return 1 if first == np.float32 else 2
    return _INT8_VERSIONS.get(operator.kind, 1) if first == np.int8 else 1


def _code(schema: Any, kind: Kind, version: int) -> Any:
    number = getattr(schema.BuiltinOperator, kind.value)
    # Readers older than schema 3a look only at the deprecated byte (127 = "see the other").
    return schema.OperatorCodeT(min(number, 127), None, version, number)


def _tensor(schema: Any, tensor: Tensor, payloads: list[NDArray[np.uint8]]) -> Any:
    buffer = 0
    if tensor.data is not None:
        payloads.append(np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8))
        buffer = len(payloads)
    quantization = schema.QuantizationParametersT()
    if tensor.quantization is not None:
        quantization.scale = np.asarray(tensor.quantization.scales, np.float32)
        quantization.zeroPoint = np.asarray(tensor.quantization.zero_points, np.int64)
        quantization.quantizedDimension = tensor.quantization.axis
    return schema.TensorT(
        shape=_int32(tensor.shape),
        type=getattr(schema.TensorType, tensor.dtype.name.upper()),
        buffer=buffer,
        name=tensor.name,
        quantization=quantization,
    )


def _aligned_buffers(schema: Any, payloads: Iterable[NDArray[np.uint8]]) -> list[Any]:
    class AlignedBuffer(schema.BufferT):  # type: ignore[misc]
        """CreateNumpyVector aligns to one byte; kernels read float32 straight from the file."""

        def Pack(self, builder: Any) -> int:  # noqa: N802
            builder.StartVector(1, self.data.size, _ALIGNMENT)
            builder.head = builder.Head() - self.data.size
            builder.Bytes[builder.Head() : builder.Head() + self.data.size] = self.data.tobytes()
            data = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, data)
            return int(schema.BufferEnd(builder))

    return [AlignedBuffer(payload) for payload in payloads]


def _operator(schema: Any, operator: Operator, index: Mapping[str, int], code: int) -> Any:
    result = schema.OperatorT(
        opcodeIndex=code,
        inputs=_int32(index[name] for name in operator.inputs),
        outputs=_int32(index[name] for name in operator.outputs),
    )
    options = _options(schema, operator)
    if options is not None:
        result.builtinOptions = options
        name = type(options).__name__.removesuffix("T")
        result.builtinOptionsType = getattr(schema.BuiltinOptions, name)
    return result


def _options(schema: Any, operator: Operator) -> Any:
    if operator.options is None:
        name = _PLAIN_OPTIONS.get(operator.kind)
        if operator.kind is Kind.SPLIT_V:
            return schema.SplitVOptionsT(numSplits=len(operator.outputs))
        return None if name is None else getattr(schema, name)()
    return _OPTION_WRITERS[type(operator.options)](schema, operator.kind, operator.options)


_PLAIN_OPTIONS: Mapping[Kind, str] = {
    Kind.ADD: "AddOptionsT",
    Kind.CAST: "CastOptionsT",
    Kind.DEQUANTIZE: "DequantizeOptionsT",
    Kind.DIV: "DivOptionsT",
    Kind.EXP: "ExpOptionsT",
    Kind.MUL: "MulOptionsT",
    Kind.PAD: "PadOptionsT",
    Kind.QUANTIZE: "QuantizeOptionsT",
    Kind.RESIZE_NEAREST_NEIGHBOR: "ResizeNearestNeighborOptionsT",
    Kind.SUB: "SubOptionsT",
}


def _conv(schema: Any, kind: Kind, options: ConvOptions) -> Any:
    depthwise = kind is Kind.DEPTHWISE_CONV_2D
    result = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    if depthwise:
        result.depthMultiplier = options.depth_multiplier
    result.padding = options.padding.value
    result.strideH, result.strideW = options.stride_hw
    result.dilationHFactor, result.dilationWFactor = options.dilation_hw
    return result


def _pool(schema: Any, kind: Kind, options: PoolOptions) -> Any:
    return schema.Pool2DOptionsT(
        padding=options.padding.value,
        strideH=options.stride_hw[0],
        strideW=options.stride_hw[1],
        filterHeight=options.kernel_hw[0],
        filterWidth=options.kernel_hw[1],
    )


def _axis(schema: Any, kind: Kind, options: AxisOptions) -> Any:
    if kind is Kind.GATHER:
        return schema.GatherOptionsT(axis=options.axis)
    return schema.ConcatenationOptionsT(axis=options.axis)


def _slice(schema: Any, kind: Kind, options: SliceOptions) -> Any:
    return schema.StridedSliceOptionsT(beginMask=options.begin_mask, endMask=options.end_mask)


def _leaky(schema: Any, kind: Kind, options: LeakyOptions) -> Any:
    return schema.LeakyReluOptionsT(alpha=options.alpha)


def _block(schema: Any, kind: Kind, options: BlockOptions) -> Any:
    return schema.SpaceToDepthOptionsT(blockSize=options.block_size)


_OPTION_WRITERS: Mapping[type[Options], Callable[[Any, Kind, Any], Any]] = {
    ConvOptions: _conv,
    PoolOptions: _pool,
    AxisOptions: _axis,
    SliceOptions: _slice,
    LeakyOptions: _leaky,
    BlockOptions: _block,
}


def _int32(values: Any) -> NDArray[np.int32]:
    return np.asarray(tuple(values), np.int32)
