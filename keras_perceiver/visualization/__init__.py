"""Pictures of what a model does, drawn without a display."""

from keras_perceiver.visualization.attention import attention_maps, plot_attention_maps
from keras_perceiver.visualization.curves import plot_learning_curve, read_history
from keras_perceiver.visualization.flow import flow_image, plot_flow, write_flow_video
from keras_perceiver.visualization.piano_roll import plot_piano_roll

__all__ = [
    "attention_maps",
    "flow_image",
    "plot_attention_maps",
    "plot_flow",
    "plot_learning_curve",
    "plot_piano_roll",
    "read_history",
    "write_flow_video",
]
