"""Models as krasserm/perceiver-io folders: the same files, and the same models again."""

import json
import pathlib

import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_ar
import tiny_flow
import tiny_text
from keras_perceiver.files import TensorFile
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.presets.form import to_form

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
NAMES = ("causal_lm", "causal_lm_rotary_only", "optical_flow", "symbolic_audio")


@pytest.mark.parametrize("name", NAMES)
def test_the_way_back_gives_the_same_files(name, tmp_path):
    kp.converters.to_krasserm(kp.presets.load(GOLDEN / name), tmp_path / "back")
    theirs, ours = GOLDEN / name, tmp_path / "back"
    configs = [json.loads((f / "config.json").read_text()) for f in (theirs, ours)]
    assert configs[0] == configs[1]
    expected, received = (TensorFile(f / "model.safetensors") for f in (theirs, ours))
    assert expected.shapes == received.shapes
    for tensor in expected.shapes:
        np.testing.assert_allclose(
            received.read(tensor),
            expected.read(tensor),
            rtol=1e-6,
            atol=1e-6,
            err_msg=tensor,
        )
    again = kp.presets.load(ours)
    weights = [x.numpy() for x in again.weights]
    for one, other in zip(kp.presets.load(theirs).weights, weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


@pytest.mark.one_backend
def test_settings_and_tokenizer_go_along(tmp_path):
    model = tiny_ar.causal_lm(
        attention=AttentionSpec(num_heads=2, residual_dropout=0.1, heads_at_once=1),
        num_rotary_layers=-1,
        prefix_dropout=0.25,
        remat=True,
    )
    kp.converters.to_krasserm(model, tmp_path / "back")
    again = kp.presets.load(tmp_path / "back")
    stack = again.get_layer("stack")
    options = {**model.get_layer("stack").get_config(), "name": "", "dtype": ""}
    assert {**stack.get_config(), "name": "", "dtype": ""} == options
    assert again.preprocessor.get_config() == model.preprocessor.get_config()
    tokenizer = json.loads((tmp_path / "back" / "tokenizer_config.json").read_text())
    assert tokenizer["padding_side"] == "left"


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("spec", "options", "match"),
    [
        ({"qk_channels": 8}, {}, "needs qk_channels = 16. Received: 8"),
        ({"v_channels": 32}, {}, "needs v_channels = 16. Received: 32"),
        ({"activation": "gelu_tanh"}, {}, "needs activation = gelu. Received: gelu_tanh"),
        ({}, {"rotary_fraction": 1.0}, "needs rotary_fraction = 0.5. Received: 1.0"),
    ],
)
def test_what_that_library_does_not_have_is_refused(spec, options, match, tmp_path):
    attention = AttentionSpec(num_heads=2, **spec)
    model = tiny_ar.causal_lm(attention=attention, num_layers=1, **options)
    with pytest.raises(ValueError, match=match):
        kp.converters.to_krasserm(model, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.one_backend
def test_weights_and_models_of_other_kinds_are_refused(tmp_path):
    model = tiny_ar.causal_lm(num_layers=1)
    model.get_layer("stack").layers[0].mlp_out.enable_lora(2)
    with pytest.raises(ValueError, match="no place for the weights.*lora"):
        kp.converters.to_krasserm(model, tmp_path / "back")
    with pytest.raises(ValueError, match="must be one of.*CausalLM.*Received: MaskedLM"):
        kp.converters.to_krasserm(tiny_text.masked_lm(), tmp_path / "back")


def test_an_optical_flow_model_comes_back(tmp_path):
    """With all that its library has and the original model does not use."""
    options = {
        "num_latents": 3,
        "latent_channels": 8,
        "cross_attention": AttentionSpec(num_heads=2, qk_channels=8, dropout=0.1),
        "self_attention": AttentionSpec(num_heads=2, widening_factor=2, dropout=0.1),
        "num_cross_attentions": 2,
        "num_blocks": 3,
        "layers_per_block": 2,
        "share_first_block": False,
        "remat": True,
    }
    model = kp.models.OpticalFlow(
        kp.models.OpticalFlowEncoder((6, 8), 5, 2, init_scale=0.1, **options),
        AttentionSpec(num_heads=1, qk_channels=4, v_channels=6),
        query_residual=True,
        rescale_factor=7.0,
        init_scale=0.3,
    )
    contract.randomize(model, np.random.default_rng(1))
    kp.converters.to_krasserm(model, tmp_path / "back")
    again = kp.presets.load(tmp_path / "back")
    forms = [to_form(x) for x in (model, again)]
    for form in forms:  # names that Keras counts
        form["config"].pop("name")
        form["config"]["encoder"]["config"].pop("name")
    assert forms[0] == forms[1]
    frames = tiny_flow.frames(2)
    np.testing.assert_array_equal(*(contract.as_numpy(x(frames)) for x in (model, again)))


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (
            {"activation": "gelu_tanh"},
            "needs activation of the attention to outputs",
        ),
        ({"residual_dropout": 0.1}, "needs residual_dropout of the attention to outputs"),
    ],
)
def test_flow_that_that_library_does_not_have_is_refused(spec, match, tmp_path):
    model = tiny_flow.model(cross_attention=AttentionSpec(num_heads=1, **spec))
    with pytest.raises(ValueError, match=match):
        kp.converters.to_krasserm(model, tmp_path / "back")
    assert not (tmp_path / "back").exists()
