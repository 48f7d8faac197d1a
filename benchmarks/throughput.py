"""Speed: training and encoding against bare PyTorch loops of the same nets, and training against pythae.

    python -m benchmarks.throughput                          # against bare loops
    python -m benchmarks.throughput --pythae PYTHON          # against pythae, in the environment of that interpreter

The two sides take turns, a block of steps each, in one process (pythae: in processes of its own, also taking turns); the
figure is the median over blocks of the ratio of their speeds, pair by pair.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import calco
from benchmarks.record import commit, save
from calco.contract import Model
from calco.data import ArraySource, infer_schema
from calco.maths.divergences import normal_kl
from calco.maths.likelihoods import Bernoulli
from calco.models.vae import VAEModel
from calco.nets.pairs import make_autoencoder_nets
from calco.nets.priors import NormalPrior
from calco.training import Training, train

BATCH, LATENT = 128, 16
SHAPE = (1, 28, 28)


def data(n: int = 6000) -> torch.Tensor:
    """Random black and white images: the contents do not matter for speed."""
    return torch.bernoulli(torch.full((n, *SHAPE), 0.3))


def make_model(net: str, width: int, depth: int = 2) -> VAEModel:
    """A VAE with calco's own nets."""
    torch.manual_seed(0)
    encoder, decoder = make_autoencoder_nets(
        SHAPE, SHAPE, code_out=2 * LATENT, code_in=LATENT, net=net, width=width, depth=depth
    )
    return VAEModel(encoder, decoder, NormalPrior(), Bernoulli(SHAPE), LATENT)


def bare_block(model: VAEModel, x: torch.Tensor) -> Callable[[int], float]:
    """Blocks of steps of a plain loop over slices of a tensor: no calco but the nets."""
    encoder, decoder = model.encoder, model.decoder
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)

    def block(steps: int) -> float:
        began = time.perf_counter()
        done = 0
        while done < steps:
            order = torch.randperm(len(x))
            for start in range(0, len(x) - BATCH + 1, BATCH):
                batch = x[order[start : start + BATCH]]
                mean, log_var = encoder(batch).chunk(2, 1)
                z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
                logits = decoder(z)
                error = nn.functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum") / BATCH
                loss = error + normal_kl(mean, log_var).sum(1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                done += 1
                if done == steps:
                    break
        return steps / (time.perf_counter() - began)

    return block


def calco_block(model: Model, x: torch.Tensor, **settings: Any) -> Callable[[int], float]:
    """Blocks of steps of calco's loop, its start not counted."""
    source = ArraySource(x[:, 0].numpy().astype("uint8"))
    schema = infer_schema(source)

    def block(steps: int) -> float:
        times: dict[int, float] = {}
        training = Training(
            **{"steps": 2 * steps, "batch_size": BATCH, "lr_warmup": 0, "optimizer": "adam", "log_every": steps, **settings}
        )
        train(model, source, schema, training, report=lambda line: times.update({line["step"]: time.perf_counter()}))
        return steps / (times[2 * steps] - times[steps])

    return block


def paired(one: Callable[[int], float], two: Callable[[int], float], steps: int, rounds: int) -> dict[str, Any]:
    """Speeds in turn, and the ratio pair by pair; the first pair only warms up."""
    pairs = [(one(steps), two(steps)) for _ in range(rounds + 1)][1:]
    ratios = [a / b for a, b in pairs]
    return {
        "value": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "ours_per_second": statistics.median(a for a, _ in pairs),
        "theirs_per_second": statistics.median(b for _, b in pairs),
        "pairs": rounds,
    }


def against_bare_loops() -> list[dict[str, Any]]:
    """Training with MLP and conv nets in float32, and encoding."""
    x, figures = data(), []
    for net, width, steps in (("mlp", 512, 150), ("conv", 16, 40)):
        ours = calco_block(make_model(net, width), x, precision="fp32")
        measured = paired(ours, bare_block(make_model(net, width), x), steps, 7)
        what = f"training steps per second, {net} nets, batch 128, float32: calco over a bare PyTorch loop"
        figures.append({"what": what, "unit": "ratio", "better": "higher", "at_least": 0.95, "reach_for": 1.0, **measured})
    return [*figures, encoding(x)]


def encoding(x: torch.Tensor) -> dict[str, Any]:
    """`encode` against the forward pass in a loop of the same batches."""
    raw = x[:, 0].numpy().astype("uint8")
    vae = calco.VAE(latent=LATENT, training={"steps": 1}).fit(raw)
    encoder: Any = vae.model_.encoder  # type: ignore[union-attr]

    def ours(_: int) -> float:
        began = time.perf_counter()
        vae.encode(raw)
        return len(raw) / (time.perf_counter() - began)

    def bare(_: int) -> float:
        began = time.perf_counter()
        with torch.inference_mode():
            for part in x.split(500):
                encoder(part)
        return len(raw) / (time.perf_counter() - began)

    what = "examples encoded per second, conv nets: calco's encode over the raw forward pass"
    return {"what": what, "unit": "ratio", "better": "higher", "at_least": 0.9, "reach_for": 1.0, **paired(ours, bare, 0, 9)}


# The same nets as `make_model("conv", WIDTH)`, handed to pythae; it trains as its users train it.
PYTHAE = """
import sys, time, tempfile, torch
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
from benchmarks.throughput import BATCH, LATENT, SHAPE, data, make_model
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.data.datasets import BaseDataset

ours, x = make_model("conv", int(sys.argv[3])), data(2560)

class Encoder(BaseEncoder):
    def __init__(self):
        super().__init__(); self.net = ours.encoder
    def forward(self, x):
        mean, log_var = self.net(x).chunk(2, 1)
        return ModelOutput(embedding=mean, log_covariance=log_var)

class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__(); self.net = ours.decoder
    def forward(self, z):
        return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

config = VAEConfig(input_dim=SHAPE, latent_dim=LATENT, reconstruction_loss="bce")
model = VAE(config, encoder=Encoder(), decoder=Decoder())
settings = BaseTrainerConfig(output_dir=tempfile.mkdtemp(), num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=BATCH)
trainer = BaseTrainer(model, BaseDataset(x, torch.zeros(len(x))), training_config=settings)
trainer.prepare_training()
trainer.train_step(1)
began = time.perf_counter(); trainer.train_step(2)
print("SPEED", len(x) / BATCH / (time.perf_counter() - began))
"""


def against_pythae(python: str, width: int) -> dict[str, Any]:
    """Training with calco's conv nets: calco in its default precision against pythae."""
    x, root = data(2560), Path(__file__).parent.parent
    ours = calco_block(make_model("conv", width), x)

    def theirs(_: int) -> float:
        command = [python, "-W", "ignore", "-c", PYTHAE, str(root), str(torch.get_num_threads()), str(width)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(root))
        return float(next(line for line in done.stdout.splitlines() if line.startswith("SPEED")).split()[1])

    nets = f"conv nets of width {width}, batch 128"
    what = f"training steps per second, {nets}: calco in its default precision over pythae 0.1.2"
    measured = paired(ours, theirs, 20, 6)  # either side: 20 steps to warm up, 20 steps timed
    return {"what": what, "unit": "ratio", "better": "higher", "at_least": 1.8, "reach_for": 3.0, **measured}


def environment(root: Path) -> dict[str, str]:
    """This process's environment, calco's sources on the path."""
    return {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}


if __name__ == "__main__":
    at = commit()
    if "--pythae" in sys.argv:
        save("throughput_pythae", [against_pythae(sys.argv[-1], width) for width in (32, 64)], at)
    else:
        save("throughput", against_bare_loops(), at)
