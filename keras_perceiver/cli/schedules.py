"""Learning-rate schedules as the command line names them."""

from keras_perceiver import training
from keras_perceiver.cli.options import option_class, values


class Schedule:
    """How the learning rate changes in training."""

    def __call__(self, learning_rate, total_steps):
        """The schedule of Keras."""
        return FUNCTIONS[type(self).__name__](learning_rate, total_steps, **values(self))


FUNCTIONS = {"cosine": training.warmup_cosine, "constant": training.warmup_constant}


def _option(name):
    skip = ("learning_rate", "total_steps")
    return option_class(name, FUNCTIONS[name], skip=skip, base=Schedule, module=__name__)


cosine, constant = map(_option, FUNCTIONS)
