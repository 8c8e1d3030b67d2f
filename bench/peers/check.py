"""Agreement in double precision: imaml, PyTorch and JAX on the goldens and on small episodes made here.

    python check.py [--imaml PATH] [--golden FOLDER] [--all]

Exit status 1 where two differ by more than 1e-10, relative over the whole vector.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Iterator

from contenders import HERE, PYTHON_PEERS, Failed, Imaml, Worker, imaml_binary
from job import Job, relative_error
from workloads import WORKLOADS, jobs, write

BOUND = 1e-10


def goldens(folder: Path) -> Iterator[tuple[str, Job]]:
    """What the golden files ask, solves to a tolerance apart: peers do exactly N iterations."""
    for asked in sorted(folder.glob("*.json")):
        content = json.loads(asked.read_text())
        base = Job(str(asked.with_suffix(".safetensors").resolve()), content["model"], "grad", dtype="f64")
        for answer in content["answers"]:
            if "cg_tol" in answer:
                continue
            yield f"{asked.stem} {answer['key']}", replace(
                base,
                command=answer["command"],
                method=answer.get("method", ""),
                steps=answer.get("inner_steps", 0),
                rate=answer.get("inner_lr", 0.0),
                lam=answer.get("lam") or 0.0,
                cg=answer.get("cg_steps", 0),
            )


def small(folder: Path) -> Iterator[tuple[str, Job]]:
    """Small cases of both kinds with other activations, made here."""
    for name, act in (("S", "tanh"), ("C5", "softplus"), ("C5", "gelu"), ("C5", "sigmoid")):
        workload = WORKLOADS[name]
        spec = workload.spec.replace("channels=64", "channels=6") + f",act={act}"
        workload = replace(workload, spec=spec, tasks=2)
        file = folder / f"{name}-{act}.safetensors"
        write(workload, file)
        for work, job in jobs(name, str(file), 2).items():
            yield f"{name} {act} {work}", replace(job, spec=spec, dtype="f64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--imaml", help="the program [default: a release build of this repository]")
    parser.add_argument("--golden", type=Path, default=HERE.parent.parent.parent / "shared/golden")
    parser.add_argument("--all", action="store_true", help="every variant of each peer")
    args = parser.parse_args()
    peers = PYTHON_PEERS if args.all else ("torch-eager", "jax-vmap")
    binary = imaml_binary(args.imaml)
    worst, missing = 0.0, set()
    with tempfile.TemporaryDirectory() as folder:
        for title, job in [*goldens(args.golden), *small(Path(folder))]:
            ours = Imaml(job, binary).answer()
            cells = []
            for name in peers:
                try:
                    peer = Worker.python(name, job)
                except Failed as reason:
                    missing.add(str(reason))
                    continue
                error = relative_error(peer.answer(), ours)
                peer.close()
                worst = max(worst, error)
                cells.append(f"{name} {error:.0e}" + (" DISAGREES" if error > BOUND else ""))
            print(f"{title:<34} {'   '.join(cells)}", flush=True)
    for reason in missing:
        print(f"check: left out: {reason}")
    print(f"largest difference {worst:.1e}, allowed {BOUND:.0e}")
    raise SystemExit(0 if worst <= BOUND else 1)


if __name__ == "__main__":
    main()
