"""Model specs, as `imaml --model` reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mlp:
    """mlp:1-40-40-1 - fully connected layers fc1, fc2, ...; mean squared error."""

    widths: tuple[int, ...]
    act: str

    @property
    def classifies(self) -> bool:
        return False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes of a state_dict."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (inputs, outputs) in enumerate(zip(self.widths, self.widths[1:]), start=1):
            shapes[f"fc{i}.weight"] = (outputs, inputs)
            shapes[f"fc{i}.bias"] = (outputs,)
        return shapes

    def row(self) -> tuple[int, ...]:
        """Shape of one input in a file."""
        return (self.widths[0],)

    def outputs(self) -> int:
        return self.widths[-1]


@dataclass(frozen=True)
class Conv4:
    """conv4:channels=64,stride=2,ways=5,image=1x28x28 - four of conv 3x3, batch norm, activation; softmax cross-entropy."""

    channels: int
    ways: int
    stride: int
    pool: bool
    image: tuple[int, int, int]
    act: str

    @property
    def classifies(self) -> bool:
        return True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes of a state_dict."""
        shapes: dict[str, tuple[int, ...]] = {}
        inputs, height, width = self.image
        for i in range(1, 5):
            shapes[f"conv{i}.weight"] = (self.channels, inputs, 3, 3)
            shapes[f"conv{i}.bias"] = (self.channels,)
            shapes[f"bn{i}.weight"] = (self.channels,)
            shapes[f"bn{i}.bias"] = (self.channels,)
            height, width = (height - 1) // self.stride + 1, (width - 1) // self.stride + 1
            if self.pool:
                height, width = height // 2, width // 2
            inputs = self.channels
        shapes["fc.weight"] = (self.ways, self.channels * height * width)
        shapes["fc.bias"] = (self.ways,)
        return shapes

    def row(self) -> tuple[int, ...]:
        """Shape of one input in a file."""
        return self.image

    def outputs(self) -> int:
        return self.ways


Spec = Mlp | Conv4


def parse(spec: str) -> Spec:
    """Reads a spec; raises ValueError in one line."""
    kind, _, rest = spec.partition(":")
    parts = rest.split(",")
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    act = options.get("act", "relu")
    if kind == "mlp":
        return Mlp(tuple(int(width) for width in parts[0].split("-")), act)
    if kind == "conv4":
        channels, height, width = (int(n) for n in options["image"].split("x"))
        pool = "pool" in parts
        stride = 1 if pool else int(options["stride"])
        return Conv4(int(options["channels"]), int(options["ways"]), stride, pool, (channels, height, width), act)
    raise ValueError(f"unknown model {spec}")
