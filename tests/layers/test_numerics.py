"""Layers against plain numpy, their gradients, recomputation and precision."""

import keras
import numpy as np
import pytest
from keras import ops

import contract
import keras_perceiver as kp
import numpy_reference as reference
from gradients import numeric_directional, weight_gradients
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.layers.folding import best_folding
from tolerances import BFLOAT16, FLOAT32

SPEC = AttentionSpec(num_heads=2, qk_channels=8, v_channels=12, widening_factor=2)
WIDE = AttentionSpec(num_heads=4, qk_channels=4, v_channels=8)


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def weights_of(layer):
    return {w.path: w.numpy() for w in layer.weights}


def make(cls, *args, scale=0.3, inputs=(), **kwargs):
    layer = cls(*args, **kwargs)
    layer(*inputs)
    contract.randomize(layer, np.random.default_rng(1), scale)
    return layer


# One head folds; many narrow heads do not.
@pytest.mark.parametrize(
    ("spec", "folding"), [(AttentionSpec(num_heads=1), "context"), (WIDE, None)]
)
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_is_the_papers(spec, folding, masked):
    x = array(2, 40, 10)
    layer = make(
        kp.layers.PerceiverEncoder,
        3,
        8,
        cross_attention=spec,
        self_attention=AttentionSpec(num_heads=2),
        num_cross_attentions=2,
        num_blocks=3,
        layers_per_block=2,
        share_first_block=False,
        inputs=(x,),
        name="encoder",
    )
    assert best_folding(layer.first_cross.attend, 3, 40) == folding
    padding = np.arange(40)[None] < np.array([[40], [25]])
    mask = padding[:, None, None] if masked else None
    expected = reference.encode(x, weights_of(layer), layer, mask)
    out = layer(x, padding_mask=padding if masked else None)
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, atol=FLOAT32)
    out, scores = layer(
        x, padding_mask=padding if masked else None, return_attention_scores=True
    )
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, atol=FLOAT32)
    assert [tuple(s.shape) for s in scores] == [(2, spec.num_heads, 3, 40)] * 2
    if masked:
        assert not ops.convert_to_numpy(scores[0])[1, :, :, 25:].any()


@pytest.mark.parametrize("residual", [True, False])
def test_decoder_is_the_papers(residual):
    queries, latents = array(2, 5, 6), array(2, 4, 8, seed=1)
    layer = make(
        kp.layers.PerceiverDecoder, SPEC, query_residual=residual, inputs=(queries, latents)
    )
    path = f"{layer.name}/cross_attention"
    expected = reference.cross_layer(queries, latents, weights_of(layer), path, 2, residual)
    out = ops.convert_to_numpy(layer(queries, latents))
    np.testing.assert_allclose(out, expected, atol=FLOAT32)
    # An output depends on its own query alone (D2), in any order (M5).
    alone = ops.convert_to_numpy(layer(queries[:, 3:4], latents))
    np.testing.assert_allclose(out[:, 3:4], alone, atol=1e-6)
    order = [4, 2, 0, 1, 3]
    shuffled = ops.convert_to_numpy(layer(queries[:, order], latents))
    np.testing.assert_allclose(shuffled, out[:, order], atol=1e-6)


def test_attention_with_masks_and_causality():
    x = array(2, 6, 8)
    layer = make(kp.layers.Attention, 2, causal=True, inputs=(x,), name="attention")
    mask = np.tril(np.ones((6, 6), bool))
    expected = reference.attention(x, x, weights_of(layer), "attention", 2, mask)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=FLOAT32)
    # No leak from the future, in training with dropout too (keras#23038).
    layer = make(kp.layers.Attention, 2, causal=True, dropout=0.3, inputs=(x,), name="a")
    changed = x.copy()
    changed[:, 4:] += 1
    for options in (
        {},
        {"training": True},
        {"training": True, "return_attention_scores": True},
    ):
        outs = []
        for data in (x, changed):
            layer._seed_generator.state.assign([7, 0])
            out = layer(data, **options)
            out = out[0] if "return_attention_scores" in options else out
            outs.append(ops.convert_to_numpy(out))
        np.testing.assert_array_equal(outs[0][:, :4], outs[1][:, :4])
        assert np.abs(outs[0][:, 4:] - outs[1][:, 4:]).max() > 1e-3


