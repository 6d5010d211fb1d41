"""Who is timed: this library on three backends, and its peers on PyTorch.

An arm is built in a process of its own and offers `step()`, one blocking forward
pass or training step, `parameters()` and `flops()`, what one step executes.
"""

import math

import numpy as np

# Handing freed memory back and faulting it in again costs PyTorch's training steps
# 16 to 31 % on the machine of results/. A user who tunes sets these two.
TUNED_MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "40000000000"}
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01


class Ours:
    """This library, through Keras: `train_on_batch` or `predict_on_batch`."""

    def __init__(self, job, backend):
        import keras

        from keras_perceiver.models import ImageClassifier, ImageEncoder

        self.job, self.backend = job, backend
        encoder = ImageEncoder(
            job.image_shape,
            num_bands=job.num_bands,
            num_latents=job.num_latents,
            latent_channels=job.latent_channels,
            num_cross_attentions=job.num_cross_attentions,
            num_blocks=job.num_blocks,
            layers_per_block=job.layers_per_block,
            share_first_block=job.share_first_block,
            init_scale=job.init_scale,
        )
        self.model = ImageClassifier(encoder, job.num_classes, init_scale=job.init_scale)
        self.model.compile(
            optimizer=keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            # As Keras chooses on a CPU: XLA for JAX, graphs for TensorFlow.
            jit_compile=backend == "jax",
        )
        self.images, self.labels = job.data()

    def step(self):
        if self.job.training:
            self.model.train_on_batch(self.images, self.labels)
        else:
            self.model.predict_on_batch(self.images)

    def parameters(self):
        return self.model.count_params()

    def flops(self):
        if self.backend == "jax":
            return count_jax(self.model, self.images, self.labels, self.job.training)
        if self.backend != "torch":
            return None
        # Not predict_on_batch: the counter fails on a model without gradients.
        forward = lambda: self.model(self.images, training=False)  # noqa: E731
        return count_torch(self.step if self.job.training else forward)

    def formula_flops(self):
        from keras_perceiver.models.flops import flops

        passes = self.job.batch * (3 if self.job.training else 1)
        return passes * flops(self.model), passes * flops(self.model, executed=True)

    def save(self, path):
        """Weights and the logits they give, for the reference to compare."""
        logits = self.model.predict_on_batch(self.images)
        encoder = f"{self.model.encoder.name}/"
        weights = {w.path.removeprefix(encoder): np.array(w) for w in self.model.weights}
        np.savez(path, __logits__=logits, **weights)


class Torch:
    """What the PyTorch peers share; a subclass makes `self.model`."""

    def __init__(self, job):
        import torch

        self.job = job
        images, labels = job.data()
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.model = self.make_model().train(job.training)
        self.forward = self.model
        if job.training:
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
            )

    def logits(self):
        return self.forward(self.images)

    def step(self):
        import torch

        if not self.job.training:
            with torch.inference_mode():
                self.logits().numpy()
            return
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.logits(), self.labels)
        loss.backward()
        self.optimizer.step()
        loss.item()

    def parameters(self):
        return sum(p.numel() for p in self.model.parameters())

    def flops(self):
        return count_torch(self.step if self.job.training else self.logits)


class Reference(Torch):
    """The plain transcription of `reference_torch`, eager."""

    def make_model(self):
        import reference_torch

        return reference_torch.ImageClassifier(self.job)

    def compare(self, path):
        """Largest difference to the logits saved by `Ours.save`, and their size."""
        import torch

        import reference_torch

        saved = dict(np.load(path))
        expected = saved.pop("__logits__")
        reference_torch.load(self.model, saved)
        with torch.inference_mode():
            logits = self.logits().numpy()
        return float(abs(logits - expected).max()), float(abs(expected).max())


class CompiledReference(Reference):
    """The same through torch.compile."""

    def __init__(self, job):
        import torch

        super().__init__(job)
        self.forward = torch.compile(self.model)

    def flops(self):
        """None: those of the eager one."""


class Transformers(Torch):
    """transformers' Perceiver with random weights. One cross-attention: it has no more."""

    def make_model(self):
        from transformers import PerceiverConfig
        from transformers.models.perceiver import modeling_perceiver as perceiver

        job = self.job
        self.images = self.images.permute(0, 3, 1, 2).contiguous()  # [B, C, H, W]
        axes = 2 * (2 * job.num_bands + 1)
        config = PerceiverConfig(
            num_latents=job.num_latents,
            d_latents=job.latent_channels,
            d_model=job.image_shape[2] + axes,
            num_blocks=job.num_blocks,
            num_self_attends_per_block=job.layers_per_block,
            num_self_attention_heads=8,
            num_cross_attention_heads=1,
            attention_probs_dropout_prob=0.0,
            initializer_range=job.init_scale,
            num_labels=job.num_classes,
        )
        # PerceiverForImageClassificationFourier is this, for 224 x 224 x 3 only.
        preprocessor = perceiver.PerceiverImagePreprocessor(
            config,
            prep_type="pixels",
            spatial_downsample=1,
            in_channels=job.image_shape[2],
            fourier_position_encoding_kwargs={
                "concat_pos": True,
                "max_resolution": job.image_shape[:2],
                "num_bands": job.num_bands,
                "sine_only": False,
            },
        )
        decoder = perceiver.PerceiverClassificationDecoder(
            config,
            num_channels=config.d_latents,
            trainable_position_encoding_kwargs={
                "num_channels": config.d_latents,
                "index_dims": 1,
            },
            use_query_residual=True,
        )
        return perceiver.PerceiverModel(
            config, decoder=decoder, input_preprocessor=preprocessor
        )

    def logits(self):
        return self.forward(inputs=self.images).logits


