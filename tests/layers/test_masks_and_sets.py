"""Padding, permutation, batches, implicit masks, and what is refused (M1 to M9)."""

import keras
import numpy as np
import pytest
from keras import ops

import contract
import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec
from tolerances import FLOAT32


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def as_numpy(x):
    return ops.convert_to_numpy(x)


@pytest.fixture(scope="module", params=["folded", "projected"])
def encoder(request):
    heads = {"folded": 1, "projected": 2}[request.param]
    layer = kp.layers.PerceiverEncoder(
        3,
        8,
        cross_attention=AttentionSpec(num_heads=heads, qk_channels=4),
        self_attention=AttentionSpec(num_heads=2),
        num_cross_attentions=2,
        num_blocks=2,
        layers_per_block=1,
    )
    layer(array(1, 10, 6))
    contract.randomize(layer, np.random.default_rng(1))
    return layer


def test_order_of_inputs_does_not_matter(encoder):
    """R1: the permutation experiment of the Perceiver paper, as an identity (M5)."""
    x = array(2, 50, 6)
    order = np.random.default_rng(4).permutation(50)
    np.testing.assert_allclose(
        as_numpy(encoder(x[:, order])), as_numpy(encoder(x)), atol=1e-5
    )


def test_order_of_latents_goes_through(encoder):
    x = array(2, 20, 6)
    out = as_numpy(encoder(x))
    latents = encoder.latents.numpy()
    try:
        encoder.latents.assign(latents[[2, 0, 1]])
        np.testing.assert_allclose(as_numpy(encoder(x)), out[:, [2, 0, 1]], atol=1e-5)
    finally:
        encoder.latents.assign(latents)


def test_a_batch_is_its_examples(encoder):
    """Ragged ones included (M7)."""
    lengths = [7, 12, 1]
    rows = [array(1, n, 6, seed=n) for n in lengths]
    batch = np.full((3, 12, 6), np.nan, "float32")
    mask = np.zeros((3, 12), bool)
    for i, row in enumerate(rows):
        batch[i, : row.shape[1]], mask[i, : row.shape[1]] = row, True
    out = as_numpy(encoder(batch, padding_mask=mask))
    for i, row in enumerate(rows):
        np.testing.assert_allclose(out[i : i + 1], as_numpy(encoder(row)), atol=1e-5)


def test_a_masked_modality_is_an_absent_one(encoder):
    """M6."""
    pixels, sounds = array(2, 8, 6), array(2, 5, 6, seed=1)
    both = np.concatenate([pixels, sounds], axis=1)
    mask = np.concatenate([np.ones((2, 8)), np.zeros((2, 5))], axis=1)
    np.testing.assert_allclose(
        as_numpy(encoder(both, padding_mask=mask)), as_numpy(encoder(pixels)), atol=FLOAT32
    )
    assert np.abs(as_numpy(encoder(both)) - as_numpy(encoder(pixels))).max() > 1e-3


def test_a_fully_masked_example_is_defined(encoder):
    """It reads nothing: as if the cross-attention added zero (M3)."""
    x = array(2, 9, 6)
    mask = np.array([[1] * 9, [0] * 9])
    out = as_numpy(encoder(x, padding_mask=mask))
    x[1] = np.nan
    again = as_numpy(encoder(x, padding_mask=mask))
    np.testing.assert_array_equal(out, again)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out[:1], as_numpy(encoder(x[:1])), atol=1e-5)
    # The output projection's bias must not slip in.
    attention = encoder.first_cross.attend
    assert np.abs(attention.output_dense.bias.numpy()).max() > 0
    read = as_numpy(attention(array(2, 3, 8), x, padding_mask=mask))
    assert not read[1].any()
    assert read[0].any()


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32"])
def test_mask_dtypes(encoder, dtype):
    x, mask = array(2, 9, 6), np.arange(9)[None] < np.array([[9], [4]])
    expected = as_numpy(encoder(x, padding_mask=mask))
    out = as_numpy(encoder(x, padding_mask=mask.astype(dtype)))
    np.testing.assert_array_equal(out, expected)


