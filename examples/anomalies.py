"""How odd is this? Log densities of a VAE trained on zeros to eight, asked about nines."""

import numpy as np

import calco

source = calco.open_data("digits")
x, y = source.take(np.arange(len(source)))
vae = calco.VAE(latent=8, training={"steps": 150}).fit(x[y < 9])

test = calco.open_data("digits:test")
x, y = test.take(np.arange(len(test)))
nats = vae.log_prob(x)
print(f"known digits: {nats[y < 9].mean():.1f} nats; nines, never seen: {nats[y == 9].mean():.1f} nats")
