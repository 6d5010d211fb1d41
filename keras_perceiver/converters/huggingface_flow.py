"""transformers' `PerceiverForOpticalFlow`: our form of it, its weights, and back."""

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.huggingface_encoder import (
    CROSS,
    DEFAULTS,
    NUM_BANDS,
    attention_channels,
    encoder_options,
    spec,
)
from keras_perceiver.ops.fourier import feature_channels

# Fixed in that class, not in its config.
PATCH_CHANNELS = 64
RESCALE_FACTOR = 100.0
INPUT_CHANNELS = PATCH_CHANNELS + feature_channels(2, NUM_BANDS)


def form(folder, config):
    """Form of an `OpticalFlow`."""
    config = {**DEFAULTS, **config}
    # Their decoder's channels are those of the latents or of the queries: the inputs.
    by_keys = config["cross_attention_shape_for_attention"] == "kv"
    return {
        "class_name": "OpticalFlow",
        "config": {
            "encoder": {
                "class_name": "OpticalFlowEncoder",
                "config": {
                    "image_shape": list(config["train_size"]),
                    "patch_channels": PATCH_CHANNELS,
                    "num_bands": NUM_BANDS,
                    **encoder_options(config),
                },
            },
            "cross_attention": spec(
                config, heads=1, qk_channels=None if by_keys else INPUT_CHANNELS
            ),
            "init_scale": config["initializer_range"],
            "rescale_factor": RESCALE_FACTOR,
        },
    }


def rows():
    """Rows of all weights that are not the encoder's."""
    patches = "perceiver.input_preprocessor.conv_after_patches"
    yield from module_rows("patch_projection", patches)
    decoder = "perceiver.decoder.decoder"
    yield from module_rows(
        "decoder/cross_attention", f"{decoder}.decoding_cross_attention", CROSS
    )
    yield from module_rows("head", f"{decoder}.final_layer")


def requirements(model, encoder):
    """What transformers' class demands of our `OpticalFlow`, and settings of its own."""
    channels = attention_channels(model.get_layer("decoder").cross)
    by_queries = channels == (INPUT_CHANNELS, INPUT_CHANNELS)
    widths = 2 * (INPUT_CHANNELS if by_queries else encoder.latent_channels,)
    return {
        "patch_channels": (model.encoder.patch_channels, PATCH_CHANNELS),
        "num_bands": (model.encoder.num_bands, NUM_BANDS),
        "query_residual": (model.query_residual, False),
        "rescale_factor": (model.rescale_factor, RESCALE_FACTOR),
        "num_heads of the decoder": (model.cross_attention.num_heads, 1),
        "(qk_channels, v_channels) of the decoder": (channels, widths),
    }, {
        "train_size": list(model.encoder.image_shape),
        "cross_attention_shape_for_attention": "q" if by_queries else "kv",
    }
