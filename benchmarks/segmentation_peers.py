"""Segmentation against its peers, in the environment of another interpreter (torch, torchvision, segmentation_models_pytorch).

    python -m benchmarks.segmentation_peers short PYTHON SCRIPT    # 100 seconds, one thread; SCRIPT trains a peer on CamVid
    python -m benchmarks.segmentation_peers speed PYTHON           # training throughput of a U-Net

Both sides take turns on the same machine.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import calco
from benchmarks.record import commit, save
from benchmarks.segmentation import PARTS, arrays, road, trained, within
from benchmarks.throughput import paired
from calco.evaluation.segmentation import segmented_by
from calco.maths.overlap import overlap
from calco.training.hardware import precision

SHORT: dict[str, Any] = {
    "model": {"architecture": "fcn8s", "stem": 4, "levels": 3, "zoom": 1.0, "contrast": 135, "colour": 0.6, "balance": 0.5},
    "training": {"batch_size": 4, "lr": 3e-3, "beta2": 0.99, "weight_decay": 0.01, "lr_warmup": 40},
    "seconds": 86,
}
SECONDS, ROUNDS = 100, 3
PEERS = {
    "LR-ASPP, MobileNetV3-L": ["tv_lraspp_mobilenet_v3_large"],
    "Linknet, ResNet-18": ["Linknet", "resnet18"],
}


def short(python: str, script: str) -> list[dict[str, Any]]:
    """Mean IU after 100 seconds of training in one thread, calco over the best peer."""
    torch.set_num_threads(1)
    train, test = road("train"), road("test")
    recipe = within(train, SHORT)
    ours, minutes, theirs = list[float](), list[float](), dict[str, list[float]]()
    for seed in range(ROUNDS):
        segmenter, took = trained(train, recipe, seed)
        found = overlap(segmented_by(segmenter, test).counts.sum(0))
        ours.append(found.mean_iu)
        minutes.append(took)
        print(f"calco: {took * 60:.1f} s, {found}", flush=True)
        for name, arguments in PEERS.items():
            command = [python, "-W", "ignore", script, *arguments, "--seconds", str(SECONDS), "--threads", "1"]
            environ = {**os.environ, "OMP_NUM_THREADS": "1"}
            told = subprocess.run(command, capture_output=True, text=True, check=True, env=environ).stdout
            print(name, told, flush=True)
            theirs.setdefault(name, []).append(float(re.findall(r"mean IoU ([\d.]+)", told)[0]))
    ratios = [mine / max(values) for mine, values in zip(ours, zip(*theirs.values(), strict=True), strict=True)]
    means = ", ".join(f"{name} {statistics.mean(values):.3f}" for name, values in theirs.items())
    return [
        {
            "training_minutes": max(minutes),
            "allowed_minutes": round(SECONDS / 60, 2),
            "what": "CamVid at 240 x 180, test, 100 seconds in one thread: mean IU over the best peer's",
            "value": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "unit": "ratio",
            "better": "higher",
            "at_least": 1.2,
            "reach_for": 1.5,
            "ours": ours,
            "theirs": theirs,
            "protocol": f"{ROUNDS} rounds in turn, all from random weights on the 367 training images; mean IU over the"
            f" {PARTS['test']} test images: calco {statistics.mean(ours):.3f}, {means}",
        }
    ]


SIDES, BATCH = (192, 256), 4
DECODER = (512, 384, 224, 96, 64)
"""Channels of the peer's decoder with which both nets multiply as often; those of its encoder are the same as calco's."""

SMP = """
import json, sys, time, torch
from torch.utils.flop_counter import FlopCounterMode
library = torch.library.Library("torchvision", "DEF")  # a CUDA build of torchvision beside a CPU build of torch lacks these
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import segmentation_models_pytorch as smp
threads, steps, batch, height, width, last, bf16, *decoder = map(int, sys.argv[1:])
torch.set_num_threads(threads)
order = torch.channels_last if last else torch.contiguous_format
net = smp.Unet("vgg13_bn", encoder_weights=None, classes=11, decoder_channels=decoder).to(memory_format=order).train()
loss, optimizer = torch.nn.CrossEntropyLoss(ignore_index=255), torch.optim.AdamW(net.parameters(), 1e-3)
x, y = torch.rand(64, 3, height, width), torch.randint(11, (64, height, width))
def step(i):
    rows = torch.randperm(64)[:batch]
    with torch.autocast("cpu", torch.bfloat16, enabled=bool(bf16)):
        value = loss(net(x[rows].contiguous(memory_format=order)), y[rows])
    optimizer.zero_grad(); value.backward(); optimizer.step()
