"""Learning-rate schedules."""

import keras


def warmup_constant(learning_rate: float, total_steps: int, warmup_steps: int = 0):
    """A linear rise from 0, then a constant learning rate.

    Args:
        learning_rate: after the rise.
        total_steps: steps of the whole training, warm-up included.
        warmup_steps: steps of the rise.

    Returns:
        A `keras.optimizers.schedules.CosineDecay` that does not decay.

    Raises:
        ValueError: a warm-up that is negative or not shorter than the training.

    Example:
    >>> schedule = warmup_constant(1e-3, total_steps=100, warmup_steps=10)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 100)]
    [0.0, 0.0005, 0.001, 0.001]
    """
    return warmup_cosine(learning_rate, total_steps, warmup_steps, final_fraction=1.0)


def warmup_cosine(
    learning_rate: float,
    total_steps: int,
    warmup_steps: int = 0,
    final_fraction: float = 0.0,
    constant_fraction: float = 0.0,
):
    """A linear rise from 0 or a time at the peak, then half a cosine down.

    Args:
        learning_rate: the peak.
        total_steps: steps of the whole training, warm-up included.
        warmup_steps: steps of the rise. The Perceiver IO paper found that its
            ImageNet models often fail to train with warm-up under LAMB; small
            models with AdamW profit from it.
        final_fraction: what is left at the end, as a fraction of the peak; 1 keeps
            the peak.
        constant_fraction: part of the training at the peak, in place of a warm-up. The
            Perceiver IO paper trained half of it so on ImageNet.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`, whose own `decay_steps` count
        from the end of the warm-up.

    Raises:
        ValueError: a warm-up that is negative or not shorter than the training, or a
            fraction out of [0, 1]; a warm-up and a constant part.

    Example:
    >>> schedule = warmup_cosine(1e-3, total_steps=100, warmup_steps=10)
    >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 55, 100)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"`warmup_steps` must lie between 0 and total_steps - 1 = {total_steps - 1}. "
            f"Received: warmup_steps={warmup_steps}"
        )
    for name, fraction in (
        ("final_fraction", final_fraction),
        ("constant_fraction", constant_fraction),
    ):
        if not 0 <= fraction <= 1:
            raise ValueError(f"`{name}` must lie in [0, 1]. Received: {name}={fraction}")
    if warmup_steps and constant_fraction:
        raise ValueError(
            "`warmup_steps` and `constant_fraction` exclude each other. Received: "
            f"{warmup_steps} and {constant_fraction}"
        )
    # A rise from the peak to the peak is a time at the peak.
    first_steps = warmup_steps or int(constant_fraction * total_steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, total_steps - first_steps),
        alpha=final_fraction,
        warmup_target=learning_rate if first_steps else None,
        warmup_steps=first_steps,
    )
