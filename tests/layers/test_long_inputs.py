"""Long inputs and many queries: in chunks, and with projections folded (D1, D2)."""

import keras
import numpy as np
import pytest
from keras import ops

import contract
import keras_perceiver as kp
from gradients import weight_gradients
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.layers import decoder as decoder_module
from keras_perceiver.layers.folding import attention_flops, best_folding
from keras_perceiver.ops import chunks
from tolerances import FLOAT32


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# One head of more channels than the queries have: folds. Two of few: does not.
WIDE = AttentionSpec(num_heads=1, qk_channels=16, v_channels=16)
NARROW = AttentionSpec(num_heads=2, qk_channels=4, v_channels=6)
QUERIES, LATENTS = array(2, 23, 6), array(2, 4, 8, seed=1)


def make(cls, *args, inputs, **options):
    layer = cls(*args, **options)
    layer(*inputs)
    contract.randomize(layer, np.random.default_rng(1))
    return layer


def decoder(spec=WIDE, **options):
    return make(kp.layers.PerceiverDecoder, spec, inputs=(QUERIES, LATENTS), **options)


def encoder(spec=WIDE, **options):
    return make(
        kp.layers.PerceiverEncoder,
        4,
        8,
        cross_attention=spec,
        self_attention=NARROW,
        layers_per_block=1,
        inputs=(QUERIES,),
        **options,
    )


LAYERS = {
    "decoder": lambda spec: (decoder(spec), (QUERIES, LATENTS)),
    "encoder": lambda spec: (encoder(spec), (QUERIES,)),
}


def results(layer, inputs, size, **options):
    """Outputs, and the gradients of every weight, in training."""
    layer.chunk_size = size
    target = ops.convert_to_tensor(array(*layer(*inputs).shape, seed=2))
    out = ops.convert_to_numpy(layer(*inputs, **options))
    _, grads = weight_gradients(
        layer, lambda: ops.mean(layer(*inputs, training=True, **options) * target)
    )
    return out, grads


@pytest.mark.parametrize(
    ("name", "spec", "size", "batch"),
    [
        ("decoder", WIDE, 5, 2),
        ("decoder", NARROW, 22, 1),  # whose chunks are no copies
        ("decoder", NARROW, 40, 2),  # more than there are
        ("encoder", WIDE, 5, 2),
    ],
)
def test_any_size_gives_the_same_and_the_same_gradients(name, spec, size, batch):
    layer, inputs = LAYERS[name](spec)
    inputs = [x[:batch] for x in inputs]
    expected, gradients = results(layer, inputs, None)
    out, actual = results(layer, inputs, size)
    np.testing.assert_allclose(out, expected, atol=FLOAT32)
    for path, gradient in gradients.items():
        np.testing.assert_allclose(actual[path], gradient, atol=FLOAT32, err_msg=path)


def test_masks_and_remat_in_chunks():
    mask = np.arange(23)[None] < np.array([[23], [14]])
    inputs = QUERIES.copy()
    inputs[1, 14:] = np.nan
    plain = results(encoder(), (inputs,), None, padding_mask=mask)
    chunked = results(encoder(remat=True), (inputs,), 5, padding_mask=mask)
    np.testing.assert_allclose(chunked[0], plain[0], atol=FLOAT32)
    assert np.isfinite(plain[0]).all()
    for expected, actual in zip(plain[1].values(), chunked[1].values(), strict=True):
        np.testing.assert_allclose(actual, expected, atol=FLOAT32)


@pytest.mark.parametrize("spec", [WIDE, NARROW])
@pytest.mark.parametrize("size", [None, 4])
def test_some_queries_get_the_rows_of_all(spec, size):
    """D2: an answer depends on its own query alone."""
    layer = decoder(spec, query_residual=False, chunk_size=size)
    out = ops.convert_to_numpy(layer(QUERIES, LATENTS))
    chosen = np.array([20, 3, 11, 4, 7])
    rows = ops.convert_to_numpy(layer(QUERIES[:, chosen], LATENTS))
    np.testing.assert_allclose(rows, out[:, chosen], atol=2e-6)


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_dropout_in_chunks(name):
    """By seed, on average nothing, other weights in each chunk, and differentiable."""
    spec = AttentionSpec(
        num_heads=1, qk_channels=16, v_channels=16, dropout=0.5, residual_dropout=0.3
    )
    make_layer, inputs = {
        "decoder": (decoder, (np.repeat(QUERIES[:, :1], 8, axis=1), LATENTS)),
        "encoder": (encoder, (QUERIES,)),
    }[name]
    layer = make_layer(spec, chunk_size=4)
    generators = [
        x._seed_generator
        for x in layer._flatten_layers()
        if getattr(x, "_seed_generator", None) is not None
    ]

    def run(function):
        for i, generator in enumerate(generators):
            generator.state.assign([i + 1, 0])
        return function()

    def loss():
        return ops.mean(layer(*inputs, training=True))

    once, again = (run(lambda: weight_gradients(layer, loss)) for _ in range(2))
    assert once[0] == again[0]
    for path, gradient in once[1].items():
        np.testing.assert_array_equal(again[1][path], gradient, err_msg=path)
    out = ops.convert_to_numpy(run(lambda: layer(*inputs, training=True)))
    if name == "decoder":  # the same query eight times, in two chunks
        assert np.abs(out[:, :4] - out[:, 4:]).max() > 1e-3


