"""Speed and memory of imaml beside PyTorch, JAX and a Rust peer, on the same episode files in one interleaved run.

    python compare.py [--workloads S,C5] [--only "iMAML 16/5"] [--rounds 5] [--patience 300] [--threads 2] [--markdown | --readme]

What was measured is left in results.json, of which readme.py makes README's table: `--readme` does so at once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import readme
from contenders import HERE, PYTHON_PEERS, Failed, Imaml, Worker, imaml_binary
from job import Job, relative_error
from workloads import WORKLOADS, jobs, write

COLUMNS = ("work", "contender", "min ms", "median ms", "ratio", "% of peak", "peak MB", "above MB", "difference")


def rust_binary(folder: str, name: str) -> str | None:
    """A program of the folder rust/ or tch/, built if need be; none where it does not build."""
    build = ["cargo", "build", "--release", "--locked", "--bin", name]
    # tch takes libtorch from this Python's torch.
    environment = {**os.environ, "LIBTORCH_USE_PYTORCH": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if subprocess.run(build, cwd=HERE / folder, capture_output=True, env=environment).returncode != 0:
        print(f"compare: {folder}/ does not build here: no {name}", file=sys.stderr)
        return None
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE / folder / "target"))
    return str(target / "release" / name)


def peak(threads: int) -> float | None:
    """FLOP/s of f32 multiply-adds on that many threads."""
    binary = rust_binary("rust", "peak")
    if binary is None:
        return None
    return json.loads(subprocess.check_output([binary, str(threads)], text=True))["all_threads"]


def rust_peers() -> dict[str, str]:
    """The Rust contenders for Hessian-vector products that build here."""
    found = {"burn": rust_binary("rust", "burn_hvp"), "tch": rust_binary("tch", "tch_hvp")}
    return {name: path for name, path in found.items() if path}


def compare(
    work: str, job: Job, binary: str, rust: dict[str, str], rounds: int, patience: float, flops_peak: float | None
) -> list[tuple]:
    """One piece of work: all contenders, in turns."""
    contenders: list = [Imaml(job, binary)]
    starts = [lambda name=name: Worker.python(name, job, patience) for name in PYTHON_PEERS]
    if job.command == "hvp":
        starts += [lambda name=name, path=path: Worker(name, job, [path], patience) for name, path in rust.items()]
    for start in starts:
        try:
            contenders.append(start())
        except Failed as reason:
            print(f"compare: {work}: left out: {reason}", file=sys.stderr)
    ours = contenders[0].answer()
    # A turn is long enough to time, some half a second, and no longer.
    times = {c: max(1, min(200, int(0.5 / min(c.run(1))))) for c in contenders}
    seconds: dict = {c: [] for c in contenders}
    for _ in range(rounds):
        for c in contenders:
            seconds[c].append(min(c.run(times[c])))
    rows = []
    for c in contenders:
        error = relative_error(c.answer(), ours) if c is not contenders[0] else 0.0
        memory = c.close()
        best = min(seconds[c])
        ratio = statistics.median(theirs / own for theirs, own in zip(seconds[c], seconds[contenders[0]]))
        share = f"{100 * contenders[0].summary['flops'] / best / flops_peak:.0f}" if flops_peak else "-"
        above = f"{memory.above / 1e6:.0f}" if memory.above is not None else "-"
        rows.append((
            work, c.name, f"{1e3 * best:.3g}", f"{1e3 * statistics.median(seconds[c]):.3g}", f"{ratio:.2f}", share,
            f"{memory.peak / 1e6:.0f}", above, f"{error:.0e}" if error else "-",
        ))  # fmt: skip
        show(rows[-1])
    return rows


def show(row: tuple) -> None:
    widths = (16, 12, 9, 10, 7, 10, 8, 9, 11)
    print("".join(f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths))), flush=True)


def machine(isa: str) -> str:
    """Where this ran."""
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {cpu} ({isa}), {memory:.0f} GiB, {platform.system()}"


def versions(rust: dict[str, str]) -> list[str]:
    """Of Rust and of every peer that took part."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()
    packages = [f"{name} {found}" for name, package in (("PyTorch", "torch"), ("JAX", "jax")) if (found := version(package))]
    crates = [f"{name} {locked(HERE / folder / 'Cargo.lock', name)}" for name, folder in (("burn", "rust"), ("tch", "tch")) if name in rust]
    return [f"Rust {rustc[1] if rustc else '?'}", *packages, *crates]


def locked(lock: Path, crate: str) -> str:
    """The version of a crate in a lock file."""
    packages = tomllib.loads(lock.read_text())["package"]
    return next(package["version"] for package in packages if package["name"] == crate)


def commit() -> str:
    """What is measured; `-dirty` where files differ from it."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(describe, cwd=HERE, capture_output=True, text=True).stdout.strip() or "unknown"


def version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="S,C5", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--only", help="one piece of work, such as hvp, MAML 5 or iMAML 16/5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=300, help="seconds for a peer to compile and run once")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--imaml", help="the program [default: a release build of this repository]")
    parser.add_argument("--cache", type=Path, default=HERE / "cache", help="folder for episode files")
    parser.add_argument("--markdown", action="store_true", help="print the table again as Markdown, with how it was made")
    parser.add_argument("--readme", action="store_true", help="put it into README.md as well")
    args = parser.parse_args()
    if not args.patience > 0:
        raise SystemExit(f"compare: --patience is {args.patience:g}: expected seconds, more than 0")
    unknown = [name for name in args.workloads.split(",") if name not in WORKLOADS]
    if unknown:
        raise SystemExit(f"compare: no workload {unknown[0]}: expected some of {', '.join(WORKLOADS)}")
    works = dict.fromkeys(work for name in args.workloads.split(",") for work in jobs(name, "", 1))
    if args.only and args.only not in works:
        raise SystemExit(f"compare: no work {args.only} on {args.workloads}: expected one of {', '.join(works)}")
    binary, rust = imaml_binary(args.imaml), rust_peers()
    flops_peak = peak(args.threads)
    show(COLUMNS)
    rows, isa = [], ""
    for name in args.workloads.split(","):
        file = args.cache / f"{name}.safetensors"
        if not file.exists():
            write(WORKLOADS[name], file)
        for work, job in jobs(name, str(file.resolve()), args.threads).items():
            if args.only in (None, work):
                rows += compare(f"{name} {work}", job, binary, rust, args.rounds, args.patience, flops_peak)
                isa = json.loads(subprocess.check_output([binary, *job.arguments(), "--json"], text=True))["isa"]
    asked = args.workloads.split(",")
    results = {
        "command": f"python bench/peers/compare.py {shlex.join(sys.argv[1:])}".strip(),
        "machine": machine(isa),
        "versions": versions(rust),
        "threads": args.threads,
        "rounds": args.rounds,
        "peak": flops_peak,
        "commit": commit(),
        "workloads": {name: WORKLOADS[name].in_words() for name in asked},
        "rows": rows,
    }
    readme.RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{results['machine']}, {args.threads} threads, {', '.join(results['versions'])}, commit {results['commit']}")
    if flops_peak:
        print(f"100 % is {flops_peak / 1e9:.0f} GFLOP/s, measured")
    if args.markdown:
        print("\n" + readme.block(results))
    if args.readme:
        readme.write(results)


if __name__ == "__main__":
    main()