class Lucidrains(Torch):
    """perceiver-pytorch's Perceiver IO: other maths, of about the same arithmetic.

    Its layers have a gated MLP four times as wide, hence 16 where ours have 6
    matrix products of the same size: it gets 6/16 of the layers.
    """

    def make_model(self):
        import torch
        from perceiver_pytorch import PerceiverIO

        import reference_torch

        job = self.job
        self.positions = reference_torch.fourier_features(
            job.image_shape[:2], job.num_bands
        )
        inputs = job.image_shape[2] + self.positions.shape[1]
        channels = job.latent_channels
        model = PerceiverIO(
            depth=max(1, job.num_blocks * job.layers_per_block * 6 // 16),
            dim=inputs,
            queries_dim=channels,
            logits_dim=job.num_classes,
            num_latents=job.num_latents,
            latent_dim=channels,
            cross_dim_head=inputs,
            latent_dim_head=channels // 8,
            # Of our 48 ImageNet layers 6 have weights of their own.
            weight_tie_layers=job.share_first_block,
            decoder_ff=True,
        )
        model.query = torch.nn.Parameter(torch.randn(1, channels))
        return model

    def logits(self):
        import torch

        batch = self.images.shape[0]
        positions = self.positions.expand(batch, -1, -1)
        inputs = torch.cat([self.images.flatten(1, 2), positions], dim=-1)
        return self.forward(inputs, queries=self.model.query)[:, 0]


def count_torch(step):
    """FLOPs of the matrix products that `step` runs, the backward pass included."""
    import torch
    from torch.utils import flop_counter

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward

    def forward_flops(query, key, value, *args, out_shape=None, **kwargs):
        return flop_counter.sdpa_flop_count(query, key, value)

    def backward_flops(grad, query, key, value, *args, out_shape=None, **kwargs):
        return flop_counter.sdpa_backward_flop_count(grad, query, key, value)

    # PyTorch counts its fused attention on GPUs only.
    mapping = {fused: forward_flops, backward: backward_flops}
    with flop_counter.FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        step()
    return counter.get_total_flops()


def count_jax(model, images, labels, training):
    """FLOPs of the matrix products in a traced forward pass or gradient."""
    import jax

    variables = [w.value for w in model.trainable_variables]
    others = [w.value for w in model.non_trainable_variables]

    def forward(variables):
        return model.stateless_call(variables, others, images, training=training)[0]

    def gradient(variables):
        return jax.grad(lambda v: model.loss(labels, forward(v)))(variables)

    return jaxpr_flops(jax.make_jaxpr(gradient if training else forward)(variables).jaxpr)


def jaxpr_flops(jaxpr):
    """Of a jaxpr and all within it, each run of a loop's body counted."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            inner = math.prod(shape[axis] for axis in contracted)
            total += 2 * inner * math.prod(equation.outvars[0].aval.shape)
            continue
        inner = [
            jaxpr_flops(getattr(part, "jaxpr", part))
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple) else (value,))
            if hasattr(part, "eqns") or hasattr(part, "jaxpr")
        ]
        # One branch of a conditional runs; a scan runs its body `length` times.
        branches = equation.primitive.name == "cond"
        total += equation.params.get("length", 1) * (max if branches else sum)(inner or [0])
    return total


PEERS = {
    "reference": (Reference, {}),
    "reference_malloc": (Reference, TUNED_MALLOC),
    "reference_compiled": (CompiledReference, {}),
    "transformers": (Transformers, {}),
    "lucidrains": (Lucidrains, {}),
}
BACKENDS = ("tensorflow", "jax", "torch")
OURS = {f"ours_{backend}": backend for backend in BACKENDS}
ARMS = (*PEERS, *OURS)


def environment(name):
    """Environment variables that an arm's process needs."""
    return {"KERAS_BACKEND": OURS[name]} if name in OURS else PEERS[name][1]


def build(name, job):
    """The arm called `name`."""
    return Ours(job, OURS[name]) if name in OURS else PEERS[name][0](job)
