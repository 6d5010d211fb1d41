"""Speed and memory of Perceiver AR, training and generating, against peers in one run."""

import dataclasses

import numpy as np

import compare
from arms import Torch
from jobs import Job

FIRST_TOKEN = 6  # ids before are special, as in the bytes' vocabulary
NO_CACHE = "left out: it has no cache; see generate_64_uncached"
GROWS = "left out: it compiles anew as the caches grow"
XLA_ANYHOW = "left out: generation is compiled by XLA anyhow"
XLA_SLOWLY = "left out: XLA takes minutes to compile the step"
AS_SHORTER = "left out: see the same with 64 tokens"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CausalJob(Job):
    """Sizes of a causal language model, of its reference's constructor."""

    sizes: dict = dataclasses.field(
        default_factory=lambda: {
            "vocab_size": 262,
            "max_length": 4096,
            "channels": 512,
            "max_latents": 512,
            "num_layers": 8,
            "num_heads": 8,
            "widening_factor": 4,
        }
    )
    preset: str = "perceiver_ar_bytes_small"
    training: bool = False
    use_cache: bool = True

    def tiny(self):
        sizes = {
            "max_length": 40,
            "channels": 64,  # lucidrains rotates 32 of each head
            "max_latents": 8,
            "num_layers": 2,
            "num_heads": 2,
            "widening_factor": 2,
        }
        return dataclasses.replace(
            self,
            batch=min(self.batch, 2),
            length=40 if self.training else 20,
            new_tokens=min(self.new_tokens, 7),
            sizes=self.sizes | sizes,
        )

    def data(self):
        """Token ids and padding mask `[B, S]`, and labels `[B, L]`: the tokens after."""
        rng = np.random.default_rng(0)
        shape = (self.batch, self.length + 1)
        ids = rng.integers(FIRST_TOKEN, self.sizes["vocab_size"], size=shape)
        inputs = {
            "token_ids": ids[:, :-1].astype("int32"),
            "padding_mask": np.ones((self.batch, self.length), "int32"),
        }
        return inputs, ids[:, -self.sizes["max_latents"] :]

    def model(self):
        from keras_perceiver.layers import AttentionSpec
        from keras_perceiver.models import CausalLM

        options = dict(self.sizes)
        spec = AttentionSpec(
            num_heads=options.pop("num_heads"),
            widening_factor=options.pop("widening_factor"),
        )
        return CausalLM(**options, attention=spec, prefix_dropout=0.0)

    def outputs(self, model, inputs):
        if not self.new_tokens:
            return super().outputs(model, inputs)
        return model.generate(
            inputs,
            max_new_tokens=self.new_tokens,
            strip_prompt=True,
            sampler="greedy",
            use_cache=self.use_cache,
        )

    def reference(self):
        from reference_causal_torch import CausalLM, Generator
        from reference_torch import initialize

        if self.new_tokens:
            model = Generator(self.new_tokens, self.use_cache, **self.sizes)
        else:
            model = CausalLM(**self.sizes)
        return initialize(model, scale=0.02)


class Lucidrains(Torch):
    """perceiver-ar-pytorch: other maths of about the same arithmetic, and no cache."""

    def make_model(self):
        from perceiver_ar_pytorch import PerceiverAR
        from perceiver_ar_pytorch.autoregressive_wrapper import AutoregressiveWrapper

        job, sizes = self.job, self.job.sizes
        # Its prefix has one length for good: all but the latents to begin with.
        num_latents = 1 if job.new_tokens else sizes["max_latents"]
        model = PerceiverAR(
            num_tokens=sizes["vocab_size"],
            dim=sizes["channels"],
            depth=sizes["num_layers"],
            max_seq_len=sizes["max_length"],
            cross_attn_seq_len=job.length - num_latents,
            dim_head=sizes["channels"] // sizes["num_heads"],
            heads=sizes["num_heads"],
            ff_mult=sizes["widening_factor"],
        )
        return AutoregressiveWrapper(model)

    def outputs(self):
        token_ids, _ = self.inputs
        if not self.job.new_tokens:
            return self.forward.net(token_ids)
        greedy = 1 - 1.5 / self.job.sizes["vocab_size"]  # a share that leaves one token
        return self.forward.generate(token_ids, self.job.new_tokens, filter_thres=greedy)


def cached(new_tokens, batch, aims):
    """Tokens after 2,048 bytes. `aims`: how many times as fast each backend is."""
    left_out = {
        "lucidrains": NO_CACHE,
        "reference_compiled": GROWS,
        "ours_tensorflow_xla": XLA_ANYHOW,
    }
    if new_tokens > 64:  # bounds the time of the whole run
        left_out["reference_malloc"] = AS_SHORTER
    return CausalJob(
        name=f"generate_{new_tokens}_batch_{batch}",
        batch=batch,
        length=2048,
        new_tokens=new_tokens,
        aims={f"ours_{backend}": round(1 / aim, 2) for backend, aim in aims.items()},
        left_out=left_out,
    )


JOBS = (
    CausalJob(
        name="causal_step",
        batch=1,
        length=4096,
        training=True,
        aims={"ours_tensorflow": 0.5, "ours_jax": 0.75, "ours_torch": 0.85},
        left_out={"ours_tensorflow_xla": XLA_SLOWLY},
    ),
    cached(64, 1, {"jax": 3, "tensorflow": 2.5, "torch": 1}),
    cached(256, 1, {"jax": 3, "tensorflow": 2.5, "torch": 1}),
    cached(64, 4, {"jax": 5, "tensorflow": 3, "torch": 1}),
    cached(256, 4, {"jax": 5, "tensorflow": 3, "torch": 1}),
    CausalJob(
        name="generate_64_uncached",
        batch=1,
        length=2048,
        new_tokens=64,
        use_cache=False,
        left_out={"reference_compiled": GROWS, "ours_tensorflow_xla": XLA_ANYHOW},
    ),
)
PEERS = {"lucidrains": Lucidrains}

if __name__ == "__main__":
    compare.main("bench_generation", rounds=5, warmup=1)
