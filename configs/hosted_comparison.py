"""The published study's four rows: two providers' fine-tuning, and LoRA and projection of Llama-2-7B-chat.

    JAXFT_TEST_DATA=path/to/data jaxft compare configs/hosted_comparison.py --dry-run      # files, counts, cost
    LLAMA2_7B=... JAXFT_TEST_DATA=... OPENAI_API_KEY=... TOGETHER_API_KEY=... jaxft compare configs/hosted_comparison.py

All else is as in `configs/llama2_7b_hotel.py`, without the axis "choice": a provider's model gives replies, no
likelihoods. Prices are US dollars per million tokens; check them first. Each provider may cost 50 dollars at most, the
judge 100. Tested against a server that imitates both providers, not against them. Needs `pip install -e '.[hosted]'`.
"""

from dataclasses import replace

from experiments.config import Endpoint, Hosted
from experiments.config_loader import load_experiment

study = load_experiment("llama2_7b_hotel.py", beside=__file__)

experiment = replace(
    study,
    name="hosted_comparison",
    evaluation=replace(
        study.evaluation, axes={name: axis for name, axis in study.evaluation.axes.items() if name != "choice"}
    ),
    methods={
        "openai": Hosted(
            "openai",
            Endpoint("gpt-3.5-turbo", price_in=3.0, price_out=6.0),
            learning_rates=(2.0,),
            price_training=8.0,
            max_cost=50.0,
        ),
        "together": Hosted(
            "together",
            Endpoint(
                "meta-llama/Llama-2-7b-chat-hf",
                "https://api.together.xyz/v1",
                "TOGETHER_API_KEY",
                price_in=0.2,
                price_out=0.2,
            ),
            learning_rates=(1e-5,),
            price_training=0.48,
            max_cost=50.0,
        ),
        "lora": study.methods["lora"],
        "projection": study.methods["projection"],
    },
)
