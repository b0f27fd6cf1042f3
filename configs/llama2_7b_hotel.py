"""Llama-2-7B-chat learns hotel booking on a TPU slice or several GPUs; plan it before paying for it:

    jaxft plan configs/llama2_7b_hotel.py --topology v5e:4x4
    LLAMA2_7B=path/to/Llama-2-7b-chat-hf jaxft compare configs/llama2_7b_hotel.py

One row of 4,096 tokens a chip on 16 chips; set --training.batch_rows to a multiple of another slice's chips. Weights
and activations are bfloat16, changes of weights and Adam's moments float32, spread over all chips. Gradients are kept
out of the strongest tenth of the protected directions, updates out of all: half the cost of projecting both. Planned,
compiled and trained at toy size; not yet run at 7 B.
"""

from jaxft.config import (
    Axis,
    Evaluation,
    Experiment,
    Full,
    GradientProjection,
    Lora,
    Model,
    Reference,
    Sharding,
    Source,
    Training,
)

experiment = Experiment(
    name="llama2_7b_hotel",
    model=Model(
        folder="$LLAMA2_7B",
        shape="llama2_7b",
        template="llama2",
        param_dtype="bfloat16",
        compute_dtype="bfloat16",
        remat="full",
        sharding=Sharding("fsdp"),
    ),
    domain=(Source("hotel"),),
    reference=Reference(
        sources=(Source("knowledge"), Source("safety"), Source("general", limit=2000)), length=1024, batch_rows=16
    ),
    training=Training(steps=300, batch_rows=16, row_length=4096),
    evaluation=Evaluation(
        axes={
            "proficiency": Axis.embedded("hotel"),
            "safety": Axis.embedded("safety"),
            "knowledge": Axis.embedded("knowledge"),
        },
        target=0.97,
    ),
    methods={
        "full": Full(learning_rates=(1e-5,)),
        "lora": Lora(learning_rates=(2e-4,)),
        "projection": GradientProjection(learning_rates=(1e-5,), energy=0.95, gradients=0.1),
    },
)
