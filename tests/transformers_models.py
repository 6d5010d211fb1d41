"""Random models of transformers."""


def random_model(architecture, config, std=0.3):
    """A model of the class of a name, in evaluation mode.

    Args:
        architecture: name of the class.
        config: of it, a dict.
        std: of all parameters, norms and biases too.
    """
    import torch
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, architecture)(transformers.PerceiverConfig(**config))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return model.eval()
