"""Futures: longer than a window, given actions, from files, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco.errors import RequestError
from calco.simulation import begun, read_history


class Counting(calco.Diffusion):
    """Fills what is unknown with one more than the moment before, on every channel that is not given."""

    def complete_tensor(self, n, known, mask, *, seed=0):
        schema = self.schema_
        x, flags = schema.encode(np.asarray(known)), schema.flags(np.asarray(mask))
        raw = torch.from_numpy(schema.decode(x)).movedim(1, 2).clone()
        for t in range(1, schema.length):
            fill = raw[:, :, t - 1] + 1
            raw[:, :, t] = torch.where(flags[:, t], raw[:, :, t], fill)
        return schema.encode(raw.movedim(1, 2).numpy())


@pytest.fixture(scope="module")
def counting():
    x = np.arange(400.0)
    frame = pd.DataFrame({"a": x, "b": x + 5, "move": np.sin(x)})
    return Counting(8, depth=1, heads=1, training={"steps": 1}).fit(calco.series(frame, window=8, actions=("move",)))


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 9, 30])
@pytest.mark.parametrize("past", [1, 3, 50])
def test_futures_go_on_past_the_window(counting, steps, past):
    history = np.stack((np.arange(past), np.arange(past) + 5, np.zeros(past)), 1)
    found = counting.simulate(history, steps, paths=3, actions=np.full((steps, 1), 7.0))
    assert found.shape == (3, steps, 3)
    assert np.allclose(found[..., 0], past - 1 + np.arange(1, steps + 1), atol=1e-3)
    assert np.allclose(found[..., 1], found[..., 0] + 5, atol=1e-3)
    assert np.allclose(found[..., 2], 7, atol=1e-4)


def test_histories_that_do_not_fit_are_refused(counting):
    past = np.zeros((3, 3))
    for history in (np.zeros((3, 2)), np.zeros(3), np.zeros((0, 3)), np.zeros((1, 3, 3))):
        with pytest.raises(RequestError, match=r"give \(moments, 3\)"):
            counting.simulate(history, 2)
    with pytest.raises(RequestError, match="at least one of each"):
        counting.simulate(past, 0)
    with pytest.raises(RequestError, match="give \\(4, 1\\)"):
        counting.simulate(past, 4, actions=np.zeros((4, 2)))
    with pytest.raises(RequestError, match="no column b"):
        counting.simulate(pd.DataFrame({"a": [1.0], "move": [0.0]}), 2)
    with pytest.raises(RequestError, match="give fewer, or ask `simulate`"):
        counting.sample(2, history=np.zeros((8, 3)))
    with pytest.raises(RequestError, match="Give one of these"):
        counting.sample(2, history=past, known=past)
    vectors = calco.VAE(2, training={"steps": 1}).fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(RequestError, match="Only series have a history"):
        vectors.simulate(past, 2)
    with pytest.raises(AttributeError):
        _ = calco.Autoencoder().simulate


def test_a_history_is_a_part_of_a_window(counting):
    window, mask = begun(counting.schema_, np.ones((3, 3)))
    assert window.shape == (1, 8, 3)
    assert mask[:3].all()
    assert not mask[3:].any()
    assert (window[0, :3] == 1).all()


def test_histories_are_read_from_files(tmp_path):
    days = pd.date_range("2024-01-01", periods=40).astype(str)
    frame = pd.DataFrame({"day": days, "a": np.arange(40.0), "b": np.arange(40.0) ** 0.5})
    model = calco.VAE(2, sweeps=4, training={"steps": 2}).fit(calco.series(frame, window=6, time="day"))
    frame.iloc[:10].to_csv(tmp_path / "past.csv", index=False)
    past, last = read_history(model.schema_, tmp_path / "past.csv")
    assert past.shape == (10, 2)
    assert last == pd.Timestamp("2024-01-10")
    table = model.schema_.futures(model.simulate(past, 3, paths=2), last)
    assert list(table) == ["path", "day", "a", "b"]
    assert list(table["day"][:3].astype(str)) == ["2024-01-11", "2024-01-12", "2024-01-13"]
    np.save(tmp_path / "past.npy", past)
    assert np.array_equal(read_history(model.schema_, tmp_path / "past.npy")[0], past)
    frame[["a"]].to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(RequestError, match="no column b"):
        read_history(model.schema_, tmp_path / "less.csv")
