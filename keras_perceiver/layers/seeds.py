"""Seeds for dropout, drawn where recomputation cannot draw them again."""

import keras


class DropoutSeeds:
    """Mixin for a layer that owns dropout: one generator, seeds on demand.

    Call `_make_seeds(*rates)` in the constructor. `draw_seeds` gives one seed per
    rate, None where nothing is to be dropped. A layer that recomputes activations
    draws the seeds of its parts first, and hands them in.
    """

    def _make_seeds(self, *rates):
        self._dropout_rates = rates
        self._seed_generator = keras.random.SeedGenerator() if any(rates) else None

    def draw_seeds(self, training):
        """One seed tensor per dropout rate, None outside training or at rate 0."""
        return [
            self._seed_generator.next() if training and rate else None
            for rate in self._dropout_rates
        ]
