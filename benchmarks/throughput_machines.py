"""Training speed of Boltzmann machines beside scikit-learn, and of adversarial networks beside a bare PyTorch loop.

    python -m benchmarks.throughput_machines

As in `benchmarks.throughput`: the two sides take turns, a block of steps each, in one process; the figure is the median over
blocks of the ratio of their speeds, pair by pair.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from torch.nn import functional as F

from benchmarks.record import commit, save
from benchmarks.throughput import SHAPE, calco_block, data, paired
from calco.models.adversarial.gan import GANModel
from calco.models.boltzmann.machine import BoltzmannModel
from calco.nets.adversarial import make_adversarial_nets

HIDDEN, BATCH, LATENT, EVERY = 500, 100, 64, 4


def scikit_learn(x: np.ndarray) -> Callable[[int], float]:
    """Blocks of epochs of scikit-learn's machine over 2,000 examples: persistent chains, as many as a batch has examples."""
    machine = BernoulliRBM(HIDDEN, batch_size=BATCH, learning_rate=0.05, n_iter=1, random_state=0)

    def block(steps: int) -> float:
        machine.n_iter = steps * BATCH // len(x)
        began = time.perf_counter()
        machine.fit(x)
        return steps / (time.perf_counter() - began)

    return block


def against_scikit_learn() -> list[dict[str, Any]]:
    """784 visible and 500 hidden units, batch 100, one Gibbs sweep a step, calco in its default precision."""
    x, figures = data(2000), []
    for dtype, least, most in ((np.float64, 3.0, 8.0), (np.float32, 2.0, 4.0)):
        model = BoltzmannModel(SHAPE, (HIDDEN,), chains=BATCH)
        settings = {"batch_size": BATCH, "optimizer": "sgd", "momentum": 0.0, "lr": 0.05}
        measured = paired(calco_block(model, x, **settings), scikit_learn(x.flatten(1).numpy().astype(dtype)), 200, 7)
        what = (
            f"RBM training steps per second, 784 x 500, batch 100: calco over scikit-learn's BernoulliRBM on {dtype.__name__}"
        )
        figures.append({"what": what, "unit": "ratio", "better": "higher", "at_least": least, "reach_for": most, **measured})
    return figures


def make_gan() -> GANModel:
    """Nets and game as by default but for a width of 48."""
    torch.manual_seed(0)
    nets = make_adversarial_nets(
        SHAPE, LATENT, net="conv", width=48, depth=1, activation="leaky_relu", spectral=False, bias=False
    )
    return GANModel(*nets, SHAPE, LATENT, bounded=True, penalty_every=EVERY)


def bare_gan(model: GANModel, x: torch.Tensor) -> Callable[[int], float]:
    """Blocks of steps of a plain loop with the same nets, losses and penalties."""
    generator, discriminator = model.generator, model.discriminator
    optimizers = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.0, 0.99)) for net in (discriminator, generator)]

    def step(index: int, real: torch.Tensor) -> None:
        real = 2 * real - 1
        with torch.no_grad():
            fake = generator(torch.randn(len(real), LATENT))
        both = torch.cat((real, fake)).requires_grad_(index % EVERY == 0)
        on_real, on_fake = (outputs := discriminator(both)).chunk(2)
        loss = F.softplus(on_fake - on_real).mean()
        if both.requires_grad:
            (slopes,) = torch.autograd.grad(outputs.sum(), both, create_graph=True)
            loss = loss + EVERY * slopes.square().flatten(1).sum(1).mean()  # 1/2 at real and as much at generated examples
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        discriminator.requires_grad_(False)
        with torch.no_grad():
            on_real = discriminator(real)
        loss = F.softplus(on_real - discriminator(generator(torch.randn(len(real), LATENT)))).mean()
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        discriminator.requires_grad_(True)

    def block(steps: int) -> float:
        began = time.perf_counter()
        for index in range(steps):
            step(index, x[torch.randint(len(x), (128,))])
        return steps / (time.perf_counter() - began)

    return block


def against_bare_loop() -> list[dict[str, Any]]:
    """The same nets and losses, batch 128; in float32, and calco in its default precision against float32."""
    x, figures = data(2560), []
    settings = {"optimizer": "adam", "momentum": 0.0, "beta2": 0.99}
    for precision, least, most in (("fp32", 0.95, 1.0), ("auto", 0.95, 2.0)):
        measured = paired(calco_block(make_gan(), x, precision=precision, **settings), bare_gan(make_gan(), x), 20, 5)
        name = "float32" if precision == "fp32" else "its default precision"
        what = f"GAN training steps per second, batch 128: calco in {name} over a bare PyTorch loop in float32"
        figures.append({"what": what, "unit": "ratio", "better": "higher", "at_least": least, "reach_for": most, **measured})
    return figures


if __name__ == "__main__":
    at = commit()
    save("throughput_machines", against_scikit_learn() + against_bare_loop(), at)
