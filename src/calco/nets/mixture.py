"""A Gaussian mixture held in buffers, fitted by scikit-learn: the density of a model's codes."""

import torch
from torch import Tensor, nn

from calco.maths import noise


class GaussianMixture(nn.Module):
    """`components` full Gaussians over codes of `features` numbers; N(0, I) until it is fitted."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, features: int, components: int = 10) -> None:
        super().__init__()
        self.register_buffer("weights", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, features))
        self.register_buffer("factors", torch.eye(features).repeat(components, 1, 1))  # lower Cholesky factors

    def fit(self, codes: Tensor) -> None:
        """Expectation maximisation on codes of shape (n, features); with fewer codes than components, fewer are used."""
        from sklearn.mixture import GaussianMixture as Mixture

        used = min(len(self.weights), len(codes))
        codes = codes.detach().cpu().double().repeat(2 if len(codes) == 1 else 1, 1)  # scikit-learn wants two
        centre = codes.mean(0)
        data = (codes - centre).to(self.means.dtype).numpy()  # float64 would take twice as long
        # The floor under the variances keeps dead code units from breaking the factorisation.
        floor = 1e-6 + 1e-4 * float(codes.var(correction=0))
        mixture = Mixture(used, reg_covar=floor, max_iter=50, tol=1e-2, random_state=0, init_params="k-means++")
        mixture.fit(data)
        self.weights.zero_()
        self.weights[:used] = torch.as_tensor(mixture.weights_)
        self.means[:used] = centre + torch.as_tensor(mixture.means_)
        self.factors[:used] = torch.linalg.cholesky(torch.as_tensor(mixture.covariances_).double()).to(self.factors.dtype)

    def sample(self, n: int) -> Tensor:
        """(n, features)."""
        pick = noise.picks(self.weights.expand(n, -1))
        return self.means[pick] + torch.einsum("nij,nj->ni", self.factors[pick], noise.normal(self.means[pick]))

    def forward(self, z: Tensor) -> Tensor:
        """log density of z: (n, features) to (n,)."""
        scaled = torch.linalg.solve_triangular(self.factors, (z[:, None] - self.means)[..., None], upper=False)[..., 0]
        log_det = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_normal = -0.5 * (scaled**2).sum(-1) - log_det - 0.5 * z.shape[1] * torch.log(torch.tensor(2 * torch.pi))
        return torch.logsumexp(log_normal + self.weights.clamp_min(1e-38).log(), 1)
