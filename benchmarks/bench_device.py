"""Training in bfloat16 on a GPU: tokens a second, and model-FLOPs utilisation.

    python benchmarks/bench_device.py --peak_tflops=989 --out results.jsonl

The causal language models of 30.6M and 454M parameters and the masked one of 201M, on
JAX and PyTorch, beside a plain PyTorch loop (eager, and through torch.compile) and
transformers. Utilisation (MFU) is three times the forward pass's FLOPs of
`keras_perceiver.models.flops`, over the time and the device's peak: 989 TFLOP/s is an
H100's of dense bfloat16 products. This library attends by PyTorch's fused attention
(flash attention, where the mask allows it) on PyTorch, and by products that XLA fuses on
JAX (cuDNN's flash attention, where heads have up to 128 channels). "device MB" is the
most that lay in the GPU's memory, other memory columns are the host's. `--quick` runs
tiny sizes, on a CPU too.
"""

import dataclasses
import itertools

import bench_text
import compare
from arms import Ours, Reference
from bench_generation import CausalJob

H100_TFLOPS = 989
NO_AR = "left out: it has no Perceiver AR"
SLOW_TO_COMPILE = {"reference_compiled": "left out: see causal_small_step"}
# JAX would take three quarters of the GPU's memory at once, and others are beside it.
ON_DEMAND = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
# Steps that are timed together: nobody waits for the result of each.
STEPS = 20
# bfloat16 has three digits. Measured 0.6 of logits up to 28, after 120 steps.
TOLERANCE = 1.5


class OursInBfloat16(Ours):
    """This library, float32 weights and bfloat16 arithmetic, trained by `fit`."""

    def __init__(self, job):
        import keras

        keras.config.set_dtype_policy("mixed_bfloat16")
        super().__init__(job)

    def step(self):
        batch = self.inputs, self.labels, self.weights
        endless = (batch for _ in itertools.count())
        self.model.fit(endless, steps_per_epoch=STEPS, verbose=0)


class OnDevice:
    """For a PyTorch arm: on the GPU, if there is one, and in bfloat16."""

    def __init__(self, job):
        import torch

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(self.device):
            super().__init__(job)
        self.inputs = tuple(x.to(self.device) for x in self.inputs)
        self.labels = self.labels.to(self.device)

    def outputs(self):
        import torch

        with torch.autocast(self.device, torch.bfloat16):
            return super().outputs().float()

    def step(self):
        for _ in range(STEPS):
            loss = self.train()
        loss.item()


class ReferenceOnDevice(OnDevice, Reference):
    """The plain loop, eager."""


class CompiledOnDevice(ReferenceOnDevice):
    """The same through torch.compile."""

    def __init__(self, job):
        import torch

        super().__init__(job)
        self.forward = torch.compile(self.model)

    def flops(self):
        """None: those of the eager one."""


class TransformersOnDevice(OnDevice, bench_text.Transformers):
    """transformers' PerceiverForMaskedLM."""


JOBS = (
    CausalJob(
        name="causal_small_step",
        batch=16,
        length=4096,
        training=True,
        tolerance=TOLERANCE,
        left_out={"transformers": NO_AR},
    ),
    CausalJob(
        name="causal_base_step",
        preset="perceiver_ar_base",
        batch=16,
        length=1024,
        training=True,
        tolerance=TOLERANCE,
        left_out={"transformers": NO_AR, **SLOW_TO_COMPILE},
        sizes={
            "vocab_size": 32000,
            "max_length": 1024,
            "channels": 1280,
            "max_latents": 512,
            "num_layers": 20,
            "num_heads": 10,
            "widening_factor": 4,
            "learned_positions": False,
            "output_norm": True,
            "output_bias": False,
        },
    ),
    dataclasses.replace(
        bench_text.JOBS[0],
        name="language_step",
        batch=16,
        training=True,
        tolerance=TOLERANCE,
        aims={},
        left_out=SLOW_TO_COMPILE,
    ),
)
ARMS = {
    "reference": (ReferenceOnDevice, {}),
    "reference_compiled": (CompiledOnDevice, {}),
    "transformers": (TransformersOnDevice, {}),
    "ours_jax": (OursInBfloat16, {"KERAS_BACKEND": "jax", **ON_DEMAND}),
    "ours_torch": (OursInBfloat16, {"KERAS_BACKEND": "torch"}),
}

if __name__ == "__main__":
    compare.main("bench_device", rounds=5, warmup=1, steps=STEPS, peak_tflops=H100_TFLOPS)
