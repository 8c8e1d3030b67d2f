"""Weights go both ways: a model trained by imaml in a torch module, a torch module's weights in imaml; the same logits.

    python weights.py [--imaml PATH]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from contenders import imaml_binary

SPEC = "conv4:channels=16,stride=2,ways=5,image=1x28x28"
TASKS = ["glyphs", "--model", SPEC, "--queries", "3"]


class Conv4(nn.Module):
    """The network of SPEC, as a torch user writes it; its state_dict has our names."""

    def __init__(self, channels: int = 16, ways: int = 5):
        super().__init__()
        for i in range(1, 5):
            setattr(self, f"conv{i}", nn.Conv2d(1 if i == 1 else channels, channels, 3, stride=2, padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(channels, track_running_stats=False))
        self.fc = nn.Linear(4 * channels, ways)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in range(1, 5):
            x = torch.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return self.fc(x.flatten(1))


def difference(module: nn.Module, episodes: str, outputs: str) -> float:
    """max |logits − logits| over all tasks, relative to the largest logit."""
    x, ours = load_file(episodes)["query.x"], load_file(outputs)["query.output"]
    with torch.no_grad():
        theirs = torch.stack([module(task) for task in x])
    return float((theirs - ours).abs().max() / ours.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imaml", help="the program [default: a release build of this repository]")
    binary = imaml_binary(parser.parse_args().imaml)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: str(Path(folder) / name)  # noqa: E731

        def imaml(*arguments: str) -> None:
            subprocess.run([binary, *arguments], check=True, stdout=subprocess.DEVNULL)

        def logits(weights: str) -> None:
            imaml("export-episode", *TASKS, "--init", weights, "--tasks", "4", "--out", at("e.safetensors"))
            imaml("predict", at("e.safetensors"), "--model", SPEC, "--out", at("p.safetensors"))

        # Ours in torch: the file is a state_dict, strictly.
        run = ["--method", "maml", "--meta-batch", "4", "--eval-every", "0"]
        imaml("train", *TASKS, *run, "--iterations", "20", "--out", at("run"))
        module = Conv4()
        module.load_state_dict(load_file(at("run/model.safetensors")), strict=True)
        logits(at("run/model.safetensors"))
        there = difference(module, at("e.safetensors"), at("p.safetensors"))

        # Theirs in imaml: as it is, and as the start of a training.
        save_file(Conv4().state_dict(), at("torch.safetensors"))
        module.load_state_dict(load_file(at("torch.safetensors")))
        logits(at("torch.safetensors"))
        back = difference(module, at("e.safetensors"), at("p.safetensors"))
        imaml("train", *TASKS, *run, "--iterations", "1", "--init", at("torch.safetensors"), "--out", at("goes-on"))
        moved = load_file(at("goes-on/model.safetensors"))["fc.weight"] - module.fc.weight.detach()

    print(f"trained by imaml, loaded in torch: logits differ by a relative {there:.1e}")
    print(f"saved by torch, read by imaml:     logits differ by a relative {back:.1e}")
    print(f"trained one step from torch's:     fc.weight moved by at most {moved.abs().max():.1e}")
    # Some hundred single-precision roundings: sums of 144 products a layer, five layers.
    raise SystemExit(0 if max(there, back) < 1e-5 and 0 < moved.abs().max() < 0.1 else 1)


if __name__ == "__main__":
    main()
