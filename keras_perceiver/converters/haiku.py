"""DeepMind's original parameters, by the names that Haiku gave them.

Its linear layers have kernels `[in, out]` and its convolutions `[H, W, in, out]`, as
Keras has.
"""

from keras_perceiver.converters.apply import first_of_three, first_of_two

LAYER = (
    ("attention/query", "attention/linear"),
    ("attention/key", "attention/linear_1"),
    ("attention/value", "attention/linear_2"),
    ("attention/output", "attention/linear_3"),
    ("mlp_in", "mlp/linear"),
    ("mlp_out", "mlp/linear_1"),
)
CROSS = (
    ("query_norm", "layer_norm"),
    ("context_norm", "layer_norm_1"),
    ("mlp_norm", "layer_norm_2"),
    *LAYER,
)
SELF = (("norm", "layer_norm"), ("mlp_norm", "layer_norm_1"), *LAYER)
POSITIONS = "trainable_position_encoding/pos_embs"
# Names of encoder and decoder by our class.
SCOPES = {
    "ImageClassifier": ("perceiver_encoder", "classification_decoder/~/basic_decoder"),
    "MaskedLM": ("perceiver_encoder", "basic_decoder"),
    "MultimodalAutoencoder": ("encoder", "multimodal_decoder/~/basic_decoder"),
    "OpticalFlow": ("perceiver_encoder", "flow_decoder/~/basic_decoder"),
}
# Name of what makes outputs of answers, by the kind of input.
POSTPROCESSORS = {
    "audio": "audio_postprocessor",
    "image": "projection_postprocessor",
    "label": "classification_postprocessor",
}
# What running means count, and hold before they are corrected.
IGNORED = (lambda name: name.endswith(("/counter", "/hidden")),)


def table(class_name, encoder):
    """Rows `(our path, their name, transform)` of all weights of a model.

    Args:
        class_name: ours, a key of `SCOPES`.
        encoder: arguments of its encoder.
    """
    scope, decoder = SCOPES[class_name]
    theirs = f"{scope}/~"
    yield "encoder/latents", f"{theirs}/{POSITIONS}", None
    yield from _rows("encoder/first_cross_attention", f"{theirs}/cross_attention", CROSS)
    for i in range(encoder["layers_per_block"]):
        layer = f"{theirs}/self_attention{f'_{i}' if i else ''}"
        yield from _rows(f"encoder/first_block/layer_{i}", layer, SELF)
    yield from _rows("decoder/cross_attention", f"{decoder}/cross_attention", CROSS)
    if class_name == "MaskedLM":
        yield "token_embedding/embeddings", "embed/embeddings", None
        yield "positions/positions", POSITIONS, None
        yield "queries/queries", f"{decoder}/~/{POSITIONS}", None
        yield "logits/bias", "embedding_decoder/bias", None
    elif class_name == "OpticalFlow":
        yield from _linear("patch_projection", "image_preprocessor/patches_linear")
        yield from _linear("head", f"{decoder}/output")
    elif class_name == "MultimodalAutoencoder":
        yield from _linear("answers", f"{decoder}/output")
        yield from _modality_rows()
    else:
        yield "query/queries", f"{decoder}/~/{POSITIONS}", None
        yield from _linear("logits", f"{decoder}/output")
        yield from _image_rows(encoder)


def _image_rows(encoder):
    """What stands before the encoder of an image classifier."""
    theirs = "image_preprocessor/~"
    if encoder["positions"] is not None:
        inputs = "image_preprocessor/~_build_network_inputs"
        yield "positions/positions", f"{inputs}/{POSITIONS}", None
        yield from _linear(
            "positions/projection", f"{inputs}/position_encoding_projector/linear"
        )
        yield "stem/kernel", f"{theirs}/conv2_d/w", first_of_two
        yield "stem/bias", f"{theirs}/conv2_d/b", None
    elif encoder["stem"] is not None:
        stem = f"{theirs}/conv2_d_downsample/~"
        yield "stem/kernel", f"{stem}/conv/w", None
        for ours, name in (
            ("gamma", "scale"),
            ("beta", "offset"),
            ("moving_mean", "~/mean_ema/average"),
            ("moving_variance", "~/var_ema/average"),
        ):
            yield f"stem_norm/{ours}", f"{stem}/batchnorm/{name}", first_of_three


def _modality_rows():
    """What stands before the encoder and after the decoder of a multimodal model."""
    for name, postprocessor in POSTPROCESSORS.items():
        inputs = f"multimodal_preprocessor/{name}"
        yield f"{name}_padding/padding", f"{inputs}_padding/pos_embs", None
        yield f"{name}_mask_token/token", f"{inputs}_mask_token/pos_embs", None
        queries = f"multimodal_decoder/~decoder_query/{name}_padding"
        yield f"{name}_query_padding/padding", f"{queries}/pos_embs", None
        yield from _linear(f"{name}_output", f"{postprocessor}/linear")
    # Labels are asked for by a decoder of their own, of which only the query is used.
    _, decoder = SCOPES["ImageClassifier"]
    yield "label_queries/queries", f"{decoder}/~/{POSITIONS}", None


def _rows(ours, theirs, names):
    for our_name, their_name in names:
        path, module = f"{ours}/{our_name}", f"{theirs}/{their_name}"
        if our_name.endswith("norm"):
            yield f"{path}/gamma", f"{module}/scale", None
            yield f"{path}/beta", f"{module}/offset", None
        else:
            yield from _linear(path, module)


def _linear(ours, theirs):
    yield f"{ours}/kernel", f"{theirs}/w", None
    yield f"{ours}/bias", f"{theirs}/b", None
