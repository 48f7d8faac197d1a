"""Futures: longer than a window, given actions, from files, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco.cli import app
from calco.data import infer_schema
from calco.errors import RequestError
from calco.models import load
from calco.simulation import begun, read_history, simulated


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


class Drawing:
    """Fills windows of series of white noise by draws, as whatever is asked with a seed does."""

    def __init__(self, source):
        self.schema_, self.seeds = infer_schema(source), []

    def complete_tensor(self, n, known, mask, *, seed=0):
        self.seeds.append(seed)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn((n, *self.schema_.shape), generator=generator)
        return torch.where(self.schema_.flags(np.asarray(mask)), self.schema_.encode(np.asarray(known)), drawn)


def white(n=400):
    return np.random.default_rng(0).normal(size=(n, 1))


def test_pieces_of_a_long_future_have_noise_of_their_own():
    """Of windows of 8 half is drawn at a time: with one noise for every piece the future would repeat itself."""
    model = Drawing(calco.series(white(), window=8))
    found = simulated(model, np.zeros((20, 1)), 24, 50, None, 0)[..., 0]
    pieces = found.reshape(50, 6, 4).transpose(1, 0, 2).reshape(6, -1)
    between = np.corrcoef(pieces) - np.eye(6)
    assert abs(between).max() < 0.3
    assert len(set(model.seeds)) == 6


def test_futures_by_other_seeds_share_no_noise():
    """The piece that begins after 4 steps by seed 0 is not the first one by seed 4."""
    model = Drawing(calco.series(white(), window=8))
    for seed in range(8):
        simulated(model, np.zeros((20, 1)), 24, 1, None, seed)
    assert len(set(model.seeds)) == 48


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "bool", "float64"])
def test_futures_of_arrays_have_the_dtype_of_the_data(dtype):
    x = (white() > 0 if dtype == "bool" else white() * 9).astype(dtype)
    found = simulated(Drawing(calco.series(x, window=8)), x[:20], 6, 3, None, 0)
    assert found.dtype == x.dtype


@pytest.mark.parametrize("dtype", ["int8", "Int64", "boolean", "bool", "float32", "Float32", "int64[pyarrow]"])
@pytest.mark.parametrize("gaps", [False, True])
def test_futures_and_gaps_have_the_dtype_of_the_data(dtype, gaps):
    if gaps and dtype in ("int8", "bool"):
        return
    frame = pd.DataFrame({"a": pd.Series((white()[:, 0] > 0).astype(int)).astype(dtype), "b": white()[:, 0]})
    if gaps:
        frame["a"] = frame["a"].mask(np.arange(400) % 5 == 0)
    model = Drawing(calco.series(frame, window=8))
    for seed in range(3):
        found = model.schema_.futures(simulated(model, frame[-20:].bfill(), 5, 3, None, seed))
        assert found["a"].dtype == frame["a"].dtype
        assert model.schema_.table(model.schema_.decode(torch.randn(4, *model.schema_.shape)))["a"].dtype == frame["a"].dtype


def daily(n=40, begin="2024-01-01"):
    days = pd.date_range(begin, periods=n)
    return pd.DataFrame({"day": days, "a": np.arange(n) % 7, "b": white(n)[:, 0]})


def test_what_is_before_the_last_gap_is_no_past():
    model = Drawing(calco.series(daily(), window=8, time="day"))
    broken = daily(60).drop(index=range(30, 50))
    with pytest.warns(UserWarning, match="has a gap: the 10 time steps after it count, of 40"):
        found = simulated(model, broken, 5, 3, None, 0)
    assert np.array_equal(found, simulated(model, daily(60)[50:], 5, 3, None, 0))
    with pytest.raises(RequestError, match="not those of the clock that the model knows, which goes by 86400 s"):
        simulated(model, daily().assign(day=pd.date_range("2024", periods=40, freq="h")), 5, 3, None, 0)
    assert simulated(model, daily(1), 5, 3, None, 0).shape == (3, 5, 2)


def ask(*words):
    app([str(word) for word in words], result_action="return_value")


@pytest.mark.parametrize(
    ("stamps", "following"),
    [
        (pd.date_range("2010-01-31", periods=80, freq="ME"), ["2016-09-30", "2016-10-31", "2016-11-30"]),
        (np.arange(80) / 24, [80 / 24, 81 / 24, 82 / 24]),
    ],
)
def test_files_of_samples_and_futures_are_numbered_and_go_on_in_time(tmp_path, stamps, following, capsys):
    """The channel `series` has the name of a column that numbers, and the clock that of another."""
    rng, files = np.random.default_rng(0), [tmp_path / name for name in ("data.csv", "run", "new.csv", "next.csv")]
    data, run, new, ahead = files
    frame = pd.DataFrame({"path": stamps, "series": rng.integers(0, 9, 80), "b": rng.normal(size=80)})
    frame.to_csv(data, index=False)
    ask("fit", "vae", data, "--window", 6, "--time", "path", "--steps", 3, "--width", 8, "--latent", 2, "--out", run)
    ask("sample", run, "-n", 4, "--seed", 5, "--out", new)
    samples, model = pd.read_csv(new), load(run)
    assert list(samples) == ["series_", "moment", "series", "b"]
    assert samples["series_"].tolist() == [i for i in range(4) for _ in range(6)]
    assert samples["moment"].tolist() == [*range(6)] * 4
    assert samples["series"].dtype == np.int64
    assert np.allclose(samples[["series", "b"]].to_numpy().reshape(4, 6, 2), model.sample(4, seed=5))

    ask("simulate", run, data, "--steps", 8, "--paths", 3, "--seed", 2, "--out", ahead)
    futures = pd.read_csv(ahead)
    assert list(futures) == ["path_", "path", "series", "b"]
    assert futures["path_"].tolist() == [i for i in range(3) for _ in range(8)]
    told = futures["path"].tolist()
    assert told == told[:8] * 3
    assert told[:3] == (following if isinstance(following[0], str) else pytest.approx(following, rel=1e-12))
    known = frame[["series", "b"]]
    assert np.allclose(futures[["series", "b"]].to_numpy().reshape(3, 8, 2), model.simulate(known, 8, paths=3, seed=2))
    assert "3 futures of 8 moments" in capsys.readouterr().out
