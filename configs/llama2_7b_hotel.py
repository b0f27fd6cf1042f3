"""The published study: Llama-2-7B-chat learns hotel booking. Plan it before paying for it, on a TPU slice or GPUs:

    jaxft plan configs/llama2_7b_hotel.py --topology v5e:4x4
    JAXFT_TEST_DATA=path/to/data jaxft data configs/llama2_7b_hotel.py
    LLAMA2_7B=path/to/Llama-2-7b-chat-hf JAXFT_TEST_DATA=... OPENAI_API_KEY=... \
        jaxft compare configs/llama2_7b_hotel.py --dry-run      # without --dry-run it runs, and pays

Domain: the agent's steps in the hotel dialogues of STAR and Schema-Guided Dialogue. Reference: web text (C4), chat
(Dolly) and safe answers to hostile statements. GPT-4o judges, for at most 100 dollars; `--judge.kind rules` costs
nothing and judges worse (`jaxft judge-check`). One row of 4,096 tokens a chip on 16 chips; on another slice, set
--training.batch_rows to a multiple of its chips. Weights, activations and the bases of a step's projections are
bfloat16, changes of weights and Adam's moments float32, all spread over the chips. Gradients are kept out of the
strongest tenth of the protected directions, updates out of all; K-FAC EWC's moments are 64 directions and a diagonal.
With 512 protected directions this adds 2.6 % of a step's operations at 16,384 tokens, and 1 GiB in all, spread over the
chips. Planned, compiled and trained at toy size; not yet run at 7 B.
"""

from experiments.config import (
    Axis,
    Endpoint,
    Evaluation,
    Experiment,
    Judge,
    Model,
    Reference,
    Sharding,
    Source,
    Training,
)
from jaxft.methods import Full, GradientProjection, Lora


def axis(task: str, source: str) -> Axis:
    return Axis(task, Source(source, "test", 300), Source(source, "validation", 100))


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
    domain=(Source("star_steps"), Source("sgd_steps")),
    reference=Reference(
        sources=(Source("$JAXFT_TEST_DATA/c4_demo.jsonl.gz"), Source("dolly"), Source("safety", limit=1000)),
        length=1024,
        batch_rows=16,
    ),
    training=Training(steps=300, batch_rows=16, row_length=4096),
    evaluation=Evaluation(
        axes={
            "proficiency": axis("judged_proficiency", "star_steps"),
            "choice": axis("choice", "star_choices"),
            "safety": axis("judged_safety", "toxigen_annotated"),
            "knowledge": axis("judged_knowledge", "dolly"),
        },
        target=0.8,
        max_new_tokens=128,
        row_length=1024,
    ),
    judge=Judge("openai", endpoint=Endpoint("gpt-4o", price_in=2.5, price_out=10.0), max_cost=100.0),
    methods={
        "full": Full(learning_rates=(1e-5,)),
        "lora": Lora(learning_rates=(2e-4,)),
        "projection": GradientProjection(
            learning_rates=(1e-5,), energy=0.95, gradients=0.1, kfac_strength=10.0, kfac_outputs=True, kfac_rank=64
        ),
    },
)
