"""What a benchmark times: a model of given sizes, its data, and the aims."""

import dataclasses
import importlib

# Sizes of an encoder that runs in no time, for `Job.tiny`.
TINY_ENCODER = {"num_latents": 4, "latent_channels": 16, "layers_per_block": 1}
# Labels that count for nothing, in PyTorch's convention.
IGNORED = -100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """A model, and whether to time its forward pass, a training step or generation.

    Subclasses add the sizes of their models and implement the methods. Sizes stand
    here, because a peer must not import this library; they are those of `preset`,
    without dropout, which a test holds. `aims` are times over the plain PyTorch
    reference's, `compile_aims` seconds of compiling, `left_out` reasons why a peer cannot
    do the job: each by name of the arm.
    """

    name: str
    preset: str
    batch: int
    training: bool
    aims: dict = dataclasses.field(default_factory=dict)
    compile_aims: dict = dataclasses.field(default_factory=dict)
    left_out: dict = dataclasses.field(default_factory=dict)
    length: int | None = None  # of a text, in tokens
    new_tokens: int = 0  # to generate after each text, if it is that
    tolerance: float = 1e-4  # between outputs of ours and of the reference

    def tiny(self):
        """The same with sizes of seconds, whose times mean nothing."""
        raise NotImplementedError

    def data(self):
        """`(inputs, labels)` in numpy, the same in every process.

        Inputs are an array or a dict of arrays; labels are integers, `IGNORED` or
        at least 0.
        """
        raise NotImplementedError

    def ours(self, inputs, labels):
        """What of that data this library is fed, which may need less for the same loss."""
        return inputs, labels

    def model(self):
        """This library's Keras model."""
        raise NotImplementedError

    def outputs(self, model, inputs):
        """What a step that does not train has of that model, in numpy."""
        return model.predict_on_batch(inputs)

    def reference(self):
        """The same in plain PyTorch, of `reference_torch`."""
        raise NotImplementedError


def get_job(benchmark, name, quick=False):
    """A job of the benchmark in the module named `benchmark`; `quick` for a tiny one."""
    job = {job.name: job for job in importlib.import_module(benchmark).JOBS}[name]
    return job.tiny() if quick else job


def named_weights(model):
    """Weights of this library's model, by their paths without the encoder's name."""
    encoder = getattr(model, "encoder", model)
    return {w.path.removeprefix(f"{encoder.name}/"): w for w in model.weights}
