"""Contenders that take turns: `imaml` as a command, each peer as a worker process."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from job import Job

HERE = Path(__file__).parent
PYTHON_PEERS = ("torch-eager", "torch-vmap", "jax-vmap", "jax-map")


class Failed(Exception):
    """A contender that cannot take part; one line."""


@dataclass
class Memory:
    """Bytes: the peak of the process, and that above what it held before its first run."""

    peak: int
    above: int | None


class Imaml:
    """`imaml ... --repeat N --json`, a process a turn, as a user runs it."""

    name = "imaml"

    def __init__(self, job: Job, binary: str):
        self.job, self.binary = job, binary
        self.summary: dict = {}

    def _run(self, *more: str) -> dict:
        done = subprocess.run([self.binary, *self.job.arguments(), "--json", *more], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return json.loads(done.stdout)

    def run(self, times: int) -> list[float]:
        self.summary = self._run("--repeat", str(times))
        return self.summary["seconds"]

    def answer(self) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/answer.safetensors"
            self.summary = self._run("--out", out)
            return {k.split(".", 1)[1]: v for k, v in load_file(out).items() if "." in k}

    def close(self) -> Memory:
        # A process that parses a file and starts threads holds next to nothing before.
        return Memory(self.summary["peak_rss_bytes"], None)


class Worker:
    """A peer in a process that lives through all rounds; one that has not compiled and run once in `patience` seconds fails."""

    def __init__(self, name: str, job: Job, command: list[str], patience: float | None = None):
        self.name = name
        pipe = subprocess.PIPE
        # A file: who writes much to a pipe that is read at the end waits for its reader.
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*command, *job.flags()], stdin=pipe, stdout=pipe, stderr=self.log, text=True, cwd=HERE, env=with_libtorch()
        )
        if not select.select([self.process.stdout], [], [], patience)[0]:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{name}: no answer within {patience:.0f} s")
        hello = self._line()
        self.versions, self.before, self.first = hello["versions"], hello.get("before"), hello["first"]

    @staticmethod
    def python(name: str, job: Job, patience: float | None = None) -> "Worker":
        return Worker(name, job, [sys.executable, "worker.py", name], patience)

    def _line(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            error = (self.log.read().strip().splitlines() or ["it ended without a word"])[-1]
            raise Failed(f"{self.name}: {error}")
        return json.loads(line)

    def _ask(self, line: str) -> dict:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def run(self, times: int) -> list[float]:
        return self._ask(f"run {times}")["seconds"]

    def answer(self) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/answer.safetensors"
            self._ask(f"answer {out}")
            return load_file(out)

    def close(self) -> Memory:
        peak = self._ask("quit")["peak"]
        self.process.wait()
        return Memory(peak, peak - self.before if self.before is not None else None)


def with_libtorch() -> dict[str, str]:
    """The environment in which a program linked to this Python's libtorch finds it."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return dict(os.environ)
    return {**os.environ, "LD_LIBRARY_PATH": f"{Path(found.origin).parent / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"}


def imaml_binary(given: str | None) -> str:
    """The program: as given, or the release build of this repository, made if need be."""
    if given:
        return given
    root = HERE.parent.parent
    build = ["cargo", "build", "--release", "--locked", "-p", "imaml"]
    if subprocess.run(build, cwd=root).returncode != 0:
        raise SystemExit("compare: imaml does not build; give a program with --imaml")
    return str(root / "target/release/imaml")
