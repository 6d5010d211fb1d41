"""`fit ... --smoke`: a command tried out in a minute, on data that are there."""

import json

from keras_perceiver.cli.models import chosen_value

FLAG = "--smoke"
HELP = (
    f"{FLAG} as well: try the command out in a minute. The same options, but for a tiny "
    "model, two steps, and data that are there without a download; written to OUTPUT-smoke."
)
# What is small, whatever the task is.
TRAINING = {
    "overwrite": True,
    "epochs": 1,
    "steps_per_epoch": 2,
    "batch_size": 4,
    "trainer.max_steps": None,
    "trainer.limit_val_batches": 1,
    "lr_schedule": "constant",
    "lr_schedule.warmup_steps": 0,
    "model.preset": None,
    "model.load_weights": False,
}
# What is small of every encoder.
ENCODER = {
    "num_latents": 8,
    "latent_channels": 32,
    "num_blocks": 1,
    "num_cross_attentions": 1,
    "layers_per_block": 1,
    "cross_attention.qk_channels": 32,
    "cross_attention.v_channels": 32,
    "self_attention.qk_channels": 32,
    "self_attention.v_channels": 32,
}


def smoke(task, argv, default_output):
    """Arguments of `fit` with what makes a run tiny; those without `--smoke` as they are.

    Args:
        task: of `fit`.
        argv: its arguments.
        default_output: folder of a run whose options name none.
    """
    if FLAG not in argv:
        return argv
    argv = [argument for argument in argv if argument != FLAG]
    output = f"{chosen_value(argv, 'output') or default_output}-smoke"
    options = {**TRAINING, **task.smoke(output), "output": output}
    values = (
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in options.items()
    )
    return [*argv, *(f"--{name}={value}" for name, value in values)]
