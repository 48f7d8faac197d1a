"""Reconstruction of MNIST with 32 codes: test mean squared error over that of PCA with 32 components.

    python -m benchmarks.reconstruction

Protocol: trained on the 60,000 training images for at most 5 minutes; the error is the mean over all values of all 10,000
test images in [0, 1]; PCA is fitted on all training images by its covariance.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

import calco
from benchmarks.record import commit, save

SETTINGS = {"steps": 5000, "batch_size": 128, "lr": 4e-3, "ema": 0.99, "clip": 1.0, "weight_decay": 1e-4, "log_every": 200}
"""Tried for 1,000 steps with the last 10,000 training images held out; the steps here fill the time."""


def flat(name: str) -> np.ndarray:
    """A part of MNIST as a matrix of values in [0, 1]."""
    source = calco.open_data(name)
    return source.take(np.arange(len(source))).x.reshape(len(source), -1).astype(np.float32) / 255


def main() -> None:
    """Train, measure, write the result."""
    measured_at = commit()
    autoencoder = calco.Autoencoder(latent=32, width=24, depth=1, training=SETTINGS)
    started = time.perf_counter()
    autoencoder.fit("mnist", out=Path(tempfile.mkdtemp()) / "run", report=lambda line: print(line, flush=True))
    minutes = (time.perf_counter() - started) / 60
    train, test = flat("mnist"), flat("mnist:test")
    again = autoencoder.reconstruct_tensor("mnist:test").flatten(1).numpy()
    error = float(((again - test) ** 2).mean())
    pca = PCA(32, svd_solver="covariance_eigh").fit(train)
    floor = float(((pca.inverse_transform(pca.transform(test)) - test) ** 2).mean())
    figure = {
        "what": "MNIST, 32 codes, 5 minutes: test squared error over PCA-32's",
        "value": error / floor,
        "unit": "ratio",
        "better": "lower",
        "at_least": 0.45,
        "reach_for": 0.3,
        "error": error,
        "pca_error": floor,
        "training_minutes": minutes,
        "allowed_minutes": 5,
        "protocol": "test part, all 10,000 images; PCA fitted on all 60,000 training images",
    }
    save("reconstruction", [figure], measured_at, recipe=SETTINGS)


if __name__ == "__main__":
    main()
