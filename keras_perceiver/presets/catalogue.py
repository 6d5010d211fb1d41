"""Architectures by name: data only, where they differ from the defaults."""


def _classifier(encoder, num_classes=1000, **config):
    return {
        "class_name": "ImageClassifier",
        "config": {
            "encoder": {"class_name": "ImageEncoder", "config": encoder},
            "num_classes": num_classes,
            **config,
        },
    }


def _text(class_name, encoder, **config):
    return {
        "class_name": class_name,
        "config": {"encoder": {"class_name": "TextEncoder", "config": encoder}, **config},
    }


def _form(class_name, **config):
    return {"class_name": class_name, "config": config}


def _spec(**config):
    return _form("AttentionSpec", **config)


def _ar(class_name, attention=None, **config):
    if attention is not None:
        config["attention"] = attention
    return _form(class_name, **config)


IMAGENET = {
    "image_shape": (224, 224, 3),
    "num_latents": 512,
    "latent_channels": 1024,
    "num_blocks": 8,
}
IMAGENET_PREPROCESSOR = {
    "class_name": "ImagePreprocessor",
    "config": {
        "image_shape": (224, 224, 3),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "crop": 224 / 256,
    },
}
MNIST = {
    "image_shape": (28, 28, 1),
    "num_bands": 32,
    "num_latents": 32,
    "latent_channels": 128,
    "num_blocks": 3,
    "layers_per_block": 3,
    "share_first_block": False,
    "init_scale": 0.1,
}
# arXiv 2107.14795, table 10 (byte level). The official dropout is 0.1.
LANGUAGE_ATTENTION = _spec(qk_channels=256, v_channels=1280, dropout=0.1)
LANGUAGE = {
    "num_latents": 256,
    "latent_channels": 1280,
    "cross_attention": LANGUAGE_ATTENTION,
    "self_attention": LANGUAGE_ATTENTION,
    "layers_per_block": 26,
}
LANGUAGE_DECODER = _spec(qk_channels=256, v_channels=768, dropout=0.1)
# krasserm/perceiver-io, first documents (version 0.4): 10,003 WordPiece tokens.
SMALL_SPEC = _spec(num_heads=8, qk_channels=128, dropout=0.1)
LANGUAGE_SMALL = {
    "vocab_size": 10003,
    "max_length": 512,
    "input_channels": 128,
    "num_latents": 128,
    "latent_channels": 128,
    "cross_attention": SMALL_SPEC,
    "self_attention": SMALL_SPEC,
    "num_cross_attentions": 3,
    "num_blocks": 3,
    "share_first_block": False,
}
MIDI_SPEC = _spec(widening_factor=4, dropout=0.1, residual_dropout=0.1)

ARCHITECTURES = {
    "perceiver_io_language_bytes": _text(
        "MaskedLM", LANGUAGE, cross_attention=LANGUAGE_DECODER
    ),
    # The same paper: SentencePiece tokens, four times as long as bytes.
    "perceiver_io_language_sentencepiece": _text(
        "MaskedLM",
        {"vocab_size": 32000, "max_length": 512, **LANGUAGE},
        cross_attention=LANGUAGE_DECODER,
    ),
    "perceiver_io_language_small": _text(
        "MaskedLM", LANGUAGE_SMALL, cross_attention=SMALL_SPEC, query_residual=True
    ),
    "perceiver_io_text_classifier_small": _text(
        "TextClassifier",
        LANGUAGE_SMALL,
        num_classes=2,
        query_channels=128,
        cross_attention=SMALL_SPEC,
    ),
    # arXiv 2107.14795, table 6 (config A, 2-D Fourier features).
    "perceiver_io_imagenet_fourier": _classifier(
        IMAGENET, preprocessor=IMAGENET_PREPROCESSOR
    ),
    # The same table: learned positions, and a convolution before 2-D Fourier features.
    "perceiver_io_imagenet_learned": _classifier(
        {
            **IMAGENET,
            "stem": {
                "class_name": "StemSpec",
                "config": {"kind": "pointwise", "channels": 256},
            },
            "positions": {"class_name": "LearnedPositionSpec", "config": {}},
        },
        preprocessor=IMAGENET_PREPROCESSOR,
    ),
    "perceiver_io_imagenet_conv": _classifier(
        {
            **IMAGENET,
            "max_resolution": (56, 56),
            "stem": {"class_name": "StemSpec", "config": {}},
        },
        preprocessor=IMAGENET_PREPROCESSOR,
    ),
    # arXiv 2107.14795, appendix H (patches of 3 x 3, frames concatenated).
    "perceiver_io_optical_flow": {
        "class_name": "OpticalFlow",
        "config": {
            "encoder": {
                "class_name": "OpticalFlowEncoder",
                "config": {
                    "num_latents": 2048,
                    "latent_channels": 512,
                    "self_attention": _spec(num_heads=16),
                    "layers_per_block": 24,
                },
            },
        },
    },
    # arXiv 2107.14795, section 4.3 and appendix G: Kinetics-700-2020, 52,097 inputs.
    "perceiver_io_multimodal": _form(
        "MultimodalAutoencoder",
        encoder=_form(
            "MultimodalEncoder",
            modalities={
                "audio": _form("AudioModality", samples=30720),
                "image": _form("VideoModality", frames=16, height=224, width=224),
                "label": _form("LabelModality", num_classes=700),
            },
            num_latents=784,
            latent_channels=512,
            layers_per_block=8,
        ),
        endpoint=False,
    ),
    # krasserm/perceiver-io, MNIST training example of version 0.11.
    "perceiver_io_mnist": _classifier(
        {
            **MNIST,
            "num_cross_attentions": 2,
            "cross_attention": _spec(num_heads=1, dropout=0.1),
            "self_attention": _spec(dropout=0.1),
        },
        num_classes=10,
        cross_attention=_spec(num_heads=1, dropout=0.1),
        init_scale=0.1,
    ),
    # The same of version 0.4: one cross-attention, no dropout.
    "perceiver_io_mnist_small": _classifier(MNIST, num_classes=10, init_scale=0.1),
    # arXiv 2103.03206, table 6: 8 cross-attentions, interleaved.
    "perceiver_imagenet": _classifier(
        {**IMAGENET, "num_cross_attentions": 8},
        head="average",
        preprocessor=IMAGENET_PREPROCESSOR,
    ),
    # The same table: 1 cross-attention.
    "perceiver_imagenet_single_cross": _classifier(
        IMAGENET, head="average", preprocessor=IMAGENET_PREPROCESSOR
    ),
    # krasserm/perceiver-io, text example on WikiText-103: bytes.
    "perceiver_ar_bytes_small": _ar("CausalLM"),
    # The same, on C4: SentencePiece tokens (XLNet's), without learned positions.
    "perceiver_ar_base": _ar(
        "CausalLM",
        _spec(num_heads=10, widening_factor=4, heads_at_once=2),
        vocab_size=32000,
        max_length=1024,
        channels=1280,
        num_layers=20,
        learned_positions=False,
        output_norm=True,
        output_bias=False,
        prefix_dropout=0.0,
    ),
    # The same, symbolic audio on MAESTRO; dropout of weights, residuals and prefix.
    "perceiver_ar_maestro": _ar(
        "SymbolicAudioLM", MIDI_SPEC, max_latents=1024, prefix_dropout=0.1
    ),
    # And on GiantMIDI-Piano.
    "perceiver_ar_giantmidi": _ar(
        "SymbolicAudioLM",
        MIDI_SPEC,
        max_length=6144,
        channels=768,
        max_latents=2048,
        num_layers=18,
        prefix_dropout=0.1,
    ),
}
