"""Every public layer and model keeps the contract; one without a case fails."""

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp
import tiny_ar
import tiny_audio
import tiny_flow
import tiny_multimodal
import tiny_points
import tiny_text
from contract import Case
from keras_perceiver.layers import AttentionSpec, LearnedPositionSpec, StemSpec

rng = np.random.default_rng(0)


def array(*shape):
    return rng.normal(size=shape).astype("float32")


def tiny_encoder(**options):
    return kp.models.ImageEncoder(
        (5, 4, 1),
        num_bands=2,
        num_latents=3,
        latent_channels=8,
        self_attention=AttentionSpec(num_heads=2),
        layers_per_block=1,
        **options,
    )


SPEC = AttentionSpec(num_heads=2, qk_channels=4, v_channels=6, widening_factor=2)
FLOW_INPUTS = {"frames": tiny_flow.frames(2)}
CASES = {
    "Attention": [
        Case(
            lambda: kp.layers.Attention(2, qk_channels=4, v_channels=6, output_channels=5),
            {"query": array(2, 3, 7), "context": array(2, 6, 4)},
            "context",
        ),
        Case(lambda: kp.layers.Attention(2, causal=True), {"query": array(2, 5, 4)}),
    ],
    "LatentCrossAttention": [
        Case(
            lambda s=spec, r=residual: kp.layers.LatentCrossAttention(s, residual=r),
            {"latents": array(2, 3, 8), "inputs": array(2, 20, 5)},
            "inputs",
        )
        for spec, residual in ((SPEC, True), (AttentionSpec(num_heads=1), False))
    ],
    "SelfAttentionBlock": [
        Case(
            lambda: kp.layers.SelfAttentionBlock(2, SPEC, remat=True),
            {"latents": array(2, 3, 8)},
        )
    ],
    "PerceiverEncoder": [
        Case(
            lambda: kp.layers.PerceiverEncoder(
                3,
                8,
                self_attention=SPEC,
                num_cross_attentions=2,
                num_blocks=3,
                layers_per_block=1,
                share_first_block=False,
                remat=True,
            ),
            {"inputs": array(2, 20, 5)},
            "inputs",
        ),
        Case(
            lambda: kp.layers.PerceiverEncoder(
                None, 8, cross_attention=SPEC, self_attention=SPEC, layers_per_block=1
            ),
            {"inputs": array(2, 20, 5), "latents": array(2, 4, 8)},
            "inputs",
        ),
    ],
    "PerceiverDecoder": [
        Case(
            lambda: kp.layers.PerceiverDecoder(query_residual=False),
            {"queries": array(2, 4, 6), "latents": array(2, 3, 8)},
        )
    ],
    "LearnedQueries": [
        Case(lambda: kp.layers.LearnedQueries(3, 4), {"reference": array(2, 5)})
    ],
    "GridQueries": [
        Case(
            lambda: kp.layers.GridQueries((2, 3), 3, (8, 8), endpoint=False),
            {"reference": array(2, 5)},
        ),
        Case(
            lambda: kp.layers.GridQueries((7,), 3),
            {"reference": array(2, 5), "points": rng.integers(0, 7, (2, 4), "int32")},
        ),
    ],
    "FourierEncoding": [
        Case(lambda: kp.layers.FourierEncoding(3, (8, 8)), {"inputs": array(2, 4, 5, 2)})
    ],
    "CoordinateEncoding": [
        Case(
            lambda: kp.layers.CoordinateEncoding(3, (8, 6)),
            {"coordinates": array(2, 5, 2), "content": array(2, 5, 4)},
        )
    ],
    "LearnedPositions": [
        Case(lambda: kp.layers.LearnedPositions(12), {"inputs": array(2, 10, 4)}),
        Case(lambda: kp.layers.LearnedPositions(channels=3), {"inputs": array(2, 3, 3, 4)}),
        Case(
            lambda: kp.layers.LearnedPositions(channels=3, projection=5),
            {"inputs": array(2, 10, 4)},
        ),
    ],
    "PerceiverResampler": [
        Case(
            lambda k=as_keys: kp.layers.PerceiverResampler(
                3, 2, SPEC, latents_as_keys=k, latent_channels=None if k else 6
            ),
            {"inputs": array(2, 20, 8)},
            "inputs",
        )
        for as_keys in (True, False)
    ],
    "ImageEncoder": [
        Case(tiny_encoder, {"images": array(2, 5, 4, 1)}),
        Case(
            lambda: tiny_encoder(
                stem=StemSpec(kind="pointwise", channels=3),
                positions=LearnedPositionSpec(channels=4, projection=2),
            ),
            {"images": array(2, 5, 4, 1)},
        ),
        Case(
            lambda: tiny_encoder(stem=StemSpec(channels=3, padding="same")),
            {"images": array(2, 5, 4, 1)},
        ),
    ],
    "ImageClassifier": [
        Case(
            lambda h=head: kp.models.ImageClassifier(tiny_encoder(), 3, head=h),
            {"images": array(2, 5, 4, 1)},
        )
        for head in ("decoder", "average")
    ],
    "OpticalFlowEncoder": [Case(tiny_flow.encoder, FLOW_INPUTS)],
    "OpticalFlow": [Case(tiny_flow.model, FLOW_INPUTS)],
    "AudioEncoder": [
        Case(
            lambda: tiny_audio.encoder(mel=tiny_audio.MEL), {"samples": tiny_audio.clips(2)}
        )
    ],
    "AudioClassifier": [
        Case(lambda: tiny_audio.classifier(patch_size=32), {"samples": tiny_audio.clips(2)})
    ],
    "PointEncoder": [Case(tiny_points.encoder, tiny_points.batch(), "points")],
    "PointClassifier": [Case(tiny_points.classifier, tiny_points.batch(), "points")],
    "TextEncoder": [Case(tiny_text.encoder, tiny_text.batch())],
    "MaskedLM": [
        Case(lambda f=channels: tiny_text.masked_lm(f), tiny_text.batch())
        for channels in (None, 6)
    ],
    "CausalPrefixAttention": [
        Case(
            lambda: kp.layers.CausalPrefixAttention(SPEC, rotary_fraction=1.0),
            {"latents": array(2, 3, 8), "prefix": array(2, 5, 8)},
        ),
        Case(
            lambda: kp.layers.CausalPrefixAttention(AttentionSpec(num_heads=2)),
            {
                "latents": array(2, 3, 8),
                "prefix": array(2, 5, 8),
                "padding_mask": np.array([[0, 0] + 6 * [1], 8 * [1]], "int32"),
            },
        ),
    ],
    "PerceiverAR": [
        Case(
            lambda: kp.layers.PerceiverAR(
                4, 2, SPEC, num_rotary_layers=-1, rotary_fraction=1.0, remat=True
            ),
            {"inputs": array(2, 20, 8)},
        ),
        Case(
            lambda: kp.layers.PerceiverAR(4, 1, AttentionSpec(num_heads=2)),
            {"inputs": array(2, 5, 8)},
        ),
    ],
    "CausalLM": [
        Case(
            lambda: tiny_ar.causal_lm(output_norm=True, init_scale=0.1),
            tiny_ar.inputs(tiny_ar.ids(2, 12), padding=3),
        )
    ],
    "SymbolicAudioLM": [
        Case(
            lambda: kp.models.SymbolicAudioLM(
                40,
                16,
                init_scale=0.1,
                max_latents=8,
                num_layers=1,
                attention=AttentionSpec(num_heads=2),
            ),
            tiny_ar.inputs(tiny_ar.ids(2, 12), padding=3),
        )
    ],
    "TextClassifier": [Case(tiny_text.text_classifier, tiny_text.batch())],
    "MultimodalEncoder": [
        Case(lambda: tiny_multimodal.encoder(init_scale=0.1), tiny_multimodal.batch())
    ],
    "MultimodalAutoencoder": [
        Case(
            lambda: tiny_multimodal.autoencoder("audio", "label", init_scale=0.1),
            tiny_multimodal.batch(names=("audio", "label")),
        )
    ],
}
# Records of settings and a function are public too, and have tests of their own.
MODALITIES = {name for name in kp.models.__all__ if name.endswith("Modality")}
NOT_LAYERS = {
    "AttentionSpec",
    "LearnedPositionSpec",
    "MelSpec",
    "StemSpec",
    "flops",
    *MODALITIES,
}
ALL = [
    pytest.param(n, c, id=f"{n}-{i}") for n, cs in CASES.items() for i, c in enumerate(cs)
]


