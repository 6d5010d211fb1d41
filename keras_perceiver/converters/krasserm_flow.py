"""krasserm/perceiver-io's optical flow model, in the layout of its hub checkpoint."""

from keras_perceiver.converters.apply import check_demands, module_rows, named_tensors
from keras_perceiver.converters.krasserm_encoder import (
    DECODER,
    ENCODER,
    MODEL,
    ROOT,
    cross_rows,
    encoder_options,
    encoder_rows,
    encoder_section,
    sections,
    spec,
    spec_section,
)
from keras_perceiver.ops.fourier import feature_channels, fourier_features

MODEL_TYPE = "perceiver-io-optical-flow"
# A buffer: computed from the config, but in the file.
POSITIONS = f"{ROOT}0.input_adapter.position_encoding.position_encoding"
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
    return form, _table(options, residual), (lambda name: name == POSITIONS,)


def written(model):
    """`(config, tensors)` of an `OpticalFlow` in that library: `optical_flow` backwards."""
    frames, encoder = model.encoder, model.get_layer("encoder")
    specs = {
        "inputs": encoder.cross_attention,
        "latents": encoder.self_attention,
        "outputs": model.cross_attention,
    }
    dropout = encoder.cross_attention.dropout
    demands = {"dropout of the attention to latents": (specs["latents"].dropout, dropout)}
    for name, attention in specs.items():
        where = f"of the attention to {name}"
        demands[f"activation {where}"] = (attention.activation, "gelu")
        demands[f"residual_dropout {where}"] = (attention.residual_dropout, 0)
    check_demands("krasserm/perceiver-io", demands)
    shape = list(frames.image_shape)
    attend = model.get_layer("decoder").cross.attend
    config = {
        **MODEL,
        "encoder": {
            **encoder_section(encoder),
            "image_shape": shape,
            "num_patch_input_channels": PATCH_INPUT_CHANNELS,
            "num_patch_hidden_channels": frames.patch_channels,
            "num_frequency_bands": frames.num_bands,
        },
        "decoder": {
            **DECODER,
            **spec_section(model.cross_attention, "cross"),
            # Theirs default to other channels than ours.
            "num_cross_attention_qk_channels": attend.key_dense.units,
            "num_cross_attention_v_channels": attend.value_dense.units,
            "cross_attention_residual": model.query_residual,
            "init_scale": model.init_scale,
            "image_shape": shape,
            "rescale_factor": model.rescale_factor,
        },
        "num_latents": encoder.num_latents,
        "num_latent_channels": encoder.latent_channels,
        "activation_checkpointing": encoder.remat,
    }
    rows = _table(encoder.get_config(), model.query_residual)
    tensors = named_tensors(model, rows, "krasserm/perceiver-io")
    features = fourier_features(shape, frames.num_bands)  # [height, width, channels]
    tensors[POSITIONS] = features.reshape(-1, features.shape[-1])
    return {"model_type": MODEL_TYPE, "model_config": config}, tensors


def _table(options, residual):
    yield from encoder_rows(options)
    yield from module_rows("patch_projection", f"{ROOT}0.input_adapter.linear")
    yield from cross_rows("decoder/cross_attention", "1.cross_attn", residual)
    yield from module_rows("head", f"{ROOT}1.output_adapter.linear")
