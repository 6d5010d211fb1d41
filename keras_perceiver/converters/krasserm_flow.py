"""krasserm/perceiver-io's optical flow model, in the layout of its hub checkpoint."""

from keras_perceiver.converters.apply import module_rows
from keras_perceiver.converters.krasserm import (
    DECODER,
    ENCODER,
    ROOT,
    cross_rows,
    encoder_options,
    encoder_rows,
    sections,
    spec,
)
from keras_perceiver.ops.fourier import feature_channels

PATCH_INPUT_CHANNELS = 27  # of a frame: 3 x 3 pixels of 3 channels
FLOW_ENCODER = {
    **ENCODER,
    "image_shape": [368, 496],
    "num_patch_input_channels": PATCH_INPUT_CHANNELS,
    "num_patch_hidden_channels": 64,
    "num_frequency_bands": 64,
}
FLOW_DECODER = {
    **DECODER,
    "image_shape": FLOW_ENCODER["image_shape"],
    "rescale_factor": 100.0,
}


def optical_flow(folder, config):
    """`(form, table, ignored)` of a `perceiver-io-optical-flow` folder.

    See `keras_perceiver.converters.describe`.
    """
    model, encoder, decoder = sections(config, FLOW_ENCODER, FLOW_DECODER)
    for name, received, expected in (
        (
            "num_patch_input_channels",
            encoder["num_patch_input_channels"],
            PATCH_INPUT_CHANNELS,
        ),
        ("image_shape of the decoder", decoder["image_shape"], encoder["image_shape"]),
    ):
        if received != expected:
            raise ValueError(
                f"`{name}` must be {expected} in config.json. Received: {received}"
            )
    bands, channels = encoder["num_frequency_bands"], encoder["num_patch_hidden_channels"]
    options = encoder_options(model, encoder)
    residual = decoder["cross_attention_residual"]
    form = {
        "class_name": "OpticalFlow",
        "config": {
            "encoder": {
                "class_name": "OpticalFlowEncoder",
                "config": {
                    "image_shape": list(encoder["image_shape"]),
                    "patch_channels": channels,
                    "num_bands": bands,
                    **options,
                },
            },
            # There, channels default to those of the queries, which are the inputs.
            "cross_attention": spec(
                decoder, "cross", channels + feature_channels(2, bands)
            ),
            "query_residual": residual,
            "init_scale": decoder["init_scale"],
            "rescale_factor": decoder["rescale_factor"],
        },
    }
    return form, _table(options, residual), (lambda x: x.endswith(".position_encoding"),)


def _table(options, residual):
    yield from encoder_rows(options)
    yield from module_rows("patch_projection", f"{ROOT}0.input_adapter.linear")
    yield from cross_rows("decoder/cross_attention", "1.cross_attn", residual)
    yield from module_rows("head", f"{ROOT}1.output_adapter.linear")
