"""What computes."""

import keras


def on_accelerator():
    """Whether there is a GPU or TPU, which computes unless told otherwise."""
    if keras.backend.backend() == "jax":
        return _jax_device().platform != "cpu"
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return any(tf.config.list_physical_devices(kind) for kind in ("GPU", "TPU"))


def has_flash_attention():
    """Whether JAX computes on a GPU that cuDNN has flash attention for: Ampere on."""
    device = _jax_device()
    # Of AMD's GPUs it is a name, as "gfx90a".
    capability = str(getattr(device, "compute_capability", ""))
    return device.platform == "gpu" and capability[:1].isdigit() and float(capability) >= 8


def _jax_device():
    """The device that was asked for, or else the first."""
    import jax

    chosen = jax.config.jax_default_device
    if isinstance(chosen, jax.Device):
        return chosen
    return jax.local_devices(backend=chosen)[0]
