"""DeepMind's parameters, from an `.npz` by the names and shapes that Haiku gave them."""

import io
import pickle
import zipfile

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec, LearnedPositionSpec, StemSpec
from keras_perceiver.presets.catalogue import ARCHITECTURES
from keras_perceiver.presets.form import to_form
from keras_perceiver.presets.original import ORIGINALS
from tolerances import FLOAT32

SPEC = AttentionSpec(num_heads=2, activation="gelu_tanh")
OPTIONS = {
    "num_latents": 3,
    "latent_channels": 8,
    "layers_per_block": 3,
    "self_attention": SPEC,
    "cross_attention": AttentionSpec(num_heads=1, activation="gelu_tanh"),
}
HEAD = AttentionSpec(num_heads=1, activation="gelu_tanh")


def classifier(query_residual=True, **options):
    encoder = kp.models.ImageEncoder((8, 8, 3), **OPTIONS, **options)
    return kp.models.ImageClassifier(
        encoder, 5, cross_attention=HEAD, query_residual=query_residual
    )


def masked_lm():
    encoder = kp.models.TextEncoder(max_length=12, input_channels=6, **OPTIONS)
    return kp.models.MaskedLM(encoder, cross_attention=SPEC)


MODELS = {
    "perceiver_io_imagenet_conv": lambda: classifier(
        stem=StemSpec(channels=4, padding="same"), num_bands=2
    ),
    "perceiver_io_imagenet_fourier": lambda: classifier(num_bands=2),
    "perceiver_io_imagenet_learned": lambda: classifier(
        query_residual=False,
        stem=StemSpec(kind="pointwise", channels=4),
        positions=LearnedPositionSpec(channels=6, projection=5),
    ),
    "perceiver_io_language_bytes": masked_lm,
    "perceiver_io_optical_flow": lambda: kp.models.OpticalFlow(
        kp.models.OpticalFlowEncoder((6, 7), 4, 2, **OPTIONS), cross_attention=HEAD
    ),
}
# As in DeepMind's code: the leaves of one module are numbered in order of their making.
CROSS_LAYER = {
    "query_norm/gamma": "layer_norm/scale",
    "query_norm/beta": "layer_norm/offset",
    "context_norm/gamma": "layer_norm_1/scale",
    "context_norm/beta": "layer_norm_1/offset",
    "mlp_norm/gamma": "layer_norm_2/scale",
    "mlp_norm/beta": "layer_norm_2/offset",
}
SELF_LAYER = {
    "norm/gamma": "layer_norm/scale",
    "norm/beta": "layer_norm/offset",
    "mlp_norm/gamma": "layer_norm_1/scale",
    "mlp_norm/beta": "layer_norm_1/offset",
}
LINEAR = {
    f"{ours}/{kind}": f"{theirs}/{kind[0].replace('k', 'w')}"
    for ours, theirs in {
        "attention/query": "attention/linear",
        "attention/key": "attention/linear_1",
        "attention/value": "attention/linear_2",
        "attention/output": "attention/linear_3",
        "mlp_in": "mlp/linear",
        "mlp_out": "mlp/linear_1",
    }.items()
    for kind in ("kernel", "bias")
}
PREFIXES = {
    "encoder/first_cross_attention/": ("perceiver_encoder/~/cross_attention/", CROSS_LAYER),
    "encoder/first_block/layer_0/": ("perceiver_encoder/~/self_attention/", SELF_LAYER),
    "encoder/first_block/layer_1/": ("perceiver_encoder/~/self_attention_1/", SELF_LAYER),
    "encoder/first_block/layer_2/": ("perceiver_encoder/~/self_attention_2/", SELF_LAYER),
    "decoder/cross_attention/": ("DECODER/cross_attention/", CROSS_LAYER),
}
INPUTS = "image_preprocessor/~_build_network_inputs"
DOWN = "image_preprocessor/~/conv2_d_downsample/~"
NAMES = {
    "encoder/latents": "perceiver_encoder/~/trainable_position_encoding/pos_embs",
    "query/queries": "DECODER/~/trainable_position_encoding/pos_embs",
    "queries/queries": "DECODER/~/trainable_position_encoding/pos_embs",
    "logits/kernel": "DECODER/output/w",
    "head/kernel": "DECODER/output/w",
    "head/bias": "DECODER/output/b",
    "patch_projection/kernel": "image_preprocessor/patches_linear/w",
    "patch_projection/bias": "image_preprocessor/patches_linear/b",
    "token_embedding/embeddings": "embed/embeddings",
    "positions/projection/kernel": f"{INPUTS}/position_encoding_projector/linear/w",
    "positions/projection/bias": f"{INPUTS}/position_encoding_projector/linear/b",
    "stem/bias": "image_preprocessor/~/conv2_d/b",
    "stem_norm/gamma": f"{DOWN}/batchnorm/scale",
    "stem_norm/beta": f"{DOWN}/batchnorm/offset",
    "stem_norm/moving_mean": f"{DOWN}/batchnorm/~/mean_ema/average",
    "stem_norm/moving_variance": f"{DOWN}/batchnorm/~/var_ema/average",
}


def their_name(path, model):
    text = isinstance(model, kp.models.MaskedLM)
    if path == "positions/positions":
        table = "trainable_position_encoding/pos_embs"
        return table if text else f"{INPUTS}/{table}"
    if path == "logits/bias":
        return "embedding_decoder/bias" if text else "DECODER/output/b"
    if path == "stem/kernel":
        pointwise = model.encoder.stem.kind == "pointwise"
        return "image_preprocessor/~/conv2_d/w" if pointwise else f"{DOWN}/conv/w"
    for ours, (theirs, norms) in PREFIXES.items():
        if path.startswith(ours):
            return theirs + {**norms, **LINEAR}[path.removeprefix(ours)]
    return NAMES[path]


