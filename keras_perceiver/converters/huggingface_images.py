"""What transformers' three image classifiers do to pixels: fixed in their classes."""

import dataclasses

from keras_perceiver.converters.apply import conv_kernel, module_rows, pointwise_kernel
from keras_perceiver.converters.huggingface_encoder import NUM_BANDS
from keras_perceiver.layers import LearnedPositionSpec, StemSpec

FOURIER = "PerceiverForImageClassificationFourier"
LEARNED = "PerceiverForImageClassificationLearned"
CONV = "PerceiverForImageClassificationConvProcessing"
# Arguments of our encoder by their class.
IMAGE_ENCODERS = {
    FOURIER: {"num_bands": NUM_BANDS, "max_resolution": (224, 224)},
    LEARNED: {
        "stem": StemSpec(kind="pointwise", channels=256),
        "positions": LearnedPositionSpec(channels=256, projection=256),
    },
    CONV: {
        "num_bands": NUM_BANDS,
        "max_resolution": (56, 56),
        "stem": StemSpec(kind="conv", channels=64, padding="symmetric"),
    },
}
# What PyTorch counts and nothing reads.
COUNTER = "perceiver.input_preprocessor.convnet.batchnorm.num_batches_tracked"


def adapter_rows(architecture):
    """Rows `(our path, their name, transform)` of what stands before the encoder."""
    adapter = "perceiver.input_preprocessor"
    if architecture == LEARNED:
        table = f"{adapter}.position_embeddings.position_embeddings"
        yield "stem/kernel", f"{adapter}.convnet_1x1.weight", pointwise_kernel
        yield "stem/bias", f"{adapter}.convnet_1x1.bias", None
        yield "positions/positions", table, None
        yield from module_rows("positions/projection", f"{adapter}.positions_projection")
    elif architecture == CONV:
        norm = f"{adapter}.convnet.batchnorm"
        yield "stem/kernel", f"{adapter}.convnet.conv.weight", conv_kernel
        yield from module_rows("", adapter, (("stem_norm", "convnet.batchnorm"),))
        yield "stem_norm/moving_mean", f"{norm}.running_mean", None
        yield "stem_norm/moving_variance", f"{norm}.running_var", None


def encoder_form(architecture, size):
    """Arguments of our encoder for images of `[height, width]`, as a form holds them."""
    fixed = {
        name: {"class_name": type(value).__name__, "config": value.get_config()}
        if dataclasses.is_dataclass(value)
        else value
        for name, value in IMAGE_ENCODERS[architecture].items()
    }
    return {"image_shape": [*size, 3], **fixed}


def image_architecture(encoder):
    """Their class for an `ImageEncoder`."""
    if encoder.positions is not None:
        return LEARNED
    return FOURIER if encoder.stem is None else CONV


def image_requirements(encoder):
    """What that class demands of an `ImageEncoder`: `{what: (received, expected)}`."""
    architecture = image_architecture(encoder)
    expected = {"stem": None, "positions": None, **IMAGE_ENCODERS[architecture]}
    received = {name: getattr(encoder, name) for name in expected}
    height, width, channels = encoder.image_shape
    demands = {"image channels": (channels, 3)}
    if architecture == LEARNED:
        # How positions began is nothing that transformers would know.
        scale = expected["positions"].init_scale
        received["positions"] = dataclasses.replace(encoder.positions, init_scale=scale)
        demands["image width"] = (width, height)
    else:
        received["max_resolution"] = tuple(encoder.max_resolution or encoder.grid)
    return demands | {name: (received[name], expected[name]) for name in expected}