def test_the_budget_chooses(monkeypatch):
    layer = decoder()
    expected = ops.convert_to_numpy(layer(QUERIES, LATENTS))
    sizes = []

    def spy(layer, function, size, *args):
        sizes.append(size)
        return in_chunks(layer, function, size, *args)

    in_chunks = decoder_module.in_chunks
    monkeypatch.setattr(decoder_module, "in_chunks", spy)
    layer(QUERIES, LATENTS)
    monkeypatch.setattr(chunks, "SCORES_BUDGET", 4 * 2 * 23 * 4 - 1)
    monkeypatch.setattr("keras_perceiver.ops.chunks._CHUNK_BYTES", 4 * 2 * 4 * 9)
    out = layer(QUERIES, LATENTS)
    assert sizes == [None, 8]
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, atol=FLOAT32)
    _, scores = layer(QUERIES, LATENTS, return_attention_scores=True)
    assert tuple(scores.shape) == (2, 1, 23, 4)


def test_a_compiled_step_trains_the_same_in_chunks():
    losses = []
    for size in (None, 5):
        import random

        random.seed(0)
        x = keras.Input((23, 6))
        latents = kp.layers.PerceiverEncoder(
            4, 8, self_attention=NARROW, layers_per_block=1, chunk_size=size
        )(x)
        out = kp.layers.PerceiverDecoder(WIDE, chunk_size=size)(x, latents)
        model = keras.Model(x, out)
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = model.fit(
            array(6, 23, 6),
            array(6, 23, 6, seed=3),
            batch_size=4,
            epochs=2,
            shuffle=False,
            verbose=0,
        )
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_folded_queries_equal_projected_ones(heads, bias):
    spec = {"qk_channels": 16 * heads, "v_channels": 16 * heads, "qkv_bias": bias}
    layer = make(
        kp.layers.Attention,
        heads,
        output_channels=3,
        inputs=(QUERIES[..., :2], LATENTS),
        **spec,
    )
    queries = QUERIES[..., :2]
    assert best_folding(layer, 23, 4) == "queries"
    mask = np.ones((2, 1, 23, 4), bool)
    mask[1, 0, 5] = False
    folded, scores = layer(
        queries, LATENTS, attention_mask=mask, return_attention_scores=True
    )
    plain = layer.mix(queries, layer.project(LATENTS, None), ops.convert_to_tensor(mask))
    np.testing.assert_allclose(
        ops.convert_to_numpy(folded), ops.convert_to_numpy(plain), atol=2e-5
    )
    assert not ops.convert_to_numpy(folded)[1, 5].any()
    assert tuple(scores.shape) == (2, heads, 23, 4)


@pytest.mark.one_backend
def test_folding_costs_least():
    """Of the published models, by counting."""
    layer = kp.layers.Attention(1, qk_channels=512, v_channels=512)
    layer.build((None, 182528, 322), (None, 2048, 512))  # optical flow's decoder
    counts = {
        f: attention_flops(layer, 182528, 2048, f) for f in (None, "context", "queries")
    }
    assert best_folding(layer, 182528, 2048) == min(counts, key=counts.get) == "queries"
    assert counts["queries"] < 0.6 * counts[None]
    assert best_folding(layer, None, 2048) is None
    layer = kp.layers.Attention(8, qk_channels=256, v_channels=768)
    layer.build((None, 2048, 768), (None, 256, 1280))  # the language model's
    assert best_folding(layer, 2048, 256) is None


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_other_sizes_are_refused(size):
    for make_layer in (
        lambda: kp.layers.PerceiverDecoder(chunk_size=size),
        lambda: kp.layers.PerceiverEncoder(4, 8, chunk_size=size),
    ):
        with pytest.raises(ValueError, match="`chunk_size` must be a positive integer"):
            make_layer()
