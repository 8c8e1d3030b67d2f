"""JAX: jit of the whole meta-gradient, scan over inner steps, `linearize` of the gradient once per solve; over tasks
either vmap or lax.map.

    G(φ, θ) = L(φ) + ½λ‖φ − θ‖²        (I + H/λ) g = ∂f/∂φ by exactly N iterations of CG from zero
"""

from __future__ import annotations

import os
from typing import Any, Callable

import numpy as np

import model
from job import Episodes, Job

Parameters = dict[str, Any]


def configure(threads: int) -> None:
    """Before jax is imported: the CPU client takes its threads from the process's affinity."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Peer:
    """`run` returns the mean gradient over tasks, or the Hessian products."""

    def __init__(self, job: Job, axis: str):
        configure(job.threads)
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", job.dtype == "f64")
        # In double precision XLA's default is double already; in single it must not fall below.
        jax.config.update("jax_default_matmul_precision", "highest")
        self.jax, self.job = jax, job
        episodes = Episodes.read(job)
        self.spec = episodes.spec
        # Inside, images are NHWC and kernels HWIO: the layouts that XLA's CPU convolutions are fastest in.
        self.theta = {k: inside(k, v) for k, v in episodes.theta.items()}
        self.vectors = {k: np.stack([inside(k, d) for d in v]) for k, v in episodes.vectors.items()}
        sx, qx = (images(self.spec, x) for x in (episodes.support[0], episodes.query[0]))
        self.tasks = (sx, episodes.support[1], qx, episodes.query[1])
        over = {"vmap": self._over_vmap, "map": self._over_map}[axis]
        self.compiled = jax.jit(over)

    def warm_up(self) -> None:
        """Compiles."""
        self.run()

    def versions(self) -> str:
        return f"JAX {self.jax.__version__}"

    def run(self) -> Parameters:
        return self.jax.block_until_ready(self.compiled(self.theta, self.vectors, *self.tasks))

    def answer(self) -> dict[str, np.ndarray]:
        stacked = self.job.command == "hvp"
        result = {k: np.asarray(v) for k, v in self.run().items()}
        return {k: np.stack([outside(k, d) for d in v]) if stacked else outside(k, v) for k, v in result.items()}

    def _over_vmap(self, theta: Parameters, vectors: Parameters, *tasks: Any) -> Parameters:
        each = self.jax.vmap(lambda *task: self._task(theta, vectors, *task))(*tasks)
        return {k: v.mean(0) for k, v in each.items()}

    def _over_map(self, theta: Parameters, vectors: Parameters, *tasks: Any) -> Parameters:
        each = self.jax.lax.map(lambda task: self._task(theta, vectors, *task), tasks)
        return {k: v.mean(0) for k, v in each.items()}

    def _forward(self, p: Parameters, x: Any) -> Any:
        jax, spec = self.jax, self.spec
        act = {
            "relu": jax.nn.relu, "tanh": jax.numpy.tanh, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus,
            "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        }[spec.act]
        if isinstance(spec, model.Mlp):
            layers = len(spec.widths) - 1
            for i in range(1, layers + 1):
                x = x @ p[f"fc{i}.weight"] + p[f"fc{i}.bias"]
                x = act(x) if i < layers else x
            return x
        for i in range(1, 5):
            x = jax.lax.conv_general_dilated(
                x, p[f"conv{i}.weight"], (spec.stride,) * 2, ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x + p[f"conv{i}.bias"]
            mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
            x = act((x - mean) * jax.lax.rsqrt(var + 1e-5) * p[f"bn{i}.weight"] + p[f"bn{i}.bias"])
            if spec.pool:
                x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
        return x @ p["fc.weight"] + p["fc.bias"]

    def _loss(self, p: Parameters, x: Any, y: Any) -> Any:
        jnp = self.jax.numpy
        out = self._forward(p, x)
        if not self.spec.classifies:
            return jnp.mean((out - y) ** 2)
        return -jnp.mean(jnp.take_along_axis(self.jax.nn.log_softmax(out), y[:, None], 1))

    def _task(self, theta: Parameters, vectors: Parameters, sx: Any, sy: Any, qx: Any, qy: Any) -> Parameters:
        jax, job = self.jax, self.job
        gradient = jax.grad(self._loss)
        add = lambda a, x, y: jax.tree.map(lambda x, y: y + a * x, x, y)  # noqa: E731
        if job.command == "grad":
            return gradient(theta, sx, sy)
        if job.command == "hvp":
            _, product = jax.linearize(lambda p: gradient(p, sx, sy), theta)
            return jax.vmap(product)(vectors)

        def descend(phi: Parameters, pull: Callable[[Parameters], Parameters]) -> Parameters:
            step = lambda phi, _: (add(-job.rate, pull(phi), phi), None)  # noqa: E731
            return jax.lax.scan(step, phi, None, length=job.steps)[0]

        if job.method == "maml":
            return jax.grad(lambda theta: self._loss(descend(theta, lambda p: gradient(p, sx, sy)), qx, qy))(theta)
        lam = job.lam if job.method == "imaml" else 0.0
        phi = descend(theta, lambda p: jax.tree.map(lambda g, p, t: g + lam * (p - t), gradient(p, sx, sy), p, theta))
        if job.method == "reptile":
            return add(-1.0, phi, theta)
        v = gradient(phi, qx, qy)
        if job.method == "fomaml":
            return v
        _, product = jax.linearize(lambda p: gradient(p, sx, sy), phi)
        return self._conjugate_gradients(lambda p: add(1 / lam, product(p), p), v)

    def _conjugate_gradients(self, product: Callable[[Parameters], Parameters], b: Parameters) -> Parameters:
        """Exactly N iterations from zero."""
        jax = self.jax
        dot = lambda a, b: sum(jax.numpy.vdot(a[k], b[k]) for k in a)  # noqa: E731
        add = lambda a, x, y: jax.tree.map(lambda x, y: y + a * x, x, y)  # noqa: E731

        def iterate(state: Any, _: None) -> Any:
            x, r, p, rr = state
            ap = product(p)
            alpha = rr / dot(p, ap)
            x, r = add(alpha, p, x), add(-alpha, ap, r)
            next_rr = dot(r, r)
            return (x, r, add(next_rr / rr, p, r), next_rr), None

        zero = jax.tree.map(jax.numpy.zeros_like, b)
        return jax.lax.scan(iterate, (zero, b, b, dot(b, b)), None, length=self.job.cg)[0][0]


def inside(name: str, v: np.ndarray) -> np.ndarray:
    """OIHW → HWIO, [out, in] → [in, out]."""
    if name.startswith("conv") and v.ndim == 4:
        return v.transpose(2, 3, 1, 0)
    return v.T if name.startswith("fc") and v.ndim == 2 else v


def outside(name: str, v: np.ndarray) -> np.ndarray:
    """The inverse of `inside`."""
    if name.startswith("conv") and v.ndim == 4:
        return v.transpose(3, 2, 0, 1)
    return v.T if name.startswith("fc") and v.ndim == 2 else v


def images(spec: model.Spec, x: np.ndarray) -> np.ndarray:
    """NCHW → NHWC, of all tasks."""
    return np.ascontiguousarray(x.transpose(0, 1, 3, 4, 2)) if isinstance(spec, model.Conv4) else x
