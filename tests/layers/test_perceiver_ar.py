"""The stack of Perceiver AR: nothing leaks, positions count, dropout is exact."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

import contract
import gradients
import keras_perceiver as kp
import tiny_ar
from keras_perceiver.layers import AttentionSpec
from keras_perceiver.ops.rotary import rotary_angles
from tolerances import FLOAT32

LATENTS, LENGTH, CHANNELS = 4, 11, 8
DROPPING = AttentionSpec(num_heads=2, widening_factor=2, dropout=0.3, residual_dropout=0.2)


def stack(attention=AttentionSpec(num_heads=2), seed=1, **options):
    layer = kp.layers.PerceiverAR(
        LATENTS, **{"num_layers": 2, "attention": attention, **options}
    )
    layer.build((None, None, CHANNELS))
    contract.randomize(layer, np.random.default_rng(seed))
    return layer


def array(*shape):
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def call(layer, x, **options):
    return contract.as_numpy(layer(ops.convert_to_tensor(x), **options))


def test_latents_are_the_last_positions_and_read_the_prefix():
    layer, x = stack(prefix_dropout=0.0), array(2, LENGTH, CHANNELS)
    before = call(layer, x)
    assert before.shape == (2, LATENTS, CHANNELS)
    for position in range(LENGTH):
        changed = x.copy()
        changed[0, position] *= -1
        differs = (call(layer, changed) != before).any(axis=-1)
        # Latent n stands at LENGTH - LATENTS + n.
        sees = LENGTH - LATENTS + np.arange(LATENTS) >= position
        np.testing.assert_array_equal(differs[0], sees)
        assert not differs[1].any()


@pytest.mark.parametrize("rate", [0.5, 0.7])
def test_prefix_dropout_leaves_out_an_exact_number_of_positions(rate):
    layer, x = stack(prefix_dropout=rate), array(3, LENGTH, CHANNELS)
    prefix_length = LENGTH - LATENTS

    def trained(x):
        assert tiny_ar.reset_seeds(layer) == 1
        return call(layer, x, training=True)

    before = trained(x)
    matters = []
    for position in range(prefix_length):
        changed = x.copy()
        changed[:, position] *= -1
        matters.append((trained(changed) != before).any(axis=(1, 2)))
    kept = np.stack(matters, axis=1)  # [B, P]
    expected = prefix_length - int(prefix_length * rate)
    assert kept.sum(axis=1).tolist() == [expected] * 3
    assert (kept[0] != kept[1]).any() or (kept[0] != kept[2]).any()
    # Another draw leaves out others; no training, none.
    np.testing.assert_array_equal(trained(x), before)
    assert (call(layer, x, training=True) != before).any()
    full = stack(prefix_dropout=0.0)
    np.testing.assert_array_equal(call(layer, x), call(full, x))


def test_prefix_dropout_keeps_the_order_and_the_mask():
    layer, x = stack(prefix_dropout=0.4), array(2, 10, CHANNELS)
    mask = np.array([[0, 0, 0] + 9 * [1], 12 * [1]], "int32")
    positions = np.stack([np.arange(12), 100 + np.arange(12)]).astype("int32")
    prefix, kept, kept_mask = layer._drop_prefix(
        *(ops.convert_to_tensor(v) for v in (x, positions, mask)), 10
    )
    kept, kept_mask = (ops.convert_to_numpy(v) for v in (kept, kept_mask))
    assert kept.shape == (2, 6 + 2)
    assert (np.diff(kept, axis=1) > 0).all()
    np.testing.assert_array_equal(kept[:, -2:], positions[:, -2:])
    rows = np.arange(2)[:, None]
    index = kept - positions[:, :1]
    np.testing.assert_array_equal(kept_mask, mask[rows, index])
    np.testing.assert_array_equal(ops.convert_to_numpy(prefix), x[rows, index[:, :6]])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="only TensorFlow trains on sequences of unknown length",
)
def test_prefix_dropout_counts_alike_when_the_length_is_unknown():
    import tensorflow as tf

    layer = stack(prefix_dropout=0.29)  # 0.29 * 100 is not 29 in binary
    shape = tf.TensorSpec((None, None, CHANNELS))

    @tf.function(input_signature=[shape])
    def kept(x):
        length = tf.shape(x)[1]
        return layer._drop_prefix(x, tf.range(length)[None], None, length)[0]

    assert kept(array(1, 100, CHANNELS)).shape[1] == 100 - int(100 * 0.29)


def test_a_shift_of_all_positions_changes_nothing():
    """A6: rotation tells distances, so only differences of positions count."""
    layer = kp.layers.CausalPrefixAttention(AttentionSpec(num_heads=2), 1.0)
    latents, prefix = array(2, LATENTS, CHANNELS), array(2, 5, CHANNELS)
    layer.build(latents.shape)
    contract.randomize(layer, np.random.default_rng(1))
    tensors = [ops.convert_to_tensor(x) for x in (latents, prefix)]

    def at(positions):
        rotation = rotary_angles(positions[None], layer.rotary_channels)
        return contract.as_numpy(layer.update(*tensors, None, rotation, (None,) * 3))

    positions = np.arange(5 + LATENTS)
    expected = at(positions)
    np.testing.assert_allclose(call(layer, latents, prefix=prefix), expected, atol=1e-6)
    np.testing.assert_allclose(at(positions + 50), expected, atol=1e-4)
    assert np.abs(at(positions * 2) - expected).max() > 1e-2


@pytest.mark.parametrize("content", [0.0, 1e6, np.nan])
def test_padding_on_the_left_changes_nothing(content):
    layer, x = stack(), array(2, LENGTH, CHANNELS)
    expected = call(layer, x)
    filler = np.full((2, 3, CHANNELS), content, "float32")
    mask = np.pad(np.ones((2, LENGTH), "int32"), ((0, 0), (3, 0)))
    padded = np.concatenate([filler, x], axis=1)
    out = call(layer, padded, padding_mask=mask)
    np.testing.assert_allclose(out, expected, atol=FLOAT32)
    # Padding among the latents, too.
    out = call(layer, padded[:, :6], padding_mask=mask[:, :6])
    np.testing.assert_allclose(out[:, -3:], call(layer, x[:, :3]), atol=FLOAT32)


def test_recomputation_gives_the_same_gradients():
    x = array(2, LENGTH, CHANNELS)
    results = []
    for remat in (False, True):
        layer = stack(DROPPING, num_layers=1, remat=remat, name="stack")

        def loss(layer=layer):
            tiny_ar.reset_seeds(layer)
            return ops.mean(ops.square(layer(ops.convert_to_tensor(x), training=True)))

        results.append(gradients.weight_gradients(layer, loss))
    (value, expected), (again, received) = results
    assert value == pytest.approx(again, rel=1e-6)
    for path, gradient in expected.items():
        np.testing.assert_allclose(received[path], gradient, atol=1e-5, err_msg=path)
        assert np.abs(gradient).max() > 0


def test_heads_in_groups_are_all_heads():
    x = array(2, LENGTH, CHANNELS)
    options = {"num_heads": 4, "widening_factor": 2}
    together = call(stack(AttentionSpec(**options), rotary_fraction=1.0), x)
    grouped = stack(AttentionSpec(**options, heads_at_once=2), rotary_fraction=1.0)
    np.testing.assert_allclose(call(grouped, x), together, atol=1e-6)


@pytest.mark.parametrize("first", [0, 1, 2, -1])
def test_the_first_layers_rotate(first):
    layer = stack(num_rotary_layers=first)
    count = 2 if first < 0 else first
    assert [rotates for _, rotates in layer.rotary_layers] == [True] * count + [False] * (
        2 - count
    )
    x = array(1, LENGTH, CHANNELS)
    others = [call(stack(num_rotary_layers=n), x) for n in range(3) if n != count]
    assert all(np.abs(call(layer, x) - other).max() > 1e-4 for other in others)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (functools.partial(stack, num_rotary_layers=3), "between -1 and num_layers=2"),
        (
            functools.partial(stack, prefix_dropout=1.0),
            r"`prefix_dropout` must be.*\[0, 1\)",
        ),
        (functools.partial(stack, num_layers=0), "`num_layers` must be a positive"),
        (functools.partial(stack, rotary_fraction=0.0), r"must lie in \(0, 1\]"),
        (
            functools.partial(stack, AttentionSpec(num_heads=4)),
            "an even number of channels per head.*rotary_fraction=0.5 of 2 channels",
        ),
        (lambda: stack()(np.ones((2, 3), "f")), r"`inputs` must have shape"),
        (
            lambda: kp.layers.PerceiverAR(0),
            "`max_latents` must be a positive integer. Received: max_latents=0",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
