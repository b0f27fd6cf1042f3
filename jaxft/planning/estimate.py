"""A memory model of the training step, for devices that are not attached and that no installed compiler knows."""

import math

import jax
import jax.numpy as jnp

from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Compute
from jaxft.methods.base import REFERENCE, Method
from jaxft.planning.devices import Chip
from jaxft.planning.plan import Plan, roofline
from jaxft.planning.programs import abstract_base, step
from jaxft.sharding import Axes, Sharding, abstract_mesh
from jaxft.training.config import Training


def estimate_step(
    name: str,
    method: Method,
    model: LlamaConfig,
    training: Training,
    compute: Compute,
    sharding: Sharding,
    *,
    dtype: str,
    topology: str,
    chips: int,
    chip: Chip,
    rank: int,
) -> Plan:
    """The plan of a training step by formula: stored arrays exactly, and an estimate of the `temporaries`.

    Collectives are not counted: the roofline is that of computing and of reading memory alone.
    """
    mesh = abstract_mesh(sharding, chips)
    with jax.sharding.use_abstract_mesh(mesh):
        program = step(name, method, training, abstract_base(model, compute, dtype), rank, lower=False)
    passing = temporaries(method, model, training, compute, dict(mesh.shape), program.held["trained"])
    peak = sum(program.held.values()) + passing
    return Plan(
        topology=topology,
        chips=chips,
        **program.facts,
        remat=compute.remat,
        accumulation=training.accumulation,
        source="model",
        fits=peak <= chip.memory,
        peak=peak,
        limit=int(chip.memory),
        collectives={},
        largest_collective=0,
        roofline=roofline(program, chips, chip, moved=0),
        compile_seconds=0.0,
    )


def temporaries(
    method: Method,
    model: LlamaConfig,
    training: Training,
    compute: Compute,
    sizes: dict[str, int],
    trained: int,
) -> int:
    """Bytes of one chip for the temporary arrays of a step, with an error of at most a third against compilers.

    They are the gradients in float32 (twice if microbatches are summed), the values saved for the backward pass, one
    layer's gathered weights, and the larger of one block's intermediates and the logits with their gradient.
    sizes: devices along each mesh axis. trained: bytes of the trained weights on one chip.
    """
    layout, item = compute.layout, jnp.dtype(compute.dtype).itemsize

    def split(axes: Axes) -> int:
        return math.prod(sizes[axis] for axis in axes)

    rows = training.batch_rows // training.accumulation / split(layout.batch)
    rows *= 2 if REFERENCE in method.reads else 1
    tokens, parts = rows * training.row_length, split(layout.tensor)
    shapes = model.linear_shapes
    outputs = sum(n for _, n in shapes.values()) / parts
    scores = 0.0
    if compute.attention == "reference":  # in float32, and their softmax in the compute dtype
        scores = rows * model.num_heads / parts * training.row_length**2 * (4 + item)
    # Norms, rotated queries and keys, attended values, gated features.
    block = tokens * item * (outputs + 5 * model.hidden_size + model.intermediate_size / parts) + scores
    saved = tokens * item * model.hidden_size  # a block's input
    if compute.remat == "nothing":
        saved = block
    elif compute.remat == "dots" and not sizes:  # on a mesh the policy does not see inside the gathered products
        saved += tokens * item * outputs
    part = tokens if not training.loss_chunk else rows * min(training.loss_chunk, training.row_length)
    logits = 3 * 4 * part * model.vocab_size / parts  # logits, probabilities, gradient
    gathered = sum(math.prod(shape) for shape in shapes.values()) / parts * item if layout.hidden else 0
    gradients = trained * 4 // jnp.dtype(training.weights_dtype).itemsize * (2 if training.accumulation > 1 else 1)
    # In the backward pass, the gradients of the scores or of the MLP's features add to a block's intermediates.
    mlp = 3 * tokens * item * model.intermediate_size / parts
    return int(gradients + model.num_layers * saved + gathered + max(block + max(scores, mlp), logits))
