"""What can be opened, what cannot, and what opening loads."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from calco.data import ArraySource, PartlyLabelled, Subset, infer_schema, left_out, open_data, reopened, split
from calco.data.source import encode_labels
from calco.errors import RequestError


def test_importing_is_light():
    code = "import sys, calco.data; print([m for m in ('pandas', 'sklearn', 'PIL', 'scipy', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_verbs_nor_training_wait_for_what_compiles_or_distributes_nets():
    """Each takes seconds to load, before the first step."""
    code = """
import sys
import calco.cli.verbs, calco.report
training = {"steps": 2, "batch_size": 8, "precision": "fp32", "ema": 0.9, "clip": 1.0}
calco.VAE(latent=2, width=4, training=training).fit([[0.0, 1.0], [1.0, 0.5], [2.0, 3.0]] * 10).sample(3)
print([name for name in ("torch._dynamo", "torch.distributed.tensor") if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.uint8])
def test_tensors_of_any_type(dtype):
    tensor = torch.arange(24).reshape(2, 3, 2, 2).to(dtype).requires_grad_(dtype.is_floating_point)
    source = open_data(tensor)
    assert source.take(np.arange(2)).x.shape == (2, 2, 2, 3)
    assert torch.equal(infer_schema(source).encode(source.take(np.arange(2)).x)[:, 1] > 0, torch.ones(2, 2, 2).bool())


def test_other_libraries_data_frames_are_taken_through_pandas():
    class Other:
        columns = ("a",)

        def to_pandas(self):
            return pd.DataFrame({"a": [1.0, 2.0]})

    assert open_data(Other()).names == ("a",)


@pytest.mark.parametrize("data", [[[1, 2], [3]], None, object(), "é\0x", [], [["a"]], np.array([1j, 2])])
def test_what_is_no_array_is_refused_without_a_traceback(data):
    with pytest.raises(RequestError):
        open_data(data)


def test_options_of_folders_are_refused_elsewhere(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    for data in (np.zeros((3, 4)), tmp_path / "x.npy", "digits"):
        with pytest.raises(RequestError, match="folder of images only"):
            open_data(data, size=(3, 3))
    with pytest.raises(RequestError, match="no file or folder"):
        open_data(tmp_path / "nothing", mode="L")
    with pytest.raises(RequestError, match=r"mode 'XYZ'.*L, RGB"):
        open_data(tmp_path, mode="XYZ")
    for size in ((0, 3), (3,), (2.5, 2)):
        with pytest.raises(RequestError, match="height and width"):
            open_data(tmp_path, size=size)


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", None], object),
        np.array(["a", np.nan], object),
        ["a", ""],
        pd.Series(["a", pd.NA], dtype="string"),
        [1.0, np.nan],
    ],
)
def test_missing_labels_are_no_class(labels):
    with pytest.raises(RequestError, match=r"missing, the first in row 1|are NaN"):
        encode_labels(labels, 2)


def test_labels_that_are_no_list_are_refused():
    with pytest.raises(RequestError, match="one per example"):
        encode_labels([[1, 2], [3]], 2)


def test_whole_numbers_sort_as_numbers_whatever_they_came_as(tmp_path):
    (tmp_path / "y.txt").write_text("10\n9\n2\n")
    assert encode_labels(np.array([10, 9, 2], object), 3)[1] == ("2", "9", "10")
    assert open_data(np.zeros((3, 2)), labels=tmp_path / "y.txt").classes == ("2", "9", "10")
    assert encode_labels(pd.Series(["nan", "x"], dtype="category"), 2)[1] == ("nan", "x")
    with pytest.raises(RequestError, match="both"):
        open_data(np.zeros((3, 2)), [1, 2, 3], labels=tmp_path / "y.txt")


def test_a_named_set_with_labels_of_ones_own_opens_again(tmp_path):
    (tmp_path / "y.txt").write_text("".join(f"{i % 2}\n" for i in range(360)))
    source = open_data("digits:test", labels=tmp_path / "y.txt")
    assert source.classes == ("0", "1")
    again = open_data(**source.describe()["open"])
    assert again.describe() == source.describe()
    assert source.describe()["fingerprint"] != open_data("digits:test").describe()["fingerprint"]


def test_parts_of_a_source_are_told_apart_and_not_taken_for_the_whole():
    whole = open_data("digits:test")
    one, same, other = (Subset(whole, np.arange(*r)) for r in ((0, 10), (0, 10), (10, 20)))
    prints = [s.describe()["fingerprint"] for s in (one, same, other, whole)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    assert one.describe()["open"] is None  # its name would open all of it: a run on it would go on with other data
    assert whole.describe()["open"] == {"data": "digits:test"}


def test_a_slow_source_without_rows_gives_no_batches():
    from calco.data import batches

    source = ArraySource(np.zeros((3, 2)))
    source.slow = True
    assert list(batches(Subset(source, np.arange(0)), infer_schema(source), 4)) == []


def both(source):
    raw = source.take(np.arange(len(source)))
    return raw.x.tobytes(), raw.y.tobytes()


def test_parts_of_a_split_open_again_as_they_were(tmp_path):
    x, y = open_data("digits").take(np.arange(300))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    whole = open_data(tmp_path / "data.npz")
    many, few = split(whole, 0.2, 0)
    nested = split(many, 0.1, 3)
    for part in (many, few, *nested):
        again = reopened(part.describe()["open"])
        assert again.describe() == part.describe()
        assert both(again) == both(part)
        assert whole.describe()["fingerprint"] in part.describe()["whole"]
    assert both(left_out(many.describe()["open"])) == both(few)
    assert both(left_out(nested[1].describe()["open"])) == both(nested[0])
    assert left_out(whole.describe()["open"]) is None
    assert Subset(whole, np.arange(3)).describe()["open"] is None


@pytest.mark.parametrize("side", [0, 1])
def test_partly_labelled_parts_open_again_as_they_were(tmp_path, side):
    x, y = open_data("digits").take(np.arange(300))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    parts = split(open_data(tmp_path / "data.npz"), 0.2, 0)
    partly = PartlyLabelled(parts[side], parts[1 - side])
    again = reopened(partly.describe()["open"])
    assert again.describe() == partly.describe()
    assert both(again) == both(partly)


def test_labels_given_later_leave_all_else_as_it_was():
    frame = pd.DataFrame({"a": np.arange(8, dtype=np.int16), "b": np.arange(8, dtype=np.int16)[::-1]})
    for bare in (open_data("digits"), open_data(frame)):
        y = ["one", "two"] * (len(bare) // 2) + ["two"] * (len(bare) % 2)
        labelled = open_data(bare, y)
        assert labelled.classes == ("one", "two")
        for name in ("levels", "names", "dtypes", "column_labels", "about", "files"):
            assert getattr(labelled, name) == getattr(bare, name), name
        assert infer_schema(labelled).columns == infer_schema(bare).columns
