"""The benchmarks' models are the presets they name, without dropout."""

import concurrent.futures
import dataclasses
import importlib
import pathlib

import keras
import numpy as np
import pytest

import contract
import keras_perceiver as kp

pytestmark = pytest.mark.one_backend
BENCHMARKS = pathlib.Path(__file__).parents[2] / "benchmarks"
# Those that compare models with peers; the others time this library alone.
ALONE = ("bench_fit", "bench_input")
NAMES = sorted({path.stem for path in BENCHMARKS.glob("bench_*.py")} - {*ALONE})


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def jobs(benchmark):
    return importlib.import_module(benchmark).JOBS


def facts(make, length):
    """Weights, arithmetic, and what neither shows, without allocating weights."""

    def build():
        with keras.StatelessScope(initialize_variables=False):
            model = make()
            layers = model._flatten_layers()
            attentions = [x for x in layers if isinstance(x, kp.layers.Attention)]
            return {
                "weights": {
                    path: tuple(w.shape)
                    for path, w in importlib.import_module("jobs")
                    .named_weights(model)
                    .items()
                    if "seed" not in path
                },
                "flops": kp.models.flops(model, executed=True, length=length),
                "heads": [x.num_heads for x in attentions],
                "dropout": {x.dropout for x in attentions},
                "query_residual": getattr(model, "query_residual", None),
                "rotary": [
                    (x.num_rotary_layers, x.rotary_fraction)
                    for x in layers
                    if isinstance(x, kp.layers.PerceiverAR)
                ],
            }

    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        return executor.submit(build).result()


@pytest.mark.parametrize("benchmark", NAMES)
def test_models_are_those_of_the_presets(benchmark):
    for job in jobs(benchmark):
        ours = facts(job.model, job.length)
        preset = facts(
            lambda job=job: kp.presets.load(job.preset, load_weights=False), job.length
        )
        assert ours.pop("dropout") == {0}
        del preset["dropout"]
        assert ours == preset, job.name


@pytest.mark.parametrize("benchmark", NAMES)
def test_names_in_a_job_are_names_of_arms(benchmark):
    arms = importlib.import_module("arms").arms(benchmark)
    for job in jobs(benchmark):
        assert {*job.aims, *job.compile_aims, *job.left_out} <= set(arms), job.name


def test_text_batches_mask_some_tokens_and_are_the_same_in_every_process():
    IGNORED = importlib.import_module("jobs").IGNORED
    for job in jobs("bench_text"):
        inputs, labels = job.data()
        again, same_labels = job.data()
        np.testing.assert_array_equal(labels, same_labels)
        masked = labels != IGNORED
        assert 0.1 < masked.mean() < 0.2
        assert set(inputs["token_ids"][masked]) == {3}
        for key, value in inputs.items():
            assert value.shape == labels.shape == (job.batch, job.length)
            np.testing.assert_array_equal(value, again[key])
        ids = np.where(masked, labels, inputs["token_ids"])
        assert ids.min() >= 0
        assert ids.max() < job.vocab_size


def test_asked_for_at_masks_no_masked_token_is_left_out():
    IGNORED = importlib.import_module("jobs").IGNORED
    (job,) = [x for x in jobs("bench_text") if x.mask_selection_length]
    inputs, labels = job.data()
    selected, at_masks = job.ours(inputs, labels)
    assert at_masks.shape == (job.batch, job.mask_selection_length)
    assert (at_masks != IGNORED).sum() == (labels != IGNORED).sum()
    expected = np.take_along_axis(labels, selected["mask_positions"], axis=1)
    np.testing.assert_array_equal(at_masks, expected)


def test_causal_labels_are_the_tokens_that_follow():
    for job in jobs("bench_generation"):
        inputs, labels = job.data()
        latents = min(job.sizes["max_latents"], job.length)
        assert labels.shape == (job.batch, latents)
        np.testing.assert_array_equal(labels[:, :-1], inputs["token_ids"][:, 1 - latents :])


@pytest.mark.parametrize(
    ("use_cache", "options"),
    [
        (True, {}),
        (False, {}),
        # As the model of 454M has them.
        (True, {"learned_positions": False, "output_norm": True, "output_bias": False}),
    ],
)
def test_the_plain_loop_generates_our_tokens(use_cache, options):
    import torch

    (job,) = [x for x in jobs("bench_generation") if x.name == "generate_64_batch_4"]
    job = job.tiny()
    job = dataclasses.replace(job, use_cache=use_cache, sizes=job.sizes | options)
    model, reference = job.model(), job.reference()
    contract.randomize(model, np.random.default_rng(1))
    weights = importlib.import_module("jobs").named_weights(model)
    arrays = {path: keras.ops.convert_to_numpy(w) for path, w in weights.items()}
    importlib.import_module("reference_torch").load(reference, arrays)
    inputs, _ = job.data()
    with torch.inference_mode():
        tokens = reference(*map(torch.from_numpy, inputs.values())).numpy()
    assert tokens.shape == (job.batch, job.new_tokens)
    assert len(np.unique(tokens)) > 2
    np.testing.assert_array_equal(tokens, job.outputs(model, inputs))


def test_the_reference_takes_every_weight_and_no_other():
    reference_torch = importlib.import_module("reference_torch")
    model = reference_torch.Decoder(4, 6)
    weights = {
        name.replace(".", "/")
        .replace("weight", "gamma" if "norm" in name else "kernel")
        .replace("bias", "beta" if "norm" in name else "bias"): p.detach().numpy().T
        for name, p in model.named_parameters()
    }
    reference_torch.load(model, weights)
    with pytest.raises(ValueError, match="without a place: \\['other'\\]"):
        reference_torch.load(model, {**weights, "other": np.ones(3)})
    del weights["cross_attention/mlp_in/bias"]
    with pytest.raises(KeyError, match="cross_attention/mlp_in/bias"):
        reference_torch.load(model, weights)


def test_flops_count_branches_and_loops_as_they_run():
    """By hand: a product of 2x3 and 3x4 is 48; three in a scan; one of two branches."""
    import jax
    import jax.numpy as jnp

    jaxpr_flops = importlib.import_module("flop_count").jaxpr_flops
    x, y = jnp.ones((2, 3)), jnp.ones((3, 4))

    def scanned(x, y):
        return jax.lax.scan(lambda carry, _: (carry, x @ y), 0, None, length=3)[1]

    def chosen(x, y):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ y, lambda: -(x @ y))

    for function, expected in ((jnp.matmul, 48), (scanned, 3 * 48), (chosen, 48)):
        assert jaxpr_flops(jax.make_jaxpr(function)(x, y).jaxpr) == expected
