"""The sections of a page: each asks what a model can do, and draws it."""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

import calco
from calco.clusters import Clusters, TooFew, find_clusters
from calco.contract import Batch
from calco.data import Source, Subset, TableSchema
from calco.estimator import Estimator
from calco.evaluation.context import EvalContext
from calco.evaluation.copying import compared
from calco.evaluation.figures import classed
from calco.report.likeness import autocorrelations_drawn, columns_drawn, distances_drawn, pairs_drawn, shared_map
from calco.report.pictures import cells, curves, grid, legend, picture, scatter, sheet
from calco.report.rows import rows_table
from calco.report.segments import CASES, classes_of, extremes, panels
from calco.runs import duration_of, read_json
from calco.training import check_type

SHOWN = 10
"""Examples in a row of reconstructions."""
NAMED = 30
"""Classes of which the confusions are drawn at most."""
MAPPED = 1500
"""Codes on the map at most."""


def _examples(schema: Any, rows: Sequence[torch.Tensor], caption: str = "", names: Sequence[str] = ()) -> str:
    """Examples as the model sees them: pictures in rows, curves, strips, or the rows of a table, each with its name."""
    if isinstance(schema, TableSchema):
        return rows_table(schema, rows, names) + (f"<p class=note>{html.escape(caption)}</p>" if caption else "")
    return picture(grid(schema, rows), caption, pixels=True)


def number(value: float | None) -> str:
    """A number with as many digits as one reads."""
    if value is None or not math.isfinite(value):
        return "not known"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def _trained(context: EvalContext) -> str:
    estimator = context.estimator
    record = estimator.run_.record if estimator.run_ else {}
    settings, count = estimator.settings(), sum(p.numel() for p in estimator.model_.parameters())
    data, made = record.get("data", {}), record.get("calco", calco.__version__)
    facts = {
        "trained on": f"{data['n']:,} examples of {data['about']}" if data else "data in memory",
        "one example": " x ".join(str(side) for side in estimator.schema_.shape) + f" ({estimator.schema_.kind})",
        "parameters": f"{count:,}",
        "training": f"{settings.steps:,} steps of {settings.batch_size}, {duration_of(estimator.history_):,.0f} s",
        "changed from default": ", ".join(f"{k}={v}" for k, v in _changed(estimator).items()) or "nothing",
        "seed": str(settings.seed),
        "notes": " ".join(dict.fromkeys(line["note"] for line in estimator.history_ if "note" in line)) or "none",
        "made with": f"calco {made}, torch {record.get('machine', {}).get('torch', torch.__version__)}",
    }
    return "<dl>" + "".join(f"<dt>{k}<dd>{html.escape(v)}" for k, v in facts.items()) + "</dl>"


def _changed(estimator: Estimator) -> dict[str, Any]:
    fresh = type(estimator)().get_params(deep=False)
    return {k: v for k, v in estimator.get_params(deep=False).items() if k != "training" and v != fresh[k]}


def _curves(context: EvalContext) -> str:
    history = context.estimator.history_
    return picture(curves(history)) if history else ""


def _first(source: Source, count: int) -> Subset:
    """Examples spread evenly over the source."""
    return Subset(source, np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int))


def _seen(estimator: Estimator, source: Source) -> torch.Tensor:
    return torch.cat([batch.x.cpu() for batch in estimator.batches(source)])


def _reconstructions(context: EvalContext) -> str:
    estimator, source = context.estimator, context.source
    if "reconstruct" not in estimator.capabilities_:
        return ""
    some = _first(source, SHOWN)
    parts = [_seen(estimator, some), estimator.reconstruct_tensor(some)]
    return _examples(estimator.schema_, parts, names=("example", "kept"))


