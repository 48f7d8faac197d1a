"""Variational autoencoders (Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014).

A code z is drawn from a prior p(z), an example from a likelihood p(x | z) whose parameters a decoder gives. An encoder
gives a diagonal Gaussian q(z | x). Training raises the evidence lower bound

    log p(x) >= E_q[log p(x | z)] - beta KL(q(z | x) || p(z))

or, with k importance samples, the tighter bound of Burda, Grosse and Salakhutdinov (2016)

    log p(x) >= E log (1/k) sum_i w_i,    w_i = p(x | z_i) p(z_i) / q(z_i | x).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, LogProb, Model, Turn, shared_by
from calco.data import Schema
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator, classes_for, likelihood_for
from calco.maths import noise
from calco.maths.completion import metropolis_within_gibbs
from calco.maths.divergences import importance_bound, importance_error, normal_kl, normal_log_prob
from calco.maths.likelihoods import Likelihood
from calco.nets.labels import with_label
from calco.nets.mixture import GaussianMixture
from calco.nets.pairs import make_autoencoder_nets
from calco.nets.priors import FlowPrior, NormalPrior, PosteriorMean, Prior, PseudoInputs, VampPrior, posterior
from calco.training import Training


class VAEModel(Model):
    """The mathematics of a variational autoencoder, for any nets.

    Args:
        encoder: (n, channels + classes, ...) to (n, 2 latent): mean and log variance.
        decoder: (n, latent + classes) to (n, *likelihood.params_shape).
        prior: `NormalPrior`, `FlowPrior` or `VampPrior`; the last needs `pseudo` inputs.
        latent: width of the code.
        beta: weight of the KL term (Higgins et al. 2017); the held-out bound always counts it once.
        warmup: share of the training in which the weight rises linearly from 0 to `beta`.
        free_bits: nats per code unit below which the KL term gives no gradient (Kingma et al. 2016).
        particles: importance samples of the training bound; 1 is the evidence lower bound.
        particles_from: share of the training after which more than one particle is used.
        classes: number of classes of a conditional model, 0 for none.
        samples: importance samples of `log_prob`.
        sweeps: of the chain by which unknown values are drawn.
        draw: `sample` draws from p(x | z) rather than giving its mean.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Prior,
        likelihood: Likelihood,
        latent: int,
        *,
        pseudo: nn.Module | None = None,
        beta: float = 1.0,
        warmup: float = 0.0,
        free_bits: float = 0.0,
        particles: int = 1,
        particles_from: float = 0.0,
        classes: int = 0,
        samples: int = 100,
        sweeps: int = 100,
        draw: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.prior, self.pseudo = encoder, decoder, prior, pseudo
        self.codes = GaussianMixture(latent)
        self.likelihood, self.latent, self.classes = likelihood, latent, classes
        self.continuous = likelihood.continuous
        self.beta, self.warmup, self.free_bits = beta, warmup, free_bits
        self.particles, self.particles_from, self.samples, self.sweeps = particles, particles_from, samples, sweeps
        self.draw = draw
        self.at_step(1, 1)

    def at_step(self, step: int, steps: int) -> None:
        """Set this step's KL weight and number of particles."""
        done = step / steps
        self._weight = self.beta * min(1.0, done / self.warmup) if self.warmup else self.beta
        self._k = self.particles if done >= self.particles_from else 1

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: minus the bound, in nats per example, as are the terms."""
        out = self.encoder(with_label(batch.x, batch.y, self.classes))
        mean, log_var = posterior(out)
        if self._k > 1:
            yield self._importance_turn(batch, mean, log_var)
        else:
            yield self._elbo_turn(batch, mean, log_var)

    def _elbo_turn(self, batch: Batch, mean: Tensor, log_var: Tensor) -> Turn:
        z = mean + torch.exp(0.5 * log_var) * noise.normal(mean)
        reconstruction = -self._log_likelihood(batch, z[:, None]).mean()
        units = self._divergences(z, mean, log_var)
        kl = units.sum()
        shared = shared_by(batch)
        whole = units if shared is None else shared
        paid = torch.where(whole > self.free_bits, units, self.free_bits).sum() if self.free_bits else kl
        terms = {"reconstruction": reconstruction, "kl": kl, "bound": reconstruction + kl}
        return Turn("model", reconstruction + self._weight * paid, terms)

    def _divergences(self, z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        """Of posterior and prior, for each unit of the code, the mean over the batch: (latent,)."""
        if isinstance(self.prior, NormalPrior):
            return normal_kl(mean, log_var).mean(0)  # known in closed form, unit by unit
        log_q = normal_log_prob(z, mean, log_var).sum(1)
        return ((log_q - self._log_prior(z)).mean()[None] / self.latent).expand(self.latent)

    def shared(self, batch: Batch) -> Tensor | None:
        """The divergences of the units, where some of each are free: that they exceed is a matter of the whole batch."""
        if not self.free_bits or self._k > 1:
            return None
        mean, log_var = posterior(self.encoder(with_label(batch.x, batch.y, self.classes)))
        z = mean + torch.exp(0.5 * log_var) * noise.normal(mean)
        return self._divergences(z, mean, log_var)

    def _importance_turn(self, batch: Batch, mean: Tensor, log_var: Tensor) -> Turn:
        # Doubly reparametrised gradients (Tucker et al. 2019): q's own parameters are held still inside log q, and the
        # path through z is weighted once more, which removes the part of the gradient that is noise alone.
        mean, log_var = mean[:, None], log_var[:, None]
        z = mean + torch.exp(0.5 * log_var) * noise.normal(mean.expand(-1, self._k, -1))
        log_w = self._log_weights(batch, z, mean.detach(), log_var.detach())
        share = torch.softmax(log_w.detach(), 1)
        if z.requires_grad:
            z.register_hook(lambda grad: grad * share[..., None])
        bound = -importance_bound(log_w.detach()).mean()
        return Turn("model", -(share * log_w).sum(1).mean(), {"bound": bound})

    def _log_weights(self, batch: Batch, z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
        """log p(x | z) + log p(z) - log q(z | x) for z of shape (n, k, latent): (n, k)."""
        log_q = normal_log_prob(z, mean, log_var).sum(-1)
        log_prior = self._log_prior(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return self._log_likelihood(batch, z) + log_prior - log_q

    def _log_likelihood(self, batch: Batch, z: Tensor) -> Tensor:
        """log p(x | z) for z of shape (n, k, latent): (n, k)."""
        n, k, _ = z.shape
        y = None if batch.y is None else batch.y.repeat_interleave(k)
        params = self.decoder(with_label(z.flatten(0, 1), y, self.classes))
        return self.likelihood.log_prob(params.unflatten(0, (n, k)), batch.x[:, None])

    def _components(self) -> Tensor | None:
        return None if self.pseudo is None else self.encoder(self.pseudo())

    def _log_prior(self, z: Tensor) -> Tensor:
        return self.prior(z, self._components())

    def held_out(self, batch: Batch) -> Tensor:
        """Minus the evidence lower bound (beta 1), nats per example, one sample."""
        mean, log_var = posterior(self.encoder(with_label(batch.x, batch.y, self.classes)))
        z = mean + torch.exp(0.5 * log_var) * noise.normal(mean)
        return -self._log_weights(batch, z[:, None], mean[:, None], log_var[:, None]).mean()

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Draws of the unknown values given the known ones: x and the mask `known`, both (n, ...), to (n, ...)."""
        start = self.prior.sample(noise.normal(x.new_empty(len(x), self.latent)), self._components())

        def propose(q: tuple[Tensor, Tensor]) -> Tensor:
            return q[0] + torch.exp(0.5 * q[1]) * noise.normal(q[0])

        def weight(x: Tensor, z: Tensor, q: tuple[Tensor, Tensor]) -> Tensor:
            return self._log_weights(Batch(x), z[:, None], q[0][:, None], q[1][:, None])[:, 0]

        def encoded(x: Tensor) -> tuple[Tensor, Tensor]:
            return posterior(self.encoder(with_label(x, None, self.classes)))

        def drawn(z: Tensor) -> Tensor:
            return self.likelihood.sample(self.decoder(z))

        return metropolis_within_gibbs(x, known, start, encoded, propose, weight, drawn, self.sweeps)

    adjustable = ("samples", "sweeps")

    @property
    def density(self) -> str:
        """What `log_prob` gives."""
        return f"importance-weighted lower bound with {self.samples:,} samples, nats per example"

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> LogProb:
        """A lower bound, in expectation, of log p(x) that tightens with `samples`; (n, ...) to (n,), nats."""
        batch = Batch(x, y)
        mean, log_var = (part[:, None] for part in posterior(self.encoder(with_label(x, y, self.classes))))
        # As many samples at once as keep the decoder's output near a million numbers: more is slower, for want of cache.
        size = max(1, int(1e6) // (len(x) * math.prod(self.likelihood.params_shape)))
        log_w = []
        for start in range(0, self.samples, size):
            k = min(size, self.samples - start)
            z = mean + torch.exp(0.5 * log_var) * noise.normal(mean.expand(-1, k, -1))
            log_w.append(self._log_weights(batch, z, mean, log_var))
        weights = torch.cat(log_w, 1).double()
        return LogProb(importance_bound(weights), importance_error(weights))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The posterior mean: (n, ...) to (n, latent)."""
        return posterior(self.encoder(with_label(x, y, self.classes)))[0]

    def feed_forward(self) -> nn.Module:
        """The encoder, to the posterior mean."""
        if self.classes:
            raise RequestError("The encoder of a conditional model needs labels: transfer from one that was fitted without.")
        return nn.Sequential(self.encoder, PosteriorMean())

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of p(x | z): (n, latent) to (n, ...)."""
        return self.likelihood.mean(self.decoder(with_label(z, y, self.classes)))

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The decoded posterior mean."""
        return self.decode(self.encode(x, y), y)

    @property
    def ways(self) -> tuple[str, ...]:
        """From the prior, or from a Gaussian mixture fitted on the codes of the training data."""
        return ("prior", "fitted")

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """p(x | z), its mean or a draw, for z of the prior or of the fitted density: (n, ...)."""
        if way == "fitted":
            z = self.codes.sample(n)
        else:
            z = self.prior.sample(noise.normal(self.codes.means.new_empty(n, self.latent)), self._components())
        params = self.decoder(with_label(z, y, self.classes))
        return self.likelihood.sample(params) if self.draw else self.likelihood.mean(params)

    def conclude(self, batches: Iterable[Batch]) -> None:
        """Fit the density of the codes; each code is a draw from its posterior."""
        codes = []
        for x, y in batches:
            mean, log_var = posterior(self.encoder(with_label(x, y, self.classes)))
            codes.append(mean + torch.exp(0.5 * log_var) * noise.normal(mean))
        self.codes.fit(torch.cat(codes))


class VAE(Estimator):
    """Variational autoencoder.

    Args:
        latent: width of the code.
        net: conv for images and series, recurrent for series, mlp for anything; auto takes conv where there is one.
        width: channels of the first level of conv nets, or units per layer; 0 takes 32, or 64 of recurrent and 512 of mlp nets.
        depth: residual blocks per level, or hidden layers.
        activation: of the nets.
        dropout: share of units, or of channels of conv nets, dropped in training.
        likelihood: of an example given its code; auto takes the first that suits the data.
        prior: of the code: standard normal, vamp (mixture of posteriors) or flow (RealNVP).
        pseudo_inputs: components of the vamp prior.
        flow_layers: couplings of the flow prior.
        flow_width: hidden units of the flow prior's couplings.
        beta: weight of the KL term.
        kl_warmup: share of the training in which that weight rises from 0.
        free_bits: nats per code unit that the KL term leaves free.
        particles: importance samples of the training bound.
        particles_from: share of the training after which there is more than one.
        conditional: learn p(x | label); fit, encode, reconstruct and log_prob then need labels.
        draw: give samples of p(x | z) rather than its mean; auto takes the mean of images and draws all else.
        samples: importance samples of log_prob.
        sweeps: of the chain by which unknown values are drawn given known ones.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "vae"
    model_class = VAEModel
    recipe = Training(steps=3000, lr=3e-3, ema=0.995, clip=100.0)

    demo: ClassVar = {"latent": 8, "prior": "flow", "training": {"steps": 1500}}

    def __init__(
        self,
        latent: int = 16,
        *,
        net: Literal["auto", "conv", "recurrent", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        likelihood: Literal["auto", "bernoulli", "gaussian", "logistic", "categorical", "mixed"] = "auto",
        prior: Literal["normal", "vamp", "flow"] = "normal",
        pseudo_inputs: int = 500,
        flow_layers: int = 8,
        flow_width: int = 256,
        beta: float = 1.0,
        kl_warmup: float = 0.1,
        free_bits: float = 0.0,
        particles: int = 1,
        particles_from: float = 0.5,
        conditional: bool = False,
        draw: Literal["auto", "yes", "no"] = "auto",
        samples: int = 100,
        sweeps: int = 100,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.latent = latent
        self.net = net
        self.width = width
        self.depth = depth
        self.activation = activation
        self.dropout = dropout
        self.likelihood = likelihood
        self.prior = prior
        self.pseudo_inputs = pseudo_inputs
        self.flow_layers = flow_layers
        self.flow_width = flow_width
        self.beta = beta
        self.kl_warmup = kl_warmup
        self.free_bits = free_bits
        self.particles = particles
        self.particles_from = particles_from
        self.conditional = conditional
        self.draw = draw
        self.samples = samples
        self.sweeps = sweeps
        self.training = training

    def build(self, schema: Schema) -> VAEModel:
        """Nets, prior and likelihood for data of this schema."""
        self._check_ranges()
        classes = classes_for(self, schema)
        likelihood = likelihood_for(self.likelihood, schema)
        shape = (schema.shape[0] + classes, *schema.shape[1:])
        encoder, decoder = make_autoencoder_nets(
            shape,
            likelihood.params_shape,
            code_out=2 * self.latent,
            code_in=self.latent + classes,
            **{k: getattr(self, k) for k in ("net", "width", "depth", "activation", "dropout")},
        )
        return VAEModel(
            encoder,
            decoder,
            self._prior(),
            likelihood,
            self.latent,
            pseudo=PseudoInputs(self.pseudo_inputs, shape) if self.prior == "vamp" else None,
            classes=classes,
            draw=len(schema.shape) < 3 if self.draw == "auto" else self.draw == "yes",
            beta=self.beta,
            warmup=self.kl_warmup,
            free_bits=self.free_bits,
            particles=self.particles,
            particles_from=self.particles_from,
            samples=self.samples,
            sweeps=self.sweeps,
        )

    def _prior(self) -> Prior:
        if self.prior == "flow":
            return FlowPrior(self.latent, self.flow_layers, self.flow_width)
        return NormalPrior() if self.prior == "normal" else VampPrior()

    def _check_ranges(self) -> None:
        at_least(self, 1, "latent", "depth", "pseudo_inputs", "flow_layers", "flow_width", "particles", "samples", "sweeps")
        at_least(self, 0, "width", "beta", "kl_warmup", "free_bits", "particles_from")
        below_one(self, "dropout")
        if self.prior == "flow" and self.latent < 2:
            raise RequestError("A flow prior couples two halves of the code: latent must be at least 2.")