def test_implicit_keras_masks(encoder):
    """`Embedding(mask_zero=True)` upstream masks like an explicit mask (M8)."""
    ids = np.array([[3, 1, 2, 0, 0], [1, 2, 3, 4, 0]])
    inputs = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(5, 6, mask_zero=True)(inputs)
    model = keras.Model(inputs, [embedded, encoder(embedded)])
    x, out = model.predict(ids, verbose=0)
    explicit = as_numpy(encoder(x, padding_mask=ids != 0))
    np.testing.assert_allclose(out, explicit, atol=FLOAT32)
    assert np.abs(out - as_numpy(encoder(x))).max() > 1e-3


def test_a_causal_query_that_sees_nothing_gives_zeros():
    """Padding on the left hides what it may see, or it stands before all keys."""
    attention = kp.layers.Attention(2, causal=True)
    attention(array(1, 5, 6))
    attention.output_dense.bias.assign(np.ones(6))
    for masks in ({"padding_mask": np.array([[0, 0, 1, 1, 1]])}, {}):
        x = array(1, 5, 6)
        context = x if masks else x[:, :3]
        out = as_numpy(attention(x, context, **masks))
        np.testing.assert_array_equal(out[0, :2], 0)
        assert np.abs(out[0, 2:]).min() > 0


def test_masks_of_wrong_shape_are_refused(encoder):
    x = array(2, 9, 6)
    with pytest.raises(ValueError, match="`padding_mask` must have shape \\[B, M\\]"):
        encoder(x, padding_mask=np.ones((2, 9, 1)))


def test_attention_mask_broadcasts():
    layer = kp.layers.Attention(2)
    q, x = array(2, 3, 8), array(2, 5, 8)
    mask = np.tril(np.ones((3, 5), bool), 2)
    expected = as_numpy(layer(q, x, attention_mask=np.broadcast_to(mask, (2, 2, 3, 5))))
    for shape in ((1, 3, 5), (2, 3, 5), (2, 1, 3, 5), (1, 1, 3, 5)):
        out = layer(q, x, attention_mask=np.broadcast_to(mask, shape))
        np.testing.assert_allclose(as_numpy(out), expected, atol=1e-6)


def test_empty_inputs_are_refused():
    """M9."""
    layer = kp.layers.PerceiverEncoder(3, 8, layers_per_block=1)
    with pytest.raises(ValueError, match="at least one key"):
        layer(np.zeros((2, 0, 6), "float32"))
    with pytest.raises(ValueError, match="grid axes of known, positive size"):
        kp.layers.FourierEncoding(2)(np.zeros((2, 0, 6), "float32"))


def test_gradients_do_not_meet_padding(encoder):
    """NaN in padding reaches no weight's gradient (M2)."""
    from gradients import weight_gradients

    x = array(2, 9, 6)
    x[:, 6:] = np.nan
    mask = np.arange(9)[None] < np.array([[6], [6]])
    _, grads = weight_gradients(
        encoder, lambda: ops.mean(ops.square(encoder(x, padding_mask=mask)))
    )
    _, expected = weight_gradients(encoder, lambda: ops.mean(ops.square(encoder(x[:, :6]))))
    for path, gradient in expected.items():
        np.testing.assert_allclose(grads[path], gradient, atol=1e-5, err_msg=path)


def test_latents_from_inputs():
    """Given latents, the last inputs, or a subsample, in place of the learned array."""
    layer = kp.layers.PerceiverEncoder(
        None, 6, layers_per_block=1, self_attention=AttentionSpec(num_heads=2)
    )
    x = array(2, 9, 6)
    last = as_numpy(layer(x, latents=kp.ops.last_positions(ops.convert_to_tensor(x), 4)))
    given = as_numpy(layer(x, latents=x[:, -4:]))
    np.testing.assert_array_equal(last, given)
    assert last.shape == (2, 4, 6)
    assert not any("latents" in w.path for w in layer.weights)
    with pytest.raises(ValueError, match="`latents` must be given exactly if"):
        layer(x)
    with pytest.raises(ValueError, match="`latents` must have `latent_channels` channels"):
        layer(x, latents=x[:, :, :3])
    learned = kp.layers.PerceiverEncoder(
        2, 6, layers_per_block=1, self_attention=AttentionSpec(num_heads=2)
    )
    with pytest.raises(ValueError, match="`latents` must be given exactly if"):
        learned(x, latents=x)