def test_resampler_with_latents_as_keys():
    """Against numpy: keys and values of normalised inputs and latents together."""
    x = array(2, 9, 8)
    layer = make(kp.layers.PerceiverResampler, 3, 2, SPEC, inputs=(x,), name="r")
    weights = weights_of(layer)
    latents = np.repeat(weights["r/latents"][None], 2, 0)
    for i in range(2):
        path = f"r/layer_{i}"
        keys = np.concatenate([x, latents], axis=1)
        latents = reference.cross_layer(latents, keys, weights, path, 2)
    expected = reference.norm(latents, weights, "r/norm")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=FLOAT32)


LAYERS = {
    "encoder": lambda **options: (
        kp.layers.PerceiverEncoder(
            3,
            8,
            cross_attention=AttentionSpec(num_heads=1, **options),
            self_attention=AttentionSpec(num_heads=2, **options),
            num_cross_attentions=2,
            num_blocks=2,
            layers_per_block=1,
        ),
        (array(2, 30, 5),),
    ),
    "decoder": lambda **options: (
        kp.layers.PerceiverDecoder(AttentionSpec(num_heads=2, **options)),
        (array(2, 5, 6), array(2, 4, 8, seed=1)),
    ),
    "resampler": lambda **options: (
        kp.layers.PerceiverResampler(3, 1, AttentionSpec(num_heads=2, **options)),
        (array(2, 9, 8),),
    ),
    "positions": lambda: (kp.layers.LearnedPositions(12), (array(2, 9, 8),)),
    "queries": lambda: (kp.layers.LearnedQueries(3, 4), (array(2, 9),)),
    "attention": lambda: (kp.layers.Attention(2), (array(2, 3, 8), array(2, 7, 8, seed=1))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_are_slopes(name):
    """The gradient along a random direction equals the finite difference (N4)."""
    layer, inputs = LAYERS[name]()
    target = ops.convert_to_tensor(array(*layer(*inputs).shape, seed=2))
    contract.randomize(layer, np.random.default_rng(1))

    def loss():
        return ops.mean(layer(*inputs) * target)

    _, grads = weight_gradients(layer, loss)
    missing = [p for p, g in grads.items() if not g.any() and not p.endswith("key/bias")]
    assert missing == []
    rng = np.random.default_rng(3)
    direction = {p: rng.normal(size=g.shape).astype("float32") for p, g in grads.items()}
    slope = sum((grads[p] * direction[p]).sum() for p in grads)
    numeric = numeric_directional(layer, loss, direction, step=1e-3)
    # Differences of float32 losses: measured within 0.4 %.
    np.testing.assert_allclose(slope, numeric, rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("name", ["encoder", "resampler"])
def test_remat_changes_no_gradient(name, dropout):
    """Not under dropout either, where stock recomputation draws other masks (T5)."""
    layer, inputs = LAYERS[name](dropout=dropout, residual_dropout=dropout)
    layer(*inputs)
    contract.randomize(layer, np.random.default_rng(1))
    target = ops.convert_to_tensor(array(*layer(*inputs).shape, seed=2))
    generators = [
        x._seed_generator
        for x in layer._flatten_layers()
        if getattr(x, "_seed_generator", None) is not None
    ]
    assert bool(generators) == bool(dropout)
    results = []
    for remat in (False, True, False):
        for part in layer._flatten_layers():
            if hasattr(part, "remat"):
                part.remat = remat
        for i, generator in enumerate(generators):
            generator.state.assign([i + 1, 0])
        results.append(
            weight_gradients(
                layer, lambda: ops.mean(layer(*inputs, training=True) * target)
            )
        )
    plain, remat, again = results
    assert plain[0] == pytest.approx(remat[0], abs=1e-6)
    assert plain[0] == again[0]  # the same seeds, the same dropout (N7)
    for path, gradient in plain[1].items():
        np.testing.assert_allclose(remat[1][path], gradient, atol=1e-5, err_msg=path)


def test_remat_in_a_compiled_step():
    """`fit` trains the same with recomputation and dropout, compiled."""
    losses = []
    for remat in (False, True):
        import random

        random.seed(0)
        spec = AttentionSpec(num_heads=1, dropout=0.2)
        inputs = keras.Input((20, 4))
        x = kp.layers.PerceiverEncoder(
            2, 8, cross_attention=spec, self_attention=spec, layers_per_block=1, remat=remat
        )(inputs)
        model = keras.Model(inputs, x)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = model.fit(
            array(8, 20, 4), np.ones((8, 2, 8)), epochs=3, shuffle=False, verbose=0
        )
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_large_inputs_stay_finite():
    """Inputs of 1e4, in every compute dtype that the CPU has (N5)."""
    x = array(2, 30, 5) * 1e4
    policies = ["float32", "mixed_bfloat16"]
    if keras.backend.backend() != "jax":  # XLA's CPU compiler has no float16 products
        policies.append("mixed_float16")
    outs = []
    for policy in policies:
        layer = make(
            kp.layers.PerceiverEncoder,
            3,
            8,
            self_attention=AttentionSpec(num_heads=2),
            layers_per_block=1,
            inputs=(x,),
            dtype=policy,
        )
        outs.append(ops.convert_to_numpy(ops.cast(layer(x), "float32")))
    for out in outs:
        assert np.isfinite(out).all()
        scale = np.abs(outs[0]).max()
        assert np.abs(out - outs[0]).max() / scale < BFLOAT16


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
def test_positions_are_computed_in_float32(policy):
    """At 224 pixels bfloat16 angles would be wrong by more than a radian (N3)."""
    layer = kp.layers.FourierEncoding(64, dtype=policy)
    x = np.zeros((1, 224, 224, 1), "float32")
    out = ops.convert_to_numpy(ops.cast(layer(x), "float32"))[0, :, 1:]
    exact = kp.ops.fourier_features((224, 224), 64).reshape(224 * 224, -1)
    # A cast to bfloat16 leaves 8 bits of mantissa: 1/256 of 1, rounded.
    assert np.abs(out - exact).max() <= (0 if policy == "float32" else 2**-8)


def test_heads_in_turn_change_nothing():
    x = array(2, 9, 8)
    outs = []
    for heads_at_once in (None, 1, 3):
        spec = AttentionSpec(num_heads=4, heads_at_once=heads_at_once)
        layer = make(kp.layers.SelfAttentionBlock, 2, spec, inputs=(x,))
        outs.append(ops.convert_to_numpy(layer(x)))
    np.testing.assert_allclose(outs[1], outs[0], atol=1e-6)
    np.testing.assert_allclose(outs[2], outs[0], atol=1e-6)


def test_gelu_forms_differ():
    """DeepMind trained with the tanh form; transformers and krasserm use the exact."""
    exact, tanh = (kp.layers.spec.activation(n) for n in ("gelu", "gelu_tanh"))
    x = np.linspace(-3, 3, 50).astype("float32")
    error = np.abs(ops.convert_to_numpy(exact(x)) - ops.convert_to_numpy(tanh(x))).max()
    assert 1e-4 < error < 1e-3
    phi = 0.5 * x * (1 + reference.erf(x / np.sqrt(2)))
    np.testing.assert_allclose(ops.convert_to_numpy(exact(x)), phi, atol=1e-6)
