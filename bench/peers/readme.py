"""README's table of speed, from what the last run of `compare.py` measured: text, machine, versions, threads, commit.

    python readme.py            # prints it
    python readme.py --write    # puts it into README.md, between its two marks

`compare.py --readme` measures and writes. Nothing here measures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
README = HERE.parent.parent / "README.md"
BEGIN, END = "<!-- speed: written by bench/peers/compare.py --readme -->", "<!-- speed: end -->"
PEERS = ("torch-eager", "torch-vmap", "jax-vmap", "jax-map", "burn", "tch")


def table(rows: list[list[str]]) -> str:
    """A row for each piece of work: our time, how many times as long each peer takes, our share of the peak, memory."""
    lines = [f"| work | imaml ms | {' | '.join(PEERS)} | imaml % of peak | peak MB: imaml, PyTorch, JAX |"]
    lines.append("|---" * (len(PEERS) + 4) + "|")
    for work in dict.fromkeys(row[0] for row in rows):
        of = {row[1]: row for row in rows if row[0] == work}
        ratios = [f"{float(of[name][4]):.1f}×" if name in of else "–" for name in PEERS]
        least = [min((float(of[n][6]) for n in of if n.startswith(kind)), default=None) for kind in ("torch", "jax")]
        memory = ", ".join([of["imaml"][6], *("–" if peak is None else f"{peak:.0f}" for peak in least)])
        lines.append(f"| {work} | {of['imaml'][2]} | {' | '.join(ratios)} | {of['imaml'][5]} | {memory} |")
    return "\n".join(lines)


def block(results: dict) -> str:
    """What README says: how it was measured, and the table."""
    machine, rounds = results["machine"], results["rounds"]
    peak = f"{results['peak'] / 1e9:.0f} GFLOP/s of multiply-adds measured in the same run, " if results["peak"] else ""
    works = "; ".join(f"{name}: {text}" for name, text in results["workloads"].items())
    return "\n".join((
        BEGIN,
        "**Beside peers**, single precision, in one interleaved run (how many times as long as imaml each takes, median over",
        f"rounds): `{results['command']}`",
        f"on {machine}, {peak}{results['threads']} threads, {rounds} round{'s' if rounds > 1 else ''},",
        f"{', '.join(results['versions'])}, at commit {results['commit']}.",
        f"{works}; hvp is two directions.",
        "",
        table(results["rows"]),
        "",
        END,
    ))  # fmt: skip


def write(results: dict, readme: Path = README) -> None:
    """Replaces what is between the marks."""
    text = readme.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"readme: {readme} needs one line {BEGIN!r} and after it one line {END!r}: put them back")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    readme.write_text(before + block(results) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="what compare.py wrote")
    parser.add_argument("--write", action="store_true", help="into README.md")
    args = parser.parse_args()
    if not args.results.exists():
        raise SystemExit(f"readme: no {args.results}: run compare.py first")
    results = json.loads(args.results.read_text())
    print(block(results))
    if args.write:
        write(results)


if __name__ == "__main__":
    main()
