"""DeepMind's multimodal parameters: those of transformers' model, by Haiku's names."""

import json
import re

import numpy as np

import contract
import keras_perceiver as kp
from keras_perceiver.presets.catalogue import ARCHITECTURES
from keras_perceiver.presets.form import to_form
from tolerances import PARITY
from transformers_multimodal import inputs_and_points, multimodal_model, their_outputs

NAME = "perceiver_io_multimodal"
TABLE = "trainable_position_encoding/pos_embs"
DECODER = "multimodal_decoder/~/basic_decoder"
# As transformers' own script reads them, in order, where the first match counts.
MODULES = (
    (r"embeddings\.latents", f"encoder/~/{TABLE}"),
    (r"encoder\.cross_attention\.", "encoder/~/cross_attention/"),
    (r"encoder\.self_attends\.0\.", "encoder/~/self_attention/"),
    (r"encoder\.self_attends\.(\d)\.", r"encoder/~/self_attention_\1/"),
    (r"decoder\.decoder\.decoding_cross_attention\.", f"{DECODER}/cross_attention/"),
    (r"decoder\.decoder\.final_layer\.", f"{DECODER}/output/"),
    (
        r"decoder\.modalities\.label\.decoder\.output_position_encodings\..*",
        f"classification_decoder/~/basic_decoder/~/{TABLE}",
    ),
    (r"decoder\.padding\.(.*)", r"multimodal_decoder/~decoder_query/\1_padding/pos_embs"),
    (
        r"input_preprocessor\.padding\.(.*)",
        r"multimodal_preprocessor/\1_padding/pos_embs",
    ),
    (
        r"input_preprocessor\.mask\.(.*)",
        r"multimodal_preprocessor/\1_mask_token/pos_embs",
    ),
    (
        r"output_postprocessor\.modalities\.audio\.classifier\.",
        "audio_postprocessor/linear/",
    ),
    (
        r"output_postprocessor\.modalities\.image\.classifier\.",
        "projection_postprocessor/linear/",
    ),
    (
        r"output_postprocessor\.modalities\.label\.classifier\.",
        "classification_postprocessor/linear/",
    ),
)
PARTS = {
    "attention.self.layernorm1": "layer_norm",
    "attention.self.layernorm2": "layer_norm_1",
    "attention.self.query": "attention/linear",
    "attention.self.key": "attention/linear_1",
    "attention.self.value": "attention/linear_2",
    "attention.output.dense": "attention/linear_3",
    "mlp.dense1": "mlp/linear",
    "mlp.dense2": "mlp/linear_1",
}


def haiku_name(name):
    """Haiku's name of a parameter of transformers, and whether it is transposed there."""
    name = name.removeprefix("perceiver.")
    pattern, module = next(x for x in MODULES if re.match(x[0], name))
    rest = name[re.match(pattern, name).end() :]
    module = re.match(pattern, name).expand(module)
    part, _, kind = rest.rpartition(".")
    if part == "layernorm":  # between attention and MLP
        part = "layer_norm_2" if "cross_attention" in module else "layer_norm_1"
    part = PARTS.get(part, part)
    if "layer_norm" in part:
        return f"{module}{part}/{'scale' if kind == 'weight' else 'offset'}", False
    kind = {"weight": "w", "bias": "b"}.get(kind, kind)
    return f"{module}{part}/{kind}" if part else f"{module}{kind}", kind == "w"


def test_outputs_are_those_of_the_original(tmp_path, monkeypatch, rng):
    """Though the architecture of that name is the one with the other form of GELU."""
    model = multimodal_model(hidden_act="gelu_new")
    model.save_pretrained(tmp_path / "theirs")
    arrays = {}
    for name, value in model.state_dict().items():
        name, transposed = haiku_name(name)
        assert name not in arrays
        arrays[name] = value.numpy().T if transposed else value.numpy()
    np.savez(tmp_path / "original.npz", **arrays)
    form = json.dumps(to_form(kp.presets.load(tmp_path / "theirs")))
    assert "gelu_tanh" in form
    small = json.loads(form.replace("gelu_tanh", "gelu"))
    monkeypatch.setitem(ARCHITECTURES, NAME, small)

    ours = kp.presets.from_haiku(tmp_path / "original.npz", NAME)
    inputs, points = inputs_and_points(model, rng)
    expected = their_outputs(model, inputs, points)
    asked = {f"{name}_points": np.tile(x, (2, 1)) for name, x in points.items()}
    for name, x in ours({**inputs, **asked}).items():
        x = contract.as_numpy(x).reshape(expected[name].shape)
        assert np.abs(x).max() > 0.1
        np.testing.assert_allclose(x, expected[name], atol=PARITY, err_msg=name)
