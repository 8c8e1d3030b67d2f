"""PyTorch: eager with double backward, task by task; and torch.func with vmap over tasks.

    G(φ, θ) = L(φ) + ½λ‖φ − θ‖²        (I + H/λ) g = ∂f/∂φ by exactly N iterations of CG from zero
"""

from __future__ import annotations

import time
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad, grad_and_value, vjp, vmap

import model
from job import Episodes, Job

Parameters = dict[str, Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu, "softplus": F.softplus,
}


def forward(spec: model.Spec, p: Parameters, x: Tensor, under_vmap: bool) -> Tensor:
    """Logits or predictions. Batch norm with batch statistics."""
    act = ACTIVATIONS[spec.act]
    if isinstance(spec, model.Mlp):
        layers = len(spec.widths) - 1
        for i in range(1, layers + 1):
            x = F.linear(x, p[f"fc{i}.weight"], p[f"fc{i}.bias"])
            x = act(x) if i < layers else x
        return x
    for i in range(1, 5):
        x = F.conv2d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], stride=spec.stride, padding=1)
        gamma, beta = p[f"bn{i}.weight"], p[f"bn{i}.bias"]
        if under_vmap:
            mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
            x = (x - mean) * torch.rsqrt(var + 1e-5) * gamma.view(1, -1, 1, 1) + beta.view(1, -1, 1, 1)
        else:
            x = F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
        x = act(x)
        x = F.max_pool2d(x, 2) if spec.pool else x
    return F.linear(x.flatten(1), p["fc.weight"], p["fc.bias"])


def loss(spec: model.Spec, p: Parameters, x: Tensor, y: Tensor, under_vmap: bool) -> Tensor:
    out = forward(spec, p, x, under_vmap)
    return F.cross_entropy(out, y) if spec.classifies else F.mse_loss(out, y)


def dot(a: Parameters, b: Parameters) -> Tensor:
    return sum((a[k] * b[k]).sum() for k in a)  # type: ignore[return-value]


def axpy(a: Tensor | float, x: Parameters, y: Parameters) -> Parameters:
    return {k: y[k] + a * x[k] for k in y}


def conjugate_gradients(product: Callable[[Parameters], Parameters], b: Parameters, n: int) -> Parameters:
    """Exactly n iterations from zero."""
    x = {k: torch.zeros_like(v) for k, v in b.items()}
    r, p = dict(b), dict(b)
    rr = dot(r, r)
    for _ in range(n):
        ap = product(p)
        alpha = rr / dot(p, ap)
        x, r = axpy(alpha, p, x), axpy(-alpha, ap, r)
        next_rr = dot(r, r)
        p, rr = axpy(next_rr / rr, p, r), next_rr
    return x