def _samples(context: EvalContext) -> str:
    estimator = context.estimator
    pictures = []
    for way in estimator.ways_:
        x = estimator.sample_tensor(20 if isinstance(estimator.schema_, TableSchema) else 50, way=way)
        rows = list(x.split(SHOWN)) if x.ndim > 2 else [x]
        pictures.append(_examples(estimator.schema_, rows, SAMPLED.get(way, way)))
    return "".join(pictures)


def _closest(context: EvalContext) -> str:
    estimator = context.estimator
    if "sample" not in estimator.capabilities_ or not context.has_train:
        return ""
    known = compared(context)
    if known is None:
        return ""
    sides = "Above, samples; below, the training examples nearest to them."
    return _examples(estimator.schema_, known.closest, sides, ("sample", "closest"))


SAMPLED = {
    "normal": "codes drawn from N(0, I)",
    "prior": "codes drawn from the model's prior",
    "fitted": "codes drawn from a Gaussian mixture fitted on the codes of the training data",
    "gibbs": "states of Gibbs chains that go on from those the training left",
    "tempering": "states of new chains, by parallel tempering",
}


def _walk(context: EvalContext) -> str:
    estimator, source = context.estimator, context.source
    if not {"encode", "decode"} <= set(estimator.capabilities_):
        return ""
    model: Any = estimator.model_
    rows = []
    for pair in _pairs(estimator, source):
        with torch.inference_mode():
            z = model.encode(pair.x, pair.y)
            mix = torch.linspace(0, 1, SHOWN - 2, device=z.device)[:, None]
            y = None if pair.y is None else torch.where(mix[:, 0] < 0.5, pair.y[0], pair.y[1])
            steps = model.decode(z[:1] * (1 - mix) + z[1:] * mix, y)
        rows.append(torch.cat((pair.x[:1], steps, pair.x[1:])).cpu())
    if isinstance(estimator.schema_, TableSchema):  # a table a pair
        return "".join(_examples(estimator.schema_, [row]) for row in rows)
    return _examples(estimator.schema_, rows)


