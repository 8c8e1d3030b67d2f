"""A contender in a process of its own: loads once, warms up once, then takes its turns.

Reads lines from standard input and answers each with a line of JSON: `run N` (N runs: seconds), `answer FILE` (writes
the result as safetensors), `quit` (peak memory).
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
from safetensors.numpy import save_file

from job import Job


def make(name: str, job: Job):  # noqa: ANN201 - one of two classes with the same methods
    if name.startswith("torch"):
        from torch_peer import Peer

        return Peer(job, under_vmap=name == "torch-vmap")
    from jax_peer import Peer as JaxPeer

    return JaxPeer(job, axis=name.removeprefix("jax-"))


def resident() -> int:
    """Bytes resident now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    job = Job.from_flags(sys.argv[2:])
    peer = make(sys.argv[1], job)
    before = resident()
    start = time.perf_counter()
    peer.warm_up()
    first = time.perf_counter() - start
    say({"versions": peer.versions(), "before": before, "first": first})
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "run":
            seconds = []
            for _ in range(int(argument)):
                start = time.perf_counter()
                peer.run()
                seconds.append(time.perf_counter() - start)
            say({"seconds": seconds})
        elif command == "answer":
            save_file({k: np.ascontiguousarray(v) for k, v in peer.answer().items()}, argument)
            say({})
        else:
            say({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})
            return


def say(answer: dict) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