with FlopCounterMode(display=False) as counter:
    net(x[:2])
for i in range(2):
    step(i)
began = time.perf_counter()
for i in range(steps):
    step(i)
took = time.perf_counter() - began
told = {"parameters": sum(p.numel() for p in net.parameters()), "operations": counter.get_total_flops() / 2}
print(json.dumps({"speed": batch * steps / took, **told}))
"""


def speed(python: str) -> list[dict[str, Any]]:
    """Images a second in training a U-Net on a VGG-13 trunk: calco as it trains by default over segmentation_models_pytorch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (64, *SIDES, 3), np.uint8)
    source = arrays(x, rng.integers(0, 11, (64, *SIDES)).astype(np.uint8), tuple(map(str, range(11))))
    sizes: dict[str, tuple[float, float]] = {}

    def ours(steps: int) -> float:
        times: dict[int, float] = {}
        training = {"steps": 2 + steps, "batch_size": BATCH, "log_every": 1, "ema": 0.0, "clip": 0.0}
        segmenter = calco.Segmenter(
            "unet", upsampling="nearest", width=64, levels=5, flip="none", zoom=1.0, colour=0.0, training=training
        )
        segmenter.fit(source, report=lambda line: times.update({line["step"]: time.perf_counter()}))
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            segmenter.model_.net(torch.rand(1, 3, *SIDES))
        sizes["calco"] = sum(p.numel() for p in segmenter.model_.parameters()), counter.get_total_flops()
        return BATCH * steps / (times[2 + steps] - times[2])

    def peer(steps: int, last: int, bf16: int) -> float:
        numbers = [str(n) for n in (torch.get_num_threads(), steps, BATCH, *SIDES, last, bf16, *DECODER)]
        done = subprocess.run([python, "-W", "ignore", "-c", SMP, *numbers], capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        sizes["smp"] = told["parameters"], told["operations"]
        return told["speed"]

    figures, own = [], precision(calco.Training())
    for how, last, bf16, target in (
        ("as its users train it, in float32", 0, 0, {"at_least": 1.3, "reach_for": 2.0}),
        (f"set by hand as calco sets itself here, channels last and {own}", 1, int(own == "bf16"), {}),
    ):
        measured = paired(ours, lambda steps, last=last, bf16=bf16: peer(steps, last, bf16), 4, 3)
        each = " against ".join(f"{n / 1e6:.1f} million parameters and {f / 1e9:.1f} GFLOPs" for n, f in sizes.values())
        figures.append(
            {
                "what": f"images a second in training, U-Net of VGG-13: calco over segmentation_models_pytorch {how}",
                "unit": "ratio",
                "better": "higher",
                **target,
                **measured,
                "protocol": f"batches of {BATCH} images of {SIDES[0]} x {SIDES[1]}, 11 classes, five levels of 64 to 512, the"
                f" peer's decoder of {', '.join(map(str, DECODER))} channels so that both do as much: {each} an image",
            }
        )
    return figures


if __name__ == "__main__":
    measure, at = {"short": short, "speed": speed}[sys.argv[1]], commit()
    save(f"segmentation_{sys.argv[1]}", measure(*sys.argv[2:]), at, recipe=SHORT if measure is short else {})
