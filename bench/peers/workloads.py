"""The standard workloads as episode files: random tasks, PyTorch's initialisation, the same every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import model
from job import Job


@dataclass(frozen=True)
class Workload:
    """A model and how many tasks of which size."""

    spec: str
    tasks: int
    support: int
    query: int
    maml_rate: float
    imaml_rate: float
    maml: tuple[int, ...] = (5,)
    """Inner steps of MAML, each measured."""
    imaml: tuple[tuple[int, int], ...] = ((16, 5),)
    """Inner steps and CG iterations of iMAML."""

    def in_words(self) -> str:
        """As README has it."""
        return f"{self.tasks} task{'s' if self.tasks > 1 else ''} of {self.support} + {self.query} on `{self.spec}`"


C5 = "conv4:channels=64,stride=2,ways=5,image=1x28x28"
WORKLOADS = {
    "S": Workload("mlp:1-40-40-1", 25, 10, 10, 0.01, 0.01, (1, 5, 20, 100), ((16, 5), (100, 20))),
    "C5": Workload(C5, 32, 5, 5, 0.4, 0.1),
    "C5q15": Workload(C5, 8, 5, 75, 0.4, 0.1),
    "C20": Workload(C5.replace("ways=5", "ways=20"), 4, 100, 100, 0.4, 0.1),
    "M": Workload("conv4:channels=32,pool,ways=5,image=3x84x84", 1, 5, 75, 0.01, 0.1),
}


def write(workload: Workload, path: Path, directions: int = 2) -> None:
    """Classes are noise around a prototype each; sinusoids are those of MAML's section 5.1."""
    rng = np.random.default_rng(0)
    spec = model.parse(workload.spec)
    arrays: dict[str, np.ndarray] = {}
    for name, shape in spec.shapes().items():
        if name.startswith("bn"):
            value = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            weight = spec.shapes()[name.rsplit(".", 1)[0] + ".weight"]
            bound = 1 / np.sqrt(np.prod(weight[1:]))
            value = rng.uniform(-bound, bound, shape)
        arrays[f"param.{name}"] = value.astype(np.float32)
        arrays[f"vector.{name}"] = rng.standard_normal((directions, *shape)).astype(np.float32)
    for kind, rows in (("support", workload.support), ("query", workload.query)):
        task_rng = np.random.default_rng(1)  # the same prototypes and curves for both sets
        if spec.classifies:
            prototypes = task_rng.uniform(0, 1, (workload.tasks, spec.outputs(), *spec.row()))
            labels = np.arange(rows) % spec.outputs()
            noise = rng.normal(0, 0.3, (workload.tasks, rows, *spec.row()))
            x = prototypes[:, labels] + noise
            y: np.ndarray = np.broadcast_to(labels, (workload.tasks, rows)).astype(np.int64)
        else:
            amplitude = task_rng.uniform(0.1, 5, (workload.tasks, 1, 1))
            phase = task_rng.uniform(0, np.pi, (workload.tasks, 1, 1))
            x = rng.uniform(-5, 5, (workload.tasks, rows, 1))
            y = (amplitude * np.sin(x - phase)).astype(np.float32)
        arrays[f"{kind}.x"] = x.astype(np.float32)
        arrays[f"{kind}.y"] = np.ascontiguousarray(y)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path)


def jobs(name: str, file: str, threads: int) -> dict[str, Job]:
    """What is timed on a workload, by name."""
    w = WORKLOADS[name]
    base = Job(file, w.spec, "grad", threads=threads)
    found = {"gradient": base, "hvp": replace(base, command="hvp")}
    maml = replace(base, command="metagrad", method="maml", rate=w.maml_rate)
    found |= {f"MAML {steps}": replace(maml, steps=steps) for steps in w.maml}
    imaml = replace(base, command="metagrad", method="imaml", rate=w.imaml_rate, lam=2.0)
    return found | {f"iMAML {steps}/{cg}": replace(imaml, steps=steps, cg=cg) for steps, cg in w.imaml}