SPEC = AttentionSpec(num_heads=2)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: AttentionSpec(num_heads=0),
            "`num_heads` must be a positive integer. Received: num_heads=0",
        ),
        (
            lambda: AttentionSpec(num_heads=3, qk_channels=16),
            "`qk_channels` must be divisible by .* Received: qk_channels=16, num_heads=3",
        ),
        (lambda: AttentionSpec(dropout=1.0), "`dropout` must be a number in \\[0, 1\\)"),
        (
            lambda: AttentionSpec(activation="gelo"),
            "`activation` must be .* Received: activation='gelo'",
        ),
        (
            lambda: kp.layers.PerceiverEncoder(0, 8),
            "`num_latents` must be a positive integer",
        ),
        (
            lambda: kp.layers.PerceiverEncoder(2, 8, num_cross_attentions=2),
            "`num_cross_attentions` must not exceed `num_blocks`",
        ),
        (
            lambda: kp.layers.PerceiverEncoder(2, 8)(np.zeros((1, 4, 4, 3))),
            "`inputs` must have shape \\[batch, length, channels\\]",
        ),
        (
            lambda: kp.layers.SelfAttentionBlock(0),
            "`num_layers` must be a positive integer",
        ),
        (
            lambda: kp.layers.SelfAttentionBlock(1, AttentionSpec(num_heads=3))(
                np.zeros((1, 4, 8))
            ),
            "`qk_channels` must be divisible by `num_heads`. Received: qk_channels=8",
        ),
        (lambda: kp.layers.FourierEncoding(0), "`num_bands` must be a positive integer"),
        (
            lambda: kp.layers.FourierEncoding(2, (4, 4))(np.zeros((1, 4, 3))),
            "`max_resolution` must have one entry per grid axis",
        ),
        (
            lambda: kp.layers.LearnedPositions(3)(np.zeros((1, 4, 3))),
            "`inputs` must not be longer than `num_positions`",
        ),
        (
            lambda: kp.layers.LearnedPositions()(keras.Input((None, 3))),
            "`num_positions` must be given",
        ),
        (
            lambda: kp.layers.PerceiverResampler(2, latent_channels=4)(np.zeros((1, 5, 8))),
            "latents and inputs must have equal channels",
        ),
        (lambda: kp.layers.LearnedQueries(2, -1), "`channels` must be a positive integer"),
        (
            lambda: kp.models.ImageEncoder((8, 8), num_latents=2, latent_channels=8),
            "`image_shape` must be \\(height, width, channels\\)",
        ),
    ],
)
def test_errors_name_the_argument(make, match):
    """Raised at construction or build, with what was expected and what came (E8)."""
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("name", ["encoder", "resampler", "attention"])
def test_any_length_and_an_optional_mask(name):
    """One model for all lengths, with and without a mask."""
    inputs = keras.Input((None, 8), name="inputs")
    mask = keras.Input((None,), dtype="int32", name="padding_mask", optional=True)
    if name == "attention":
        queries = kp.layers.LearnedQueries(3, 8)(inputs)
        outputs = kp.layers.Attention(2)(queries, inputs, padding_mask=mask)
    else:
        layer = {
            "encoder": kp.layers.PerceiverEncoder(
                3, 8, self_attention=AttentionSpec(num_heads=2), layers_per_block=1
            ),
            "resampler": kp.layers.PerceiverResampler(3, 1, AttentionSpec(num_heads=2)),
        }[name]
        outputs = layer(inputs, padding_mask=mask)
    model = keras.Model({"inputs": inputs, "padding_mask": mask}, outputs)
    assert model.output_shape == (None, 3, 8)
    contract.randomize(model, np.random.default_rng(1))
    x = array(2, 9, 8)
    without = as_numpy(model({"inputs": x[:, :6], "padding_mask": None}))
    x[:, 6:] = np.nan
    real = (np.arange(9)[None] < np.array([[6], [6]])).astype("int32")
    np.testing.assert_allclose(
        as_numpy(model({"inputs": x, "padding_mask": real})), without, atol=FLOAT32
    )
