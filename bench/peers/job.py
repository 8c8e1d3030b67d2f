"""What is asked of every contender: an episode file and one derivative of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load_file

import model


@dataclass(frozen=True)
class Job:
    """`imaml grad | hvp | metagrad FILE --model SPEC ...`, as one value."""

    file: str
    spec: str
    command: str
    dtype: str = "f32"
    method: str = ""
    steps: int = 0
    rate: float = 0.0
    lam: float = 0.0
    cg: int = 0
    threads: int = 2

    def arguments(self) -> list[str]:
        """The command line of imaml."""
        line = [self.command, self.file, "--model", self.spec, "--dtype", self.dtype, "--threads", str(self.threads)]
        if self.command == "metagrad":
            line += ["--method", self.method, "--inner-steps", str(self.steps), "--inner-lr", repr(self.rate)]
            if self.method == "imaml":
                line += ["--lambda", repr(self.lam), "--cg-steps", str(self.cg)]
        return line

    def flags(self) -> list[str]:
        """The command line of a worker."""
        fields = vars(self).items()
        return [f"--{name}={value}" for name, value in fields if value not in ("", None)]

    @staticmethod
    def from_flags(arguments: list[str]) -> "Job":
        parser = argparse.ArgumentParser()
        for name, kind in Job.__annotations__.items():
            kinds = {"str": str, "int": int, "float": float}
            parser.add_argument(f"--{name}", type=kinds[kind], default=getattr(Job, name, None))
        return Job(**vars(parser.parse_args(arguments)))


@dataclass
class Episodes:
    """The contents of an episode file as numpy arrays, in PyTorch's conventions."""

    spec: model.Spec
    theta: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    support: tuple[np.ndarray, np.ndarray]
    query: tuple[np.ndarray, np.ndarray]

    @staticmethod
    def read(job: Job) -> "Episodes":
        arrays = load_file(job.file)
        real = {"f32": np.float32, "f64": np.float64}[job.dtype]

        def cast(a: np.ndarray) -> np.ndarray:
            return a.astype(np.int64 if a.dtype.kind == "i" else real)

        def under(prefix: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(prefix): cast(v) for k, v in arrays.items() if k.startswith(prefix)}

        sets = [tuple(cast(arrays[f"{kind}.{part}"]) for part in "xy") for kind in ("support", "query")]
        return Episodes(model.parse(job.spec), under("param."), under("vector."), sets[0], sets[1])


def relative_error(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """‖a − b‖ / ‖b‖ over all parameters."""
    assert a.keys() == b.keys(), "the same parameters"
    square = sum(float(np.sum((a[k].astype(np.float64).reshape(b[k].shape) - b[k]) ** 2)) for k in b)
    size = sum(float(np.sum(b[k].astype(np.float64) ** 2)) for k in b)
    return (square / size) ** 0.5
