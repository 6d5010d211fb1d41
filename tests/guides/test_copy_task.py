"""R5: Perceiver AR copies what only its prefix holds; without the prefix it guesses."""

import numpy as np
import pytest

ONE_BACKEND = pytest.mark.one_backend(on="tensorflow")


@pytest.mark.parametrize(
    "fast",
    [
        pytest.param("1", id="small"),
        pytest.param("0", id="full", marks=[ONE_BACKEND, pytest.mark.slow(on=None)]),
    ],
)
def test_it_copies_from_the_prefix(fast, run_guide):
    guide, printed, folder = run_guide("copy_task", fast)
    check_rows(guide)
    accuracy, chance = guide["accuracy"], 1 / guide["SYMBOLS"]
    assert accuracy["Perceiver AR"] >= 0.999
    # Without the prefix every symbol is a guess; within four standard errors.
    guesses = guide["unseen"][:, guide["HALF"] + 1 :].size
    error = (chance * (1 - chance) / guesses) ** 0.5
    control = accuracy["the same, prefix masked"]
    assert control == pytest.approx(chance, abs=4 * error)
    # One wrong symbol spoils a generated sequence.
    assert guide["faultless"].mean() >= 0.95
    assert f"| Perceiver AR | {accuracy['Perceiver AR']:.1%} |" in printed
    assert (folder / "accuracy.png").exists()


def check_rows(guide):
    """Every label mirrors a symbol of the prefix, which the control does not see."""
    latents, length = guide["LATENTS"], guide["LENGTH"]
    prefix = length - latents
    batches = [guide["training_batch"](index, prefix=True) for index in (0, 1)]
    batches.append(guide["task"](*guide["test_rows"], prefix=True))
    for inputs, labels in batches:
        assert labels.shape[1] == latents
        first = length - inputs["padding_mask"].sum(axis=1)  # slot of the first symbol
        # The label of slot i stands in slot i + 1, and i + 1 - first in its sequence.
        places = np.arange(prefix, length) + 1 - first[:, None]  # [B, L]
        mirrored = first[:, None] + length - places
        assert (mirrored >= first[:, None]).all()
        assert (mirrored < prefix).all()
        symbols = np.take_along_axis(inputs["token_ids"], mirrored, axis=1)
        np.testing.assert_array_equal(symbols, labels)
    inputs, _ = guide["task"](*guide["test_rows"], prefix=False)
    hidden = np.arange(length) < prefix
    assert (inputs["padding_mask"] == ~hidden).all()