class Peer:
    """One of the two ways; `run` returns the mean gradient over tasks, or the Hessian products."""

    def __init__(self, job: Job, under_vmap: bool):
        self.job, self.under_vmap = job, under_vmap
        episodes = Episodes.read(job)
        self.spec = episodes.spec
        self.theta = {k: torch.from_numpy(v) for k, v in episodes.theta.items()}
        self.vectors = {k: torch.from_numpy(v) for k, v in episodes.vectors.items()}
        self.tasks = tuple(torch.from_numpy(a) for a in (*episodes.support, *episodes.query))

        self.threads = job.threads

    def warm_up(self) -> None:
        """On small networks one thread is faster than several: takes whichever is."""
        seconds = {}
        for threads in {1, self.job.threads}:
            torch.set_num_threads(threads)
            self.run()
            start = time.perf_counter()
            self.run()
            seconds[threads] = time.perf_counter() - start
        self.threads = min(seconds, key=lambda threads: seconds[threads])
        torch.set_num_threads(self.threads)

    def versions(self) -> str:
        return f"PyTorch {torch.__version__}, threads: {self.threads}"

    def run(self) -> Parameters:
        return self._vmapped() if self.under_vmap else self._eager()

    def answer(self) -> dict[str, np.ndarray]:
        return {k: v.detach().numpy() for k, v in self.run().items()}

    # Eager: a loop over tasks, torch.autograd.grad with create_graph.

    def _loss(self, p: Parameters, x: Tensor, y: Tensor) -> Tensor:
        return loss(self.spec, p, x, y, self.under_vmap)

    def _grad(self, value: Tensor, p: Parameters, **kwargs: object) -> Parameters:
        return dict(zip(p, torch.autograd.grad(value, list(p.values()), **kwargs)))

    def _eager(self) -> Parameters:
        count = len(self.tasks[0])
        total = None
        for i in range(count):
            g = self._eager_task(*(part[i] for part in self.tasks))
            total = g if total is None else axpy(1.0, g, total)
        assert total is not None
        return {k: v / count for k, v in total.items()}

    def _eager_task(self, sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Parameters:
        job = self.job
        theta = {k: v.detach().requires_grad_() for k, v in self.theta.items()}
        if job.command == "grad":
            return self._grad(self._loss(theta, sx, sy), theta)
        if job.command == "hvp":
            g = self._grad(self._loss(theta, sx, sy), theta, create_graph=True)
            count = len(next(iter(self.vectors.values())))
            products = [self._grad_of(g, theta, {k: v[j] for k, v in self.vectors.items()}) for j in range(count)]
            return {k: torch.stack([p[k] for p in products]) for k in theta}
        if job.method == "maml":
            phi: Parameters = theta
            for _ in range(job.steps):
                phi = axpy(-job.rate, self._grad(self._loss(phi, sx, sy), phi, create_graph=True), phi)
            return self._grad(self._loss(phi, qx, qy), theta)
        phi = theta
        for _ in range(job.steps):
            g = self._grad(self._loss(phi, sx, sy), phi)
            with torch.no_grad():
                if job.method == "imaml":
                    g = {k: g[k] + job.lam * (phi[k] - theta[k]) for k in g}
                phi = axpy(-job.rate, g, phi)
            phi = {k: v.requires_grad_() for k, v in phi.items()}
        if job.method == "reptile":
            return {k: (theta[k] - phi[k]).detach() for k in theta}
        v = self._grad(self._loss(phi, qx, qy), phi)
        if job.method == "fomaml":
            return v
        g = self._grad(self._loss(phi, sx, sy), phi, create_graph=True)
        return conjugate_gradients(lambda p: axpy(1 / job.lam, self._grad_of(g, phi, p), p), v, job.cg)

    def _grad_of(self, g: Parameters, at: Parameters, v: Parameters) -> Parameters:
        """H v: the gradient of ⟨∇L, v⟩, through the graph of ∇L that is kept."""
        out = torch.autograd.grad(list(g.values()), list(at.values()), list(v.values()), retain_graph=True)
        return dict(zip(at, out))

    # torch.func: the same as a function of one task, mapped over tasks.

    def _vmapped(self) -> Parameters:
        each = vmap(self._task, in_dims=(None, 0, 0, 0, 0))(self.theta, *self.tasks)
        return {k: v.mean(0).detach() for k, v in each.items()}

    def _task(self, theta: Parameters, sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Parameters:
        job = self.job
        gradient = grad(self._loss)
        if job.command == "grad":
            return gradient(theta, sx, sy)
        if job.command == "hvp":
            _, pullback = vjp(lambda p: gradient(p, sx, sy), theta)
            return vmap(lambda v: pullback(v)[0])(self.vectors)
        if job.method == "maml":
            def adapted(theta: Parameters) -> Tensor:
                phi = theta
                for _ in range(job.steps):
                    phi = axpy(-job.rate, gradient(phi, sx, sy), phi)
                return self._loss(phi, qx, qy)

            return grad_and_value(adapted)(theta)[0]
        phi = theta
        for _ in range(job.steps):
            g = gradient(phi, sx, sy)
            if job.method == "imaml":
                g = {k: g[k] + job.lam * (phi[k] - theta[k]) for k in g}
            phi = axpy(-job.rate, g, phi)
        if job.method == "reptile":
            return {k: theta[k] - phi[k] for k in theta}
        v = gradient(phi, qx, qy)
        if job.method == "fomaml":
            return v
        _, pullback = vjp(lambda p: gradient(p, sx, sy), phi)
        return conjugate_gradients(lambda p: axpy(1 / job.lam, pullback(p)[0], p), v, job.cg)