def their_arrays(model):
    """Parameters and state of a model as DeepMind's code holds them."""
    decoder = {
        "ImageClassifier": "classification_decoder/~/basic_decoder",
        "MaskedLM": "basic_decoder",
        "OpticalFlow": "flow_decoder/~/basic_decoder",
    }[type(model).__name__]
    arrays = {}
    for weight in model.weights:
        value = np.asarray(weight)
        if weight.path.startswith("stem_norm"):
            value = value.reshape(1, 1, 1, -1)
        elif weight.path == "stem/kernel" and value.ndim == 2:
            value = value.reshape(1, 1, *value.shape)
        name = their_name(weight.path, model).replace("DECODER", decoder)
        assert name not in arrays
        arrays[name] = value
    if any("ema" in name for name in arrays):
        arrays[f"{DOWN}/batchnorm/~/mean_ema/counter"] = np.int32(7)
        arrays[f"{DOWN}/batchnorm/~/mean_ema/hidden"] = np.zeros((1, 1, 1, 4), "float32")
    return arrays


def options(model):
    """What a model is, apart from the names that Keras counts."""
    form = to_form(model)
    for part in (form, form["config"]["encoder"]):
        del part["config"]["name"]
    return form


@pytest.fixture
def original(monkeypatch, rng):
    """A small model of a name, as trained, and that name's architecture made small."""

    def make(name):
        model = MODELS[name]()
        contract.randomize(model, rng)
        form = to_form(MODELS[name]())
        form["config"]["cross_attention"]["config"]["activation"] = "gelu"
        encoder = form["config"]["encoder"]["config"]
        encoder["self_attention"]["config"]["activation"] = "gelu"
        encoder["cross_attention"]["config"]["activation"] = "gelu"
        if "stem" in encoder and encoder["stem"] is not None:
            encoder["stem"]["config"]["padding"] = "symmetric"
        if "Image" in form["class_name"]:
            form["config"]["query_residual"] = True
        monkeypatch.setitem(ARCHITECTURES, name, form)
        return model

    return make


@pytest.mark.parametrize("name", MODELS)
def test_parameters_by_their_names(original, tmp_path, rng, name):
    """The model as it was trained, though transformers' variant has that name."""
    model = original(name)
    np.savez(tmp_path / "original.npz", **their_arrays(model))
    loaded = kp.presets.from_haiku(tmp_path / "original.npz", name)
    assert options(loaded) == options(model)
    if name == "perceiver_io_language_bytes":
        inputs = {
            "token_ids": rng.integers(0, 262, (2, 12)),
            "padding_mask": np.ones((2, 12), "int32"),
        }
    else:
        inputs = rng.normal(size=(2, *model.input_shape[1:])).astype("float32")
    received, expected = loaded(inputs), model(inputs)
    assert np.abs(keras.ops.convert_to_numpy(expected)).max() > 1e-3
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(received),
        keras.ops.convert_to_numpy(expected),
        atol=FLOAT32,
    )


NAME = "perceiver_io_imagenet_conv"
LATENTS = "perceiver_encoder/~/trainable_position_encoding/pos_embs"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda a: a.pop(LATENTS), f"lacks tensor `{LATENTS}` for `encoder/latents`"),
        (lambda a: a.update(extra=np.zeros(3, "float32")), "no use for `extra`"),
        (
            lambda a: a.update({LATENTS: np.zeros((3, 9), "float32")}),
            r"does not fit `encoder/latents`.*Expected shape \(3, 8\). Received: \(3, 9\)",
        ),
        (lambda a: a.update({LATENTS: np.zeros((3, 8), int)}), "must hold floats.*int64"),
        (lambda a: a.update({LATENTS: np.array([print])}), "must hold floats.*object"),
    ],
)
def test_other_parameters_are_refused(original, tmp_path, edit, match):
    arrays = their_arrays(original(NAME))
    edit(arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=match):
        kp.presets.from_haiku(tmp_path / "a.npz", NAME)


def header(shape):
    file = io.BytesIO()
    description = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue()


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a complete .npz file"),
        (pickle.dumps({"params": {}}), "not a complete .npz file"),
        # More than there is.
        ({f"{LATENTS}.npy": header((10**9, 10**3))}, r"is not of shape \(1000000000, 1000"),
        ({f"{LATENTS}.npy": b"no array"}, "not a complete .npz file"),
    ],
)
def test_hostile_files_are_refused(original, tmp_path, content, match):
    original(NAME)
    path = tmp_path / "a.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(ValueError, match=match):
        kp.presets.from_haiku(path, NAME)


@pytest.mark.one_backend
def test_broken_and_compressed_files_are_refused(original, tmp_path):
    arrays = their_arrays(original(NAME))
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=r"must be of numpy\.savez, not compressed"):
        kp.presets.from_haiku(tmp_path / "a.npz", NAME)
    np.savez(tmp_path / "b.npz", **arrays)
    content = bytearray((tmp_path / "b.npz").read_bytes())
    place = content.find(arrays[LATENTS].tobytes())
    content[place] ^= 1
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(ValueError, match="not a complete .npz file.*CRC"):
        kp.presets.from_haiku(tmp_path / "b.npz", NAME)
    with pytest.raises(ValueError, match="`name` must be one of.*Received: 'digits'"):
        kp.presets.from_haiku(tmp_path / "b.npz", "digits")


@pytest.mark.one_backend
def test_all_originals_are_in_the_catalogue_and_tested():
    assert set(ORIGINALS) <= set(ARCHITECTURES)
    # The last one has a file of its own.
    assert set(ORIGINALS) == {*MODELS, "perceiver_io_multimodal"}