def _pairs(estimator: Estimator, source: Source) -> Iterator[Batch]:
    """Three pairs of examples, of different classes where there are classes."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(source))
    y = source.take(rows).y if source.classes and len(rows) <= 20_000 else None
    for i in range(min(3, len(rows) // 2)):
        a, b = rows[2 * i], rows[2 * i + 1]
        if y is not None and (y != y[2 * i]).any():
            b = rows[np.flatnonzero(np.roll(y != y[2 * i], -2 * i))[0] + 2 * i - len(rows)]
        yield next(iter(estimator.batches(Subset(source, np.array([a, b])))))


def _map(context: EvalContext) -> str:
    estimator, source = context.estimator, context.source
    if "encode" not in estimator.capabilities_ or len(source) < 10:
        return ""
    source = classed(estimator, source)
    some = _first(source, MAPPED)
    codes = context.codes("source", MAPPED)
    caption = "the two numbers of each code"
    if codes.shape[1] > 2:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(codes) - 1) / 3)
        codes = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(codes)
        caption = (
            f"t-SNE of {len(codes):,} codes (perplexity {perplexity:g}, seed 0): neighbours mean something, distances do not"
        )
    if codes.shape[1] != 2:
        return ""
    labels = some.take(np.arange(len(some))).y
    maps = picture(scatter(codes, labels, source.classes), caption)
    asked = estimator.run_.path / "clusters.json" if estimator.run_ else None
    if asked is None or not asked.is_file():
        return maps
    try:
        found = _clusters(context, read_json(asked))
    except TooFew:  # here, that is; the run was clustered on other examples
        return maps
    names = tuple(f"cluster {i}" for i in range(found.cluster.max() + 1))
    return maps + picture(scatter(codes, found.cluster[some.rows], names), f"the same map: {found.about}")


def _clusters(context: EvalContext, asked: dict[str, Any]) -> Clusters:
    """The clusters that `calco cluster` found last, of these examples."""
    for name in ("clusters", "seed"):
        check_type(name, asked.get(name), int)
    return find_clusters(context.codes("source"), asked["clusters"], asked.get("method", ""), asked["seed"])


def _classes(context: EvalContext) -> str:
    estimator = context.estimator
    if "segment" not in estimator.capabilities_:
        return ""
    counts, rows = classes_of(context)
    table = "".join(
        f"<tr><td>{html.escape(name)}" + "".join(f"<td class=n>{number(value)}" for value in values) for name, values in rows
    )
    head = "<tr><th>class<th class=n>share<th class=n>accuracy<th class=n>IU</tr>"
    return f'<div class="scroll"><table>{head}{table}</table></div>{picture(cells(counts, [n for n, _ in rows]))}'


def _cases(context: EvalContext) -> str:
    estimator, source = context.estimator, context.source
    if "segment" not in estimator.capabilities_:
        return ""
    pictures = []
    for heading, rows in extremes(context):
        shown = [panels(estimator, source, row) for row in rows]
        pictures.append(
            picture(sheet([pictures for pictures, _ in shown]), f"{heading}: {', '.join(t for _, t in shown)}", pixels=True)
        )
    return "".join(pictures) + f'<p class="note">{legend(estimator.schema_.classes)}</p>'


def _confusion(context: EvalContext) -> str:
    estimator, source = context.estimator, context.source
    names = estimator.schema_.classes
    if "predict" not in estimator.capabilities_ or not source.classes or not 1 < len(names) <= NAMED:
        return ""
    truth, p = context.classified()
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (truth, p.argmax(1)), 1)
    surest = np.where(p.argmax(1) == truth, -1.0, p.max(1)).argsort()[::-1][:SHOWN]
    wrong = [row for row in surest if p[row].argmax() != truth[row]]
    matrix = picture(cells(counts, names))
    if not wrong:
        return matrix
    told = ", ".join(f"{names[truth[row]]} as {names[p[row].argmax()]}" for row in wrong)
    errors = [_seen(estimator, Subset(source, np.array(wrong)))]
    return matrix + _examples(estimator.schema_, errors, f"the surest errors: {told}")


SECTIONS: list[tuple[str, str, Callable[[EvalContext], str]]] = [
    ("What was trained", "", _trained),
    (
        "Originals and what the model keeps of them",
        "Above, examples of those named at the top; below, decoded from their codes.",
        _reconstructions,
    ),
    ("Samples", "New examples, none picked by hand.", _samples),
    ("Columns", "The share of each option and the distribution of numbers, of data and of samples.", columns_drawn),
    (
        "Pairs of columns",
        "Half the difference between the joint shares of data and samples, numbers cut into eighths: 0 where two columns go"
        " together as in the data.",
        pairs_drawn,
    ),
    (
        "Privacy",
        "Samples that lie much closer to training rows than other rows do would give those away.",
        distances_drawn,
    ),
    ("Autocorrelations", "Correlation of each channel with itself, by the moments between.", autocorrelations_drawn),
    ("Data and samples on one map", "t-SNE of windows of either kind: samples should lie where data do.", shared_map),
    (
        "Copies?",
        "The samples that lie nearest to training examples, of all that were compared: if the model copies, here it shows.",
        _closest,
    ),
    (
        "A walk between two examples",
        "The first and last of each row are data; between them, codes on the straight line from one to the other, decoded.",
        _walk,
    ),
    ("A map of the codes", "", _map),
    (
        "Classes",
        "Over all examples named at the top; of each class its share of the places, how many of those were found, IU.",
        _classes,
    ),
    ("Predictions", "Over all examples named at the top; below, where the model was wrong and yet most sure.", _confusion),
    (
        "Worst and best cases",
        f"By pixel accuracy, {CASES} of each. From the left: the example, the truth, the prediction, and in red where they"
        " differ; black is ignored. Of volumes, the middle slice.",
        _cases,
    ),
    ("Training", "Means since the line before; held out is measured on data that no step sees.", _curves),
]
