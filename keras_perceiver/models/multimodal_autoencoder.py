"""Multimodal autoencoder."""

import keras
import numpy as np
from keras import ops

from keras_perceiver.generation.loop import program
from keras_perceiver.layers import AttentionSpec, PerceiverDecoder
from keras_perceiver.layers.dense import Dense
from keras_perceiver.layers.modality import ChannelPadding
from keras_perceiver.layers.spec import check_positive
from keras_perceiver.models.model import ConfiguredModel
from keras_perceiver.models.multimodal import as_dict, as_tensor


@keras.saving.register_keras_serializable("keras_perceiver")
class MultimodalAutoencoder(ConfiguredModel):
    """An encoder of several kinds of inputs, and a decoder that gives all of them back.

    An output is asked for point by point: a pixel, a piece of a sound, a label. Points
    of images, videos and sounds are asked for by the Fourier features of where they
    stand, labels and texts by learned queries. A learned vector per kind widens the
    queries to the same number of channels. One decoder answers all of them, a `Dense`
    per kind makes of the answers what was asked for.

    What is missing in the inputs is given back all the same: without a label, the
    model is a classifier.

    Args:
        encoder: a `MultimodalEncoder`. Its layers become part of this model's graph.
        cross_attention: an `AttentionSpec` of the decoder.
        query_residual: add the queries to what the decoder's attention returns.
        min_padding: learned channels that the widest queries get.
        output_channels: of the answers, before the `Dense` of each kind.
        endpoint: whether coordinates of output points run from -1 to 1, as those of the
            inputs do. False for -1 + 2 * i / size, by which the official model was
            trained.
        init_scale: standard deviation of the initial weights.
        name: of the model.

    Call arguments:
        inputs: those of the encoder. With `NAME_points`, integers `[B, K]`, the input
            `NAME` is answered at K of its points only, counted row by row from 0: the
            same numbers, for less.

    Returns:
        A dict by the names, in float32 under every dtype policy: sounds
        `[B, samples, channels]`, images `[B, H, W, C]`, videos `[B, T, H, W, C]`, logits
        `[B, E]` of labels and `[B, S, V]` of texts. At points only: `[B, K, E]`, where E
        is the channels of a pixel, or the samples of a piece times their channels. Sets
        are not given back.

    Raises:
        ValueError: a number that is not positive, or nothing but sets to give back.

    Example:
    >>> from keras_perceiver import models
    >>> digit, label = models.ImageModality(8, 8, 1, 2), models.LabelModality(10)
    >>> encoder = models.MultimodalEncoder(
    ...     {"digit": digit, "label": label}, num_latents=4, latent_channels=16
    ... )
    >>> model = MultimodalAutoencoder(encoder)
    >>> outputs = model({"digit": ops.ones((2, 8, 8, 1))})
    >>> tuple(outputs["digit"].shape), tuple(outputs["label"].shape)
    ((2, 8, 8, 1), (2, 10))

    Reference:
        arXiv 2107.14795, section 4.3 and appendix G.
    """

    def __init__(
        self,
        encoder,
        cross_attention=AttentionSpec(num_heads=1),  # noqa: B008 (frozen)
        query_residual=False,
        min_padding=2,
        output_channels=512,
        endpoint=True,
        init_scale=0.02,
        name=None,
    ):
        check_positive("min_padding", min_padding)
        kinds = {
            key: kind
            for key, kind in sorted(encoder.modalities.items())
            if kind.num_points is not None
        }
        if not kinds:
            raise ValueError(
                "`encoder.modalities` must hold something to give back, beside sets. "
                f"Received: {encoder.modalities}"
            )
        normal = keras.initializers.RandomNormal(0.0, init_scale)
        decoder = PerceiverDecoder(
            cross_attention, query_residual, init_scale, name="decoder"
        )
        answers = Dense(output_channels, kernel_initializer=normal, name="answers")
        channels = min_padding + max(kind.query_channels for kind in kinds.values())
        layers = [decoder, answers]
        for key, kind in kinds.items():
            layers += [
                kind.queries(key, endpoint, init_scale),
                ChannelPadding(channels, init_scale, name=f"{key}_query_padding"),
                Dense(
                    kind.point_channels,
                    kernel_initializer=normal,
                    dtype="float32",
                    name=f"{key}_output",
                ),
            ]
        layers = {layer.name: layer for layer in layers}
        latents = encoder.output  # [B, N, D]
        outputs = {
            key: _answers(layers.get, key, kind, latents) for key, kind in kinds.items()
        }
        super().__init__(inputs=encoder.input, outputs=outputs, name=name)
        self.encoder = encoder
        self.cross_attention = cross_attention
        self.query_residual = query_residual
        self.min_padding = min_padding
        self.output_channels = output_channels
        self.endpoint = endpoint
        self.init_scale = init_scale
        self.kinds = kinds

    def __call__(self, inputs, *args, **kwargs):
        """See the class docstring; Keras would refuse inputs that are not all there."""
        return super().__call__(self._completed(inputs), *args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """See the class docstring; `mask` is Keras' own and not used."""
        inputs, points = self._split(self._completed(inputs))
        latents = self.encoder(inputs, training=training)
        return self.decode(latents, points, training=training)

    def decode(self, latents, points=None, names=None, training=None):
        """Outputs, of latents.

        Args:
            latents: `[B, N, D]`, of the encoder.
            points: a dict of the points to answer, by name: integers `[B, K]`, or `[K]`
                for all examples. All points of what is not in it.
            names: what to give back; None for everything.
            training: whether dropout is on; None as Keras has it.

        Returns:
            As of a call.
        """
        points = points or {}
        layer, kinds = self.get_layer, self.kinds
        return {
            key: _answers(layer, key, kinds[key], latents, points.get(key), training)
            for key in names or kinds
        }

    def reconstruct(self, inputs, names=None, batch_size=1, chunk_size=16384):
        """Outputs for inputs of any size, in bounded memory.

        Inputs are read once; outputs are then asked for in chunks.

        Args:
            inputs: as of a call, numpy arrays, without points.
            names: what to give back; None for everything. `["label"]` classifies.
            batch_size: examples at a time.
            chunk_size: points at a time; any number gives the same.

        Returns:
            Numpy arrays by name, as of a call.

        Raises:
            ValueError: an unknown name, or `chunk_size` that is not positive.
        """
        check_positive("chunk_size", chunk_size)
        names = list(self.kinds) if names is None else list(names)
        unknown = sorted(set(names) - set(self.kinds))
        if unknown:
            raise ValueError(
                f"`names` must be of {sorted(self.kinds)}. Received: {unknown}"
            )
        latents = self.encoder.predict(inputs, batch_size=batch_size, verbose=0)
        outputs = {}
        for key in names:
            kind, decode = self.kinds[key], program(self, _decode_points, key=key)
            out = np.empty((len(latents), kind.num_points, kind.point_channels), "float32")
            size = min(chunk_size, kind.num_points)
            for i in range(0, len(latents), batch_size):
                some = ops.convert_to_tensor(latents[i : i + batch_size])
                for start in range(0, kind.num_points, size):
                    # The last chunk overlaps the one before: one shape, compiled once.
                    start = min(start, kind.num_points - size)
                    points = ops.arange(start, start + size, dtype="int32")
                    part = ops.convert_to_numpy(decode(some, points))
                    out[i : i + batch_size, start : start + size] = part
            outputs[key] = out.reshape(len(latents), *kind.output_shape)
        return outputs

    def _completed(self, inputs):
        inputs, points = self._split(inputs)
        points = {f"{key}_points": as_tensor(x, "int32") for key, x in points.items()}
        return {**self.encoder.complete(inputs), **points}

    def _split(self, inputs):
        """Inputs of the encoder, and points by name."""
        inputs = dict(as_dict(inputs))
        points = {key: inputs.pop(f"{key}_points", None) for key in self.kinds}
        return inputs, {key: x for key, x in points.items() if x is not None}


def _answers(layer, key, kind, latents, points=None, training=None):
    """What the layers of some names answer for one kind: `[B, ...]`, or `[B, K, E]`."""
    queries = layer(f"{key}_queries")
    if points is None:
        # The same queries for each example: projected once, those of the first do.
        x = queries(latents[:1, :])
    else:
        x = queries(latents, points=points if len(points.shape) == 2 else points[None])
    x = layer(f"{key}_query_padding")(x)  # [1 or B, O, F]
    x = layer("answers")(layer("decoder")(x, latents, training=training))
    x = layer(f"{key}_output")(x)  # [B, O, E]
    return x if points is not None else ops.reshape(x, (-1, *kind.output_shape))


def _decode_points(model, latents, points, *, key):
    return model.decode(latents, {key: points}, [key])[key]
