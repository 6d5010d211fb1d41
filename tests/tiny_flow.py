"""The smallest optical flow model with every part, for tests that need any."""

import keras_perceiver as kp
from keras_perceiver.layers import AttentionSpec

SIZE = (8, 12)


def flow_model(flow_scale=20.0, **options):
    """An OpticalFlow; `options` are those of its encoder."""
    spec = AttentionSpec(num_heads=2, qk_channels=16, v_channels=16)
    encoder = kp.models.OpticalFlowEncoder(
        SIZE,
        patch_channels=16,
        num_bands=4,
        num_latents=8,
        latent_channels=32,
        cross_attention=spec,
        self_attention=AttentionSpec(num_heads=2),
        **{"layers_per_block": 1, "init_scale": 0.1, **options},
    )
    preprocessor = kp.preprocessing.FlowPreprocessor(
        SIZE, min_overlap=4, flow_scale=flow_scale
    )
    return kp.models.OpticalFlow(
        encoder,
        cross_attention=spec,
        init_scale=0.1,
        rescale_factor=10.0,
        preprocessor=preprocessor,
    )
