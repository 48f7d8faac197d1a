"""Your own nets in calco's mathematics, and your own loop: a model is a plain torch module."""

import torch
from torch import nn

from calco.contract import Batch
from calco.maths.likelihoods import Bernoulli
from calco.models.vae import VAEModel
from calco.nets.priors import NormalPrior

torch.manual_seed(0)
x = torch.bernoulli(torch.full((256, 12), 0.3))
x[:, 6:] = x[:, :6]  # the second half repeats the first

encoder = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, 2 * 4))
decoder = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 12))
model = VAEModel(encoder, decoder, NormalPrior(), Bernoulli((12,)), latent=4, samples=200)

optimizer = torch.optim.Adam(model.parameters(), 1e-2)
for _ in range(300):
    for turn in model.turns(Batch(x)):
        optimizer.zero_grad()
        turn.loss.backward()
        optimizer.step()

with torch.no_grad():
    nats = model.eval().log_prob(x).value.mean().item()
entropy = 12 * 0.611  # nats, if all twelve values were independent
print(f"{nats:.2f} nats per example; twelve independent values would give {-entropy:.2f}")
