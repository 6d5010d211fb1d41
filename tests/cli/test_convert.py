"""`convert`: what another library wrote, and back."""

import numpy as np

import keras_perceiver as kp
import tiny_ar
from command_line import assert_refused, run


def test_there_and_back(tmp_path, rng, capsys):
    model = tiny_ar.causal_lm()
    kp.presets.save(model, tmp_path / "preset")
    there, back = tmp_path / "krasserm", tmp_path / "back"
    out = run(["convert", tmp_path / "preset", "--to=krasserm", f"--output={there}"])
    assert "CausalLM with" in out and str(there) in out
    run(["convert", there, f"--output={back}"])
    ids = rng.integers(0, model.vocab_size, (2, 12))
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    expected = model.predict(inputs, verbose=0)
    result = kp.presets.load(back).predict(inputs, verbose=0)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    refused = ["convert", tmp_path / "preset", "--to=huggingface", f"--output={there}2"]
    assert_refused(refused, "CausalLM", capsys)
    assert_refused(["convert", "nowhere", f"--output={there}3"], "nowhere", capsys)
    wrong = ["convert", "x.npz", "--haiku=other", f"--output={there}4"]
    assert_refused(wrong, "--haiku", capsys)
