"""Decisions, held: import order, lean imports, file sizes, no global side effects."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_perceiver

ROOT = Path(keras_perceiver.__file__).parent
# Imports run one way only: a package may import those before it.
ORDER = [
    "ops",
    "layers",
    "generation",
    "preprocessing",
    "models",
    "converters",
    "presets",
    "data",
    "training",
    "export",
    "visualization",
    "cli",
]
MAX_LINES = 300  # a file is read in one sitting
MAX_ARGUMENTS = 12

pytestmark = pytest.mark.one_backend


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_run_one_way():
    for path in ROOT.rglob("*.py"):
        package = path.relative_to(ROOT).parts[0]
        if package not in ORDER:
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "keras_perceiver" and len(parts) > 1 and parts[1] in ORDER:
                allowed = ORDER[: ORDER.index(package) + 1]
                assert parts[1] in allowed, f"{path} imports {name}"


def test_preprocessing_needs_no_keras():
    for path in (ROOT / "preprocessing").glob("*.py"):
        assert not any(n.split(".")[0] == "keras" for n in imports(path)), path


def test_every_package_is_ordered():
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert packages <= set(ORDER)


def test_files_are_short():
    sizes = {
        p.relative_to(ROOT): len(p.read_text().splitlines()) for p in ROOT.rglob("*.py")
    }
    assert {p: n for p, n in sizes.items() if n > MAX_LINES} == {}


def test_constructors_are_short():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
                assert len(names) - 1 <= MAX_ARGUMENTS, f"{path}: {names}"


def run(program, backend, **env):
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": backend, **env},
        capture_output=True,
        text=True,
    )


LEAN = """
import random, sys, time
import numpy as np
import keras
np.random.seed(0); random.seed(0)
state, py_state = np.random.get_state()[1].copy(), random.getstate()
before = set(sys.modules)
policy, floatx = keras.config.dtype_policy().name, keras.config.floatx()
start = time.perf_counter()
import keras_perceiver as kp
kp.layers, kp.models, kp.presets, kp.training, kp.export
assert (np.random.get_state()[1] == state).all() and random.getstate() == py_state
assert keras.config.dtype_policy().name == policy and keras.config.floatx() == floatx
heavy = {"tensorflow", "torch", "jax", "transformers", "keras_hub", "sklearn",
         "matplotlib", "PIL", "grain", "jsonargparse", "tensorflow_datasets",
         "sentencepiece", "tokenizers", "tensorboard", "pretty_midi", "mido", "av"}
added = heavy & {m.split(".")[0] for m in set(sys.modules) - before}
print(sorted(added))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_import_loads_the_active_backend_only(backend):
    """E3, E4: and no optional package; no global state changes."""
    result = run(LEAN, backend)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip() == "[]"
    forbidden = {"jax": ("tensorflow", "torch"), "torch": ("tensorflow",)}[backend]
    check = f"""
import sys, keras_perceiver as kp
kp.models
print([m for m in {forbidden!r} if m in sys.modules])
"""
    result = run(check, backend)
    assert result.stdout.strip() == "[]", result.stderr[-2000:]


def test_the_import_test_can_fail():
    result = run(LEAN.replace("start =", "import jsonargparse; start ="), "torch")
    assert result.stdout.strip() == "['jsonargparse']"


WITHOUT = """
import importlib.machinery, socket, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            return importlib.machinery.ModuleSpec(name, self)
    def exec_module(self, module):
        pass
    def create_module(self, spec):
        raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name)
sys.meta_path.insert(0, Refuse())
def refuse(*args, **kwargs):
    raise OSError("no network in this test")
socket.socket.connect = refuse
import numpy as np
import keras_perceiver as kp
model = kp.presets.load("digits")
print(model.classify(np.zeros((8, 8), "uint8"))[0][0]["label"] in "0123456789")
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_works_without_optional_packages_and_network(backend):
    """E3: numpy, Keras and one backend are enough to load and classify."""
    absent = [
        "matplotlib",
        "sklearn",
        "grain",
        "jsonargparse",
        "transformers",
        "tensorflow",
        "PIL",
    ]
    result = run(WITHOUT % (absent,), backend)
    assert result.stdout.strip() == "True", result.stderr[-2000:]


NO_RETRACE = """
import keras, numpy as np
import keras_perceiver as kp
encoder = kp.models.ImageEncoder((6, 5, 1), num_bands=3, num_latents=4, latent_channels=8,
                                 layers_per_block=1)
images = kp.models.ImageClassifier(encoder, 3)
text = kp.models.MaskedLM(kp.models.TextEncoder(
    max_length=12, input_channels=8, num_latents=4, latent_channels=8, layers_per_block=1))
causal = kp.models.CausalLM(
    vocab_size=262, max_length=12, channels=16, max_latents=4, num_layers=1,
    attention=kp.layers.AttentionSpec(num_heads=2))
tokens = {"token_ids": np.full((8, 12), 9, "int32"),
          "padding_mask": np.ones((8, 12), "int32")}
for model, x, y in ((images, np.zeros((8, 6, 5, 1), "float32"), np.zeros(8, "int32")),
                    (text, tokens, np.zeros((8, 12), "int32")),
                    (causal, tokens, np.zeros((8, 4), "int32"))):
    traces = []
    call = model.call
    def counting(*args, call=call, traces=traces, **kwargs):
        traces.append(1)
        return call(*args, **kwargs)
    model.call = counting
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    for run in (model.train_on_batch, model.test_on_batch):
        run(x, y)
        first = len(traces)
        for _ in range(3):
            run(x, y)
        print(first > 0, len(traces) - first)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_no_retrace_for_the_same_shape(backend):
    """E2: a second batch of the same shape compiles nothing."""
    result = run(NO_RETRACE, backend)
    assert result.stdout.split("\n") == ["True 0"] * 6 + [""], result.stderr[-1500:]


def test_no_retrace_under_torch_compile():
    """E2, with dynamo's own counter in the place of a compiler."""
    program = """
import torch, torch._dynamo.testing
import keras_perceiver as kp
spec = kp.layers.AttentionSpec(num_heads=2)
layer = kp.layers.LatentCrossAttention(spec)
layer(torch.zeros(2, 3, 8), torch.zeros(2, 9, 4))
counter = torch._dynamo.testing.CompileCounter()
compiled = torch.compile(layer, backend=counter)
with torch.no_grad():
    compiled(torch.zeros(2, 3, 8), torch.zeros(2, 9, 4))
    first = counter.frame_count
    for _ in range(3):
        compiled(torch.ones(2, 3, 8), torch.ones(2, 9, 4))
print(first > 0, counter.frame_count - first)
"""
    result = run(program, "torch")
    assert result.stdout.strip() == "True 0", result.stderr[-1500:]