def test_every_public_class_has_a_case():
    public = {*kp.layers.__all__, *kp.models.__all__} - NOT_LAYERS
    assert public == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_arguments_are_documented(name):
    contract.check_documented(getattr(kp.layers, name, None) or getattr(kp.models, name))


@pytest.mark.parametrize(("name", "case"), ALL)
def test_contract(name, case, tmp_path):
    layer = case.make()
    assert type(layer).__name__ == name
    contract.check_config(layer)
    model, _ = contract.check_call(layer, case.inputs)
    contract.randomize(model, np.random.default_rng(0))
    expected = contract.predict(model, case.inputs)
    contract.check_round_trip(model, case.inputs, expected, tmp_path)
    contract.check_precision(case.make, case.inputs, expected)
    if case.padded:
        contract.check_padding(layer, case.inputs, case.padded)
    contract.check_trains(model, case.inputs)


@pytest.mark.parametrize(
    "cls", [kp.layers.Attention, kp.layers.PerceiverEncoder, kp.models.ImageEncoder]
)
def test_an_unknown_key_is_named(cls):
    with pytest.raises(ValueError, match="does not take.*num_heds"):
        cls.from_config({"num_heds": 3})


def test_a_missing_check_would_be_noticed():
    """The contract can fail: a layer that forgets an argument does not pass."""

    class Forgetful(kp.layers.LearnedQueries):
        def __init__(self, num_queries, channels, extra=1, **kwargs):
            super().__init__(num_queries, channels, **kwargs)

    with pytest.raises(AttributeError, match="extra"):
        contract.check_config(Forgetful(2, 3))
    assert isinstance(Forgetful(2, 3), keras.layers.Layer)
