"""Reference values and derivatives, to order 3, of every primitive: writes primitives.json beside this file.

    pip install mpmath && python generate.py

What is computed. A case fixes inputs x and a direction d; the reference is the curve t -> f(x + t d) at t = 0:

    orders[k] = d^k/dt^k f(x + t d) at t = 0,     k = 0, 1, 2, 3      (derivatives: not divided by k!)

How, so that nothing is shared with the engine under test. All arithmetic is mpmath at 50 digits. Unary functions use
derivatives in closed form, written down here by hand. Everything else is evaluated, by plain loops over indices, on
truncated Taylor series (`Jet`). Adjoints (input and weight gradients of a convolution) have loops of their own. Each case is
then compared with mpmath's numerical differentiation of the same curve, and the adjoints with <u, J v> = <J^T u, v>.

Inputs are doubles, taken exactly as they are; outputs are the doubles nearest to the results.

How close doubles can come. Products and sums cancel, so an element can be far smaller than its terms: measure the error of
an order against the largest element of that order. Saturating functions (tanh, sigmoid, softplus, erf, gelu) have their
tiny and large arguments in cases of their own: a rule such as 1 - y^2 is exact there to an absolute 1e-16 only.

The file is a JSON array with one case on each line:

    {"name": "sum", "attrs": {"axes": [1]},
     "inputs": [{"shape": [2, 3], "values": [...], "direction": [...]}, ...],
     "output_shape": [2], "orders": [[f], [f'], [f''], [f''']]}

Arrays are flat and row-major; a scalar has shape []. Attributes, by name:

    powi                  n
    broadcast, reshape    shape                 broadcast aligns shapes at the right, as NumPy does
    sum, max_axes, logsumexp    axes            reduced axes are dropped
    permute               axes                  axis i of the output is axis axes[i] of the input
    slice                 starts, ends          half-open, one per axis
    pad                   starts, shape         the operand begins at `starts` in zeros of `shape`
    concat                axis
    matmul                trans_a, trans_b      the last two axes of that operand are stored transposed
    conv2d                stride, pad           x [n,h,w,ci], w [kh,kw,ci,co]; a cross-correlation, zero padding on both sides
    conv2d_input_grad     stride, pad, in_h, in_w      inputs w, dy -> dx
    conv2d_weight_grad    stride, pad, kernel          inputs x, dy -> dw
    gather                indices, indices_shape       rows of x: output indices_shape + inner
    scatter_add           indices, indices_shape, rows     rows of c added into [rows] + inner
    max_pool, avg_pool    window, stride        NHWC, no padding, incomplete windows dropped
    softmax_cross_entropy labels                mean over rows
    batch_norm, layer_norm    eps               inputs x, gamma, beta; biased variance; over all axes but the last, or over the last
    stop_gradient         (none)                f(x) = x * stop_gradient(x)
    select                (none)                inputs x, y, a, b -> a where x < y, else b
"""

import json
import random
from collections import Counter
from itertools import product
from math import prod
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50
ORDERS = 4


# ---------------------------------------------------------------------------------------------------------------------
# Truncated Taylor series
# ---------------------------------------------------------------------------------------------------------------------


class Jet:
    """c[0] + c[1] t + c[2] t^2 + c[3] t^3 + O(t^4)."""

    __slots__ = ("c",)

    def __init__(self, c):
        self.c = c

    @staticmethod
    def lift(x):
        return x if isinstance(x, Jet) else Jet([mpf(x)] + [mpf(0)] * (ORDERS - 1))

    def __add__(self, other):
        return Jet([a + b for a, b in zip(self.c, Jet.lift(other).c)])

    def __neg__(self):
        return Jet([-a for a in self.c])

    def __sub__(self, other):
        return self + -Jet.lift(other)

    def __mul__(self, other):
        a, b = self.c, Jet.lift(other).c
        return Jet([mp.fsum(a[j] * b[k - j] for j in range(k + 1)) for k in range(ORDERS)])

    def __truediv__(self, other):
        """q b = a, solved coefficient by coefficient."""
        a, b = self.c, Jet.lift(other).c
        q = []
        for k in range(ORDERS):
            q.append((a[k] - mp.fsum(q[j] * b[k - j] for j in range(k))) / b[0])
        return Jet(q)

    __radd__ = __add__
    __rmul__ = __mul__


def exp(x):
    """e' = a' e."""
    if not isinstance(x, Jet):
        return mp.exp(x)
    a, e = x.c, [mp.exp(x.c[0])]
    for k in range(1, ORDERS):
        e.append(mp.fsum(j * a[j] * e[k - j] for j in range(1, k + 1)) / k)
    return Jet(e)


def ln(x):
    """a l' = a'."""
    if not isinstance(x, Jet):
        return mp.log(x)
    a, l = x.c, [mp.log(x.c[0])]
    for k in range(1, ORDERS):
        l.append((a[k] - mp.fsum(j * l[j] * a[k - j] for j in range(1, k)) / k) / a[0])
    return Jet(l)


def sqrt(x):
    """s s = a."""
    if not isinstance(x, Jet):
        return mp.sqrt(x)
    a, s = x.c, [mp.sqrt(x.c[0])]
    for k in range(1, ORDERS):
        s.append((a[k] - mp.fsum(s[j] * s[k - j] for j in range(1, k))) / (2 * s[0]))
    return Jet(s)


def primal(x):
    return x.c[0] if isinstance(x, Jet) else x


def total(terms):
    """The sum of a possibly empty sequence of numbers."""
    result = None
    for term in terms:
        result = term if result is None else result + term
    return mpf(0) if result is None else result


# ---------------------------------------------------------------------------------------------------------------------
# Arrays: a shape and a flat row-major list
# ---------------------------------------------------------------------------------------------------------------------


class Array:
    def __init__(self, shape, flat):
        self.shape, self.flat = tuple(shape), list(flat)
        assert prod(self.shape) == len(self.flat)

    def __getitem__(self, index):
        assert len(index) == len(self.shape)
        offset = 0
        for i, n in zip(index, self.shape):
            assert 0 <= i < n
            offset = offset * n + i
        return self.flat[offset]

    @staticmethod
    def build(shape, entry):
        """The array whose entry at each index is entry(index)."""
        return Array(shape, [entry(index) for index in indices(shape)])


def indices(shape):
    return product(*map(range, shape))


# ---------------------------------------------------------------------------------------------------------------------
# Unary functions: the value and three derivatives in closed form
# ---------------------------------------------------------------------------------------------------------------------


def softplus_value(x):
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def sigmoid_value(x):
    return 1 / (1 + mp.exp(-x))


def normal_density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def tanh_rule(x):
    """With s = sech^2 x and y = tanh x:  s,  -2 s y,  s (4 y^2 - 2 s)."""
    y, s = mp.tanh(x), mp.sech(x) ** 2
    return y, s, -2 * s * y, s * (4 * y * y - 2 * s)


def logistic_derivatives(x):
    """With p = s(x), q = s(-x):  p,  p q,  p q (q - p),  p q (1 - 6 p q)."""
    p, q = sigmoid_value(x), sigmoid_value(-x)
    return p, p * q, p * q * (q - p), p * q * (1 - 6 * p * q)


def erf_rule(x):
    g = 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)
    return mp.erf(x), g, -2 * x * g, (4 * x * x - 2) * g


def gelu_rule(x):
    """x P(x), with P the normal distribution function and g = P' its density, g' = -x g."""
    g = normal_density(x)
    return x * mp.ncdf(x), mp.ncdf(x) + x * g, (2 - x * x) * g, (x**3 - 4 * x) * g


def powi_rule(x, n):
    """The k-th derivative is n (n - 1) ... (n - k + 1) x^(n - k)."""
    out, factor = [], mpf(1)
    for k in range(ORDERS):
        out.append(factor * x ** (n - k) if factor else mpf(0))
        factor *= n - k
    return out


UNARY = {
    "neg": lambda x: (-x, mpf(-1), 0, 0),
    "recip": lambda x: (1 / x, -1 / x**2, 2 / x**3, -6 / x**4),
    "exp": lambda x: (mp.exp(x),) * 4,
    "expm1": lambda x: (mp.expm1(x),) + (mp.exp(x),) * 3,
    "ln": lambda x: (mp.log(x), 1 / x, -1 / x**2, 2 / x**3),
    "log1p": lambda x: (mp.log1p(x), 1 / (1 + x), -1 / (1 + x) ** 2, 2 / (1 + x) ** 3),
    "sqrt": lambda x: (mp.sqrt(x), 1 / (2 * mp.sqrt(x)), -1 / (4 * x * mp.sqrt(x)), 3 / (8 * x * x * mp.sqrt(x))),
    "sin": lambda x: (mp.sin(x), mp.cos(x), -mp.sin(x), -mp.cos(x)),
    "cos": lambda x: (mp.cos(x), -mp.sin(x), -mp.cos(x), mp.sin(x)),
    "tanh": tanh_rule,
    "sigmoid": logistic_derivatives,
    "softplus": lambda x: (softplus_value(x),) + logistic_derivatives(x)[:3],
    "relu": lambda x: (x, 1, 0, 0) if x > 0 else (0, 0, 0, 0),
    "abs": lambda x: (x, 1, 0, 0) if x > 0 else (-x, -1, 0, 0),
    "erf": erf_rule,
    "gelu": gelu_rule,
    "powi": powi_rule,
    "square": lambda x: (x * x, 2 * x, 2, 0),
}


# ---------------------------------------------------------------------------------------------------------------------
# Everything else, by loops over indices
# ---------------------------------------------------------------------------------------------------------------------


def zipped(f):
    """An elementwise function of arrays of one shape."""

    def apply(*arrays):
        assert len({a.shape for a in arrays}) == 1
        return Array(arrays[0].shape, [f(*entries) for entries in zip(*(a.flat for a in arrays))])

    return apply


def broadcast(x, shape):
    lead = len(shape) - len(x.shape)
    return Array.build(shape, lambda i: x[tuple(0 if n == 1 else j for j, n in zip(i[lead:], x.shape))])


def reduce_axes(x, axes, reduction):
    kept = [a for a in range(len(x.shape)) if a not in axes]
    groups = {}
    for i in indices(x.shape):
        groups.setdefault(tuple(i[a] for a in kept), []).append(x[i])
    return Array.build([x.shape[a] for a in kept], lambda i: reduction(groups[i]))


def largest(entries):
    return max(entries, key=primal)


def logsumexp(entries):
    return ln(total(exp(e) for e in entries))


def permute(x, axes):
    def entry(i):
        source = [0] * len(axes)
        for position, axis in zip(i, axes):
            source[axis] = position
        return x[tuple(source)]

    return Array.build([x.shape[a] for a in axes], entry)


def slice_(x, starts, ends):
    return Array.build([e - s for s, e in zip(starts, ends)], lambda i: x[tuple(s + j for s, j in zip(starts, i))])


def pad(x, starts, shape):
    def entry(i):
        source = tuple(j - s for s, j in zip(starts, i))
        return x[source] if all(0 <= j < n for j, n in zip(source, x.shape)) else mpf(0)

    return Array.build(shape, entry)


def concat(*arrays, axis):
    source = [(a, j) for a in arrays for j in range(a.shape[axis])]
    shape = list(arrays[0].shape)
    shape[axis] = len(source)

    def entry(i):
        array, j = source[i[axis]]
        return array[i[:axis] + (j,) + i[axis + 1 :]]

    return Array.build(shape, entry)


def matmul(a, b, trans_a, trans_b):
    def at(x, transposed, batch, row, column):
        return x[batch + ((column, row) if transposed else (row, column))]

    m, inner = reversed(a.shape[-2:]) if trans_a else a.shape[-2:]
    inner_b, n = reversed(b.shape[-2:]) if trans_b else b.shape[-2:]
    assert inner == inner_b and a.shape[:-2] == b.shape[:-2]

    def entry(i):
        batch, row, column = i[:-2], i[-2], i[-1]
        return total(at(a, trans_a, batch, row, k) * at(b, trans_b, batch, k, column) for k in range(inner))

    return Array.build(a.shape[:-2] + (m, n), entry)


def conv_extent(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def conv2d(x, w, stride, pad):
    """y[n,i,j,o] = sum over p, q, c of x[n, i sh + p - ph, j sw + q - pw, c] w[p,q,c,o]."""
    (n, h, wd, ci), (kh, kw, _, co) = x.shape, w.shape
    (sh, sw), (ph, pw) = stride, pad

    def entry(i):
        b, oi, oj, o = i
        return total(
            x[b, oi * sh + p - ph, oj * sw + q - pw, c] * w[p, q, c, o]
            for p, q, c in indices([kh, kw, ci])
            if 0 <= oi * sh + p - ph < h and 0 <= oj * sw + q - pw < wd
        )

    return Array.build([n, conv_extent(h, kh, sh, ph), conv_extent(wd, kw, sw, pw), co], entry)


def conv2d_input_grad(w, dy, stride, pad, in_h, in_w):
    """dx[n,a,b,c] gathers, for each tap (p, q) that reaches (a, b), dy at ((a + ph - p)/sh, (b + pw - q)/sw)."""
    (kh, kw, ci, co), (n, oh, ow, _) = w.shape, dy.shape
    (sh, sw), (ph, pw) = stride, pad

    def entry(i):
        b, ih, iw, c = i
        terms = []
        for p, q in indices([kh, kw]):
            (oi, ri), (oj, rj) = divmod(ih + ph - p, sh), divmod(iw + pw - q, sw)
            if ri == 0 and rj == 0 and 0 <= oi < oh and 0 <= oj < ow:
                terms.extend(dy[b, oi, oj, o] * w[p, q, c, o] for o in range(co))
        return total(terms)

    return Array.build([n, in_h, in_w, ci], entry)


def conv2d_weight_grad(x, dy, stride, pad, kernel):
    """dw[p,q,c,o] = sum over n, i, j of x[n, i sh + p - ph, j sw + q - pw, c] dy[n,i,j,o]."""
    (n, h, wd, ci), (_, oh, ow, co) = x.shape, dy.shape
    (sh, sw), (ph, pw) = stride, pad

    def entry(i):
        p, q, c, o = i
        return total(
            x[b, oi * sh + p - ph, oj * sw + q - pw, c] * dy[b, oi, oj, o]
            for b, oi, oj in indices([n, oh, ow])
            if 0 <= oi * sh + p - ph < h and 0 <= oj * sw + q - pw < wd
        )

    return Array.build([*kernel, ci, co], entry)


def gather(x, indices, indices_shape):
    table = Array(indices_shape, indices)
    rank = len(indices_shape)
    return Array.build((*indices_shape, *x.shape[1:]), lambda i: x[(table[i[:rank]],) + i[rank:]])


def scatter_add(c, indices, indices_shape, rows):
    rank, inner = len(indices_shape), c.shape[len(indices_shape) :]
    table = list(zip(product(*map(range, indices_shape)), indices))
    return Array.build((rows, *inner), lambda i: total(c[at + i[1:]] for at, row in table if row == i[0]))


def pool(x, window, stride, reduction):
    n, h, w, c = x.shape
    shape = [n, conv_extent(h, window[0], stride[0], 0), conv_extent(w, window[1], stride[1], 0), c]
    return Array.build(
        shape,
        lambda i: reduction(
            [x[i[0], i[1] * stride[0] + p, i[2] * stride[1] + q, i[3]] for p, q in indices(window)]
        ),
    )


def mean(entries):
    entries = list(entries)
    return total(entries) / len(entries)


def softmax_cross_entropy(logits, labels):
    n, c = logits.shape
    rows = ([logits[i, j] for j in range(c)] for i in range(n))
    return Array([], [mean(logsumexp(row) - row[label] for row, label in zip(rows, labels))])


def mse(a, b):
    return Array([], [mean((x - y) * (x - y) for x, y in zip(a.flat, b.flat))])


def normalise(entries, eps):
    """(x - mean) / sqrt(var + eps), with the biased variance."""
    centre = mean(entries)
    centred = [e - centre for e in entries]
    scale = sqrt(mean(e * e for e in centred) + mpf(eps))
    return [e / scale for e in centred]


def batch_norm(x, gamma, beta, eps):
    c = x.shape[-1]
    columns = [normalise(x.flat[k::c], eps) for k in range(c)]
    flat = [columns[k][row] * gamma[k,] + beta[k,] for row in range(len(x.flat) // c) for k in range(c)]
    return Array(x.shape, flat)


def layer_norm(x, gamma, beta, eps):
    n, d = x.shape
    flat = []
    for row in range(n):
        entries = normalise(x.flat[row * d : (row + 1) * d], eps)
        flat.extend(e * gamma[k,] + beta[k,] for k, e in enumerate(entries))
    return Array(x.shape, flat)


def unary(name):
    """On jets whose series is x + t d exactly: f(x + t d) has coefficients f^(k)(x) d^k / k!. On numbers: the value."""

    def entry(x, **attrs):
        derivatives = UNARY[name](primal(x), **attrs)
        if not isinstance(x, Jet):
            return derivatives[0]
        assert not any(x.c[2:])
        return Jet([mpf(f) * x.c[1] ** k / mp.factorial(k) for k, f in enumerate(derivatives)])

    return lambda x, **attrs: Array(x.shape, [entry(e, **attrs) for e in x.flat])


PRIMITIVES = {name: unary(name) for name in UNARY} | {
    "add": zipped(lambda a, b: a + b),
    "sub": zipped(lambda a, b: a - b),
    "mul": zipped(lambda a, b: a * b),
    "div": zipped(lambda a, b: a / b),
    "max": zipped(lambda a, b: largest([a, b])),
    "min": zipped(lambda a, b: -largest([-a, -b])),
    "powf": zipped(lambda a, b: exp(b * ln(a))),
    "select": zipped(lambda x, y, a, b: a if primal(x) < primal(y) else b),
    "broadcast": broadcast,
    "sum": lambda x, axes: reduce_axes(x, axes, total),
    "max_axes": lambda x, axes: reduce_axes(x, axes, largest),
    "logsumexp": lambda x, axes: reduce_axes(x, axes, logsumexp),
    "reshape": lambda x, shape: Array(shape, x.flat),
    "permute": permute,
    "slice": slice_,
    "pad": pad,
    "concat": concat,
    "matmul": matmul,
    "conv2d": conv2d,
    "conv2d_input_grad": conv2d_input_grad,
    "conv2d_weight_grad": conv2d_weight_grad,
    "gather": gather,
    "scatter_add": scatter_add,
    "max_pool": lambda x, window, stride: pool(x, window, stride, largest),
    "avg_pool": lambda x, window, stride: pool(x, window, stride, mean),
    "stop_gradient": zipped(lambda x: x * primal(x)),
    "softmax_cross_entropy": softmax_cross_entropy,
    "mse": mse,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
}


# ---------------------------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------------------------

rng = random.Random(20190910)


def draw(count, low=-1.5, high=1.5):
    """Uniform doubles, four decimals: short to print, all mantissa bits in use."""
    return [round(low + (high - low) * rng.random(), 4) for _ in range(count)]


def draw_direction(count):
    """Bounded away from zero, both signs, so that no order is tested with a vanishing direction."""
    return [round((0.3 + 0.9 * rng.random()) * rng.choice([-1, 1]), 4) for _ in range(count)]


def distinct(count, step=0.0713):
    """A shuffled grid, centred on zero: maxima are unique by at least `step`."""
    values = [round((i - count / 2) * step + 0.0119, 4) for i in range(count)]
    rng.shuffle(values)
    return values


def tensor(shape, values=None):
    count = prod(shape)
    values = draw(count) if values is None else [float(v) for v in values]
    assert len(values) == count
    return {"shape": list(shape), "values": values, "direction": draw_direction(count)}


def vector(*values):
    return tensor([len(values)], values)


def signed(*magnitudes):
    return vector(*(s * m for m in magnitudes for s in (1, -1)))


def cases():
    """(name, attrs, inputs), the moderate arguments of a function before its extremes."""
    tiny = (1e-8, 1e-3)
    moderate = (0.1, 0.37, 0.5, 0.7513, 1.0, 1.618, 2.25, 3.3)

    # Unary. Small and moderate arguments, then large ones, then (where it differs) the end of the range.
    for name in ["neg", "square", "relu", "abs", "recip"]:
        yield name, {}, [signed(*moderate)]
        yield name, {}, [signed(*tiny)]
        yield name, {}, [signed(17.3, 1234.5, 1e8)]
    for name in ["exp", "expm1"]:
        yield name, {}, [signed(*moderate)]
        yield name, {}, [signed(*tiny)]
        yield name, {}, [signed(7.7, 20.5, 40.0)]
        yield name, {}, [signed(300.25, 700.0)]
    yield "ln", {}, [vector(*moderate, 0.999, 1.001)]
    yield "ln", {}, [vector(*tiny, 1e-100)]
    yield "ln", {}, [vector(17.3, 1234.5, 1e8, 1e100)]
    yield "log1p", {}, [vector(*moderate, -0.1, -0.37, -0.5, -0.9)]
    yield "log1p", {}, [signed(*tiny, 1e-12)]
    yield "log1p", {}, [vector(17.3, 1234.5, 1e8, -0.99, -0.999)]
    yield "sqrt", {}, [vector(*moderate)]
    yield "sqrt", {}, [vector(*tiny)]
    yield "sqrt", {}, [vector(17.3, 1234.5, 1e8, 1e100)]
    for name in ["sin", "cos"]:
        yield name, {}, [signed(*moderate)]
        yield name, {}, [signed(*tiny)]
        yield name, {}, [signed(3.1415, 6.5, 17.3, 100.0, 1234.5, 10000.0)]
    for name in ["tanh", "sigmoid", "softplus", "erf", "gelu"]:
        yield name, {}, [signed(*moderate[:-1])]
        yield name, {}, [signed(*tiny)]
    for name in ["tanh", "sigmoid", "softplus"]:
        yield name, {}, [signed(3.3, 5.0, 8.0)]
        yield name, {}, [signed(12.5, 20.0, 40.0)]
    for name in ["sigmoid", "softplus"]:
        yield name, {}, [vector(-100.0, -300.25, -700.0)]
    yield "softplus", {}, [vector(100.0, 700.0)]
    for name in ["erf", "gelu"]:
        yield name, {}, [signed(2.7, 3.3, 4.1)]
        yield name, {}, [signed(5.0, 6.5, 8.0)]
    for n in [-3, -1, 0, 1, 2, 5]:
        yield "powi", {"n": n}, [signed(*moderate)]
        yield "powi", {"n": n}, [signed(*tiny, 17.3, 1234.5)]

    # Binary.
    for name in ["add", "sub", "mul", "div"]:
        yield name, {}, [tensor([7]), tensor([7], [0.4, -0.7, 1.3, -1.9, 2.6, -3.1, 0.25])]
        yield name, {}, [vector(1e-8, -1e-3, 1e8, -1234.5), vector(17.3, 1e-3, -1e-8, 1e6)]
    for name in ["max", "min"]:
        yield name, {}, [vector(0.4, -0.7, 1.3, -1.9, 1e-8, 1234.5), vector(0.1, -0.2, 2.3, -3.9, -1e-3, 1e8)]
        yield name, {}, [vector(-1e-8, 1e-3, 5.5), vector(1e-3, 1e-8, -5.5)]
    yield "powf", {}, [vector(0.37, 0.5, 0.9, 1.0, 1.3, 2.25, 3.3), vector(1.5, -0.7, 2.2, 0.6, -2.4, 3.0, 0.25)]
    yield "powf", {}, [vector(1e-3, 1e-3, 1e-8, 1e-8), vector(0.5, -1.5, 2.5, -0.25)]
    yield "powf", {}, [vector(17.3, 17.3, 1234.5, 1e8), vector(3.25, -2.0, 0.5, 1e-3)]
    yield "select", {}, [vector(1, 2, -3, 0.5, 7), vector(2, 1, -2, -0.5, 9), tensor([5]), tensor([5])]
    yield "select", {}, [tensor([2, 3], distinct(6)), tensor([2, 3], [0.0] * 6), tensor([2, 3]), tensor([2, 3])]

    # Shapes and reductions.
    for source, target in [
        ([], [2, 3]), ([3], [2, 3]), ([2, 1], [2, 3]), ([1], [4]), ([1, 3], [2, 3]),
        ([2, 1, 3], [4, 2, 2, 3]), ([3, 1, 1], [3, 2, 2]), ([2, 3], [2, 3]),
    ]:
        yield "broadcast", {"shape": target}, [tensor(source)]
    for shape, axes in [
        ([5], [0]), ([2, 3], [0]), ([2, 3], [1]), ([2, 3, 4], [0]), ([2, 3, 4], [1]), ([2, 3, 4], [2]),
        ([2, 3, 4], [0, 1]), ([2, 3, 4], [0, 2]), ([2, 3, 4], [1, 2]), ([2, 3, 4], [0, 1, 2]),
        ([2, 2, 3, 2], [0, 1, 2]), ([3, 1, 2], [1]),
    ]:
        yield "sum", {"axes": axes}, [tensor(shape)]
        yield "max_axes", {"axes": axes}, [tensor(shape, distinct(prod(shape)))]
        if len(shape) < 3 or axes != [0]:
            yield "logsumexp", {"axes": axes}, [tensor(shape)]
    yield "logsumexp", {"axes": [1]}, [tensor([2, 4], [1000.5, 999.25, 1001.0, 998.7, -1000.5, -999.25, -1001.0, -998.7])]
    yield "logsumexp", {"axes": [1]}, [tensor([2, 3], [1000.0, 998.75, 996.25, -3.5, -2.25, 0.5])]
    for source, target in [
        ([2, 3, 4], [6, 4]), ([2, 3, 4], [24]), ([2, 3, 4], [4, 3, 2]), ([6], [2, 3]), ([1], []), ([], [1, 1]),
    ]:
        yield "reshape", {"shape": target}, [tensor(source)]
    for shape, axes in [
        ([2, 3], [1, 0]), ([2, 3, 4], [2, 0, 1]), ([2, 3, 4], [1, 2, 0]), ([2, 3, 4], [0, 2, 1]),
        ([2, 3, 2, 2], [0, 3, 1, 2]), ([2, 3, 2, 2], [3, 2, 0, 1]), ([3], [0]),
    ]:
        yield "permute", {"axes": axes}, [tensor(shape)]
    for shape, starts, ends in [
        ([6], [1], [4]), ([6], [0], [6]), ([4, 5], [1, 2], [3, 5]), ([4, 5], [0, 4], [4, 5]),
        ([3, 2, 4], [1, 0, 1], [3, 2, 3]),
    ]:
        yield "slice", {"starts": starts, "ends": ends}, [tensor(shape)]
    for shape, starts, target in [
        ([3], [1], [6]), ([3], [0], [3]), ([2, 3], [1, 0], [4, 3]), ([2, 3], [2, 1], [4, 5]),
        ([2, 1, 2], [0, 1, 1], [2, 3, 4]),
    ]:
        yield "pad", {"starts": starts, "shape": target}, [tensor(shape)]
    for shapes, axis in [
        ([[2], [3]], 0), ([[2, 3], [1, 3]], 0), ([[2, 3], [2, 1], [2, 2]], 1),
        ([[2, 1, 2], [2, 3, 2], [2, 2, 2]], 1), ([[2, 2, 1], [2, 2, 3]], 2),
    ]:
        yield "concat", {"axis": axis}, [tensor(shape) for shape in shapes]

    # Products.
    for batch, (m, k, n) in [
        ([], (3, 4, 5)), ([2], (3, 4, 5)), ([], (1, 6, 1)), ([], (4, 1, 3)), ([], (5, 7, 2)), ([2, 2], (2, 3, 2)),
    ]:
        for trans_a, trans_b in product([False, True], repeat=2):
            a = tensor(batch + ([k, m] if trans_a else [m, k]))
            b = tensor(batch + ([n, k] if trans_b else [k, n]))
            yield "matmul", {"trans_a": trans_a, "trans_b": trans_b}, [a, b]
    for n, (h, w), ci, co, (kh, kw), stride, padding in [
        (1, (3, 3), 1, 1, (1, 1), [1, 1], [0, 0]),
        (2, (5, 4), 2, 3, (3, 3), [1, 1], [1, 1]),
        (2, (5, 4), 2, 3, (3, 3), [2, 2], [1, 1]),
        (1, (6, 7), 2, 2, (3, 3), [2, 2], [0, 0]),
        (1, (7, 5), 3, 2, (3, 2), [1, 1], [0, 0]),
        (2, (4, 5), 1, 2, (2, 3), [1, 2], [0, 1]),
        (1, (5, 6), 2, 2, (1, 3), [2, 1], [0, 1]),
        (1, (4, 4), 2, 3, (2, 2), [2, 2], [0, 0]),
        (1, (5, 5), 2, 1, (2, 1), [2, 2], [1, 0]),
        (2, (3, 5), 1, 2, (3, 3), [2, 1], [1, 1]),
        (1, (5, 4), 2, 2, (1, 1), [2, 2], [0, 0]),
    ]:
        oh, ow = (conv_extent(*s) for s in zip((h, w), (kh, kw), stride, padding))
        attrs = {"stride": stride, "pad": padding}
        x, kernel, y = [n, h, w, ci], [kh, kw, ci, co], [n, oh, ow, co]
        yield "conv2d", attrs, [tensor(x), tensor(kernel)]
        yield "conv2d_input_grad", attrs | {"in_h": h, "in_w": w}, [tensor(kernel), tensor(y)]
        yield "conv2d_weight_grad", attrs | {"kernel": [kh, kw]}, [tensor(x), tensor(y)]

    # Rows and windows.
    for m, inner, shape, table in [
        (4, [], [3], [2, 0, 3]), (4, [3], [5], [1, 1, 3, 0, 1]), (3, [2, 2], [2], [2, 0]),
        (5, [2], [2, 3], [4, 0, 4, 2, 2, 1]), (2, [3], [1], [1]),
    ]:
        attrs = {"indices": table, "indices_shape": shape}
        yield "gather", attrs, [tensor([m, *inner])]
        yield "scatter_add", attrs | {"rows": m}, [tensor([*shape, *inner])]
    for shape in [[1, 4, 4, 1], [2, 4, 6, 2], [1, 5, 7, 2]]:
        yield "max_pool", {"window": [2, 2], "stride": [2, 2]}, [tensor(shape, distinct(prod(shape)))]
        yield "avg_pool", {"window": [2, 2], "stride": [2, 2]}, [tensor(shape)]
    for shape in [[1, 5, 5, 1], [2, 7, 5, 2], [1, 6, 8, 1]]:
        yield "max_pool", {"window": [3, 3], "stride": [2, 2]}, [tensor(shape, distinct(prod(shape)))]

    # Compositions.
    yield "stop_gradient", {}, [signed(*moderate)]
    yield "stop_gradient", {}, [tensor([2, 3])]
    yield "softmax_cross_entropy", {"labels": [2]}, [tensor([1, 3])]
    yield "softmax_cross_entropy", {"labels": [0, 4, 2, 2]}, [tensor([4, 5])]
    yield "softmax_cross_entropy", {"labels": [1, 0, 1]}, [tensor([3, 2])]
    yield "softmax_cross_entropy", {"labels": [1, 2]}, [tensor([2, 3], [1000.5, 999.25, 998.0, -1000.0, -1001.5, -999.0])]
    for shape in [[1], [6], [4, 3], [2, 3, 2]]:
        yield "mse", {}, [tensor(shape), tensor(shape)]
    for shape in [[2, 3, 2, 3], [3, 1, 1, 2], [1, 3, 4, 2]]:
        yield "batch_norm", {"eps": 1e-5}, [tensor(shape)] + [tensor(shape[-1:]) for _ in "gb"]
    offset = [2, 2, 3, 2]
    yield "batch_norm", {"eps": 1e-5}, [tensor(offset, draw(24, 8.5, 11.5)), tensor([2]), tensor([2])]
    for shape in [[1, 4], [3, 5], [4, 8]]:
        yield "layer_norm", {"eps": 1e-5}, [tensor(shape)] + [tensor(shape[-1:]) for _ in "gb"]
    yield "layer_norm", {"eps": 1e-5}, [tensor([2, 6], draw(12, 8.5, 11.5)), tensor([6]), tensor([6])]


# ---------------------------------------------------------------------------------------------------------------------
# Evaluation and checks
# ---------------------------------------------------------------------------------------------------------------------


def on_jets(inputs):
    zeros = [mpf(0)] * (ORDERS - 2)
    return [
        Array(i["shape"], [Jet([mpf(v), mpf(d), *zeros]) for v, d in zip(i["values"], i["direction"])]) for i in inputs
    ]


def on_curve(inputs, t):
    return [Array(i["shape"], [mpf(v) + t * mpf(d) for v, d in zip(i["values"], i["direction"])]) for i in inputs]


def evaluate(name, attrs, inputs):
    """The output shape, and the derivatives of each order as mpmath numbers."""
    y = PRIMITIVES[name](*on_jets(inputs), **attrs)
    jets = [Jet.lift(e) for e in y.flat]
    return y.shape, [[mp.factorial(k) * j.c[k] for j in jets] for k in range(ORDERS)]


def check_by_differences(name, attrs, inputs, orders):
    """Three outputs of the case, against numerical differentiation of values along the curve x + (s step) d.

    The unit of s is the shortest way to a zero of a coordinate that matters (an elementwise output depends on its own
    coordinate only), so that the differences stay inside the domain and resolve the function there.
    """
    count = len(orders[0])
    elementwise = all(len(i["values"]) == count for i in inputs)
    for at in {0, count // 2, count - 1}:
        moves = [
            abs(mpf(v) / mpf(d))
            for i in inputs
            for j, (v, d) in enumerate(zip(i["values"], i["direction"]))
            if v and (j == at or not elementwise)
        ]
        step = min([mpf(1), *moves])
        with mp.workdps(500):  # expm1(-700) differs from -1 in the 305th digit
            value = lambda s: PRIMITIVES[name](*on_curve(inputs, s * step), **attrs).flat[at]
            expected = [mp.diff(value, 0, k) / step**k for k in range(ORDERS)]
        for k in range(ORDERS):
            error = abs(orders[k][at] - expected[k])
            allowed = mpf(10) ** -20 * abs(orders[k][at]) or mpf(10) ** -40  # the latter where the derivative is zero
            assert error <= allowed, (name, attrs, at, k, orders[k][at], expected[k])


def check_adjoints(attrs, x, w):
    """<dy, conv2d(x, w)> = <conv2d_input_grad(w, dy), x> = <conv2d_weight_grad(x, dy), w>."""

    def dot(a, b):
        return mp.fsum(p * q for p, q in zip(a.flat, b.flat))

    x, w = on_curve([x, w], mpf(0))
    y = conv2d(x, w, **attrs)
    dy = Array(y.shape, [mpf(v) for v in draw(len(y.flat))])
    dx = conv2d_input_grad(w, dy, **attrs, in_h=x.shape[1], in_w=x.shape[2])
    dw = conv2d_weight_grad(x, dy, **attrs, kernel=w.shape[:2])
    for other in [dot(dx, x), dot(dw, w)]:
        assert abs(dot(dy, y) - other) < mpf(10) ** -40


def nearest(x):
    """The double nearest to x: finite, and zero only where x is (no underflow, no subnormals, no minus zero)."""
    y = float(x)
    assert abs(y) < 1e308 and (abs(y) > 1e-307 if x else y == 0), x
    return y + 0.0


def main():
    lines, counts = [], Counter()
    for name, attrs, inputs in list(cases()):
        shape, orders = evaluate(name, attrs, inputs)
        if name == "stop_gradient":
            x, d = inputs[0]["values"], inputs[0]["direction"]
            expected = [[mpf(v) ** 2 for v in x], [mpf(v) * mpf(u) for v, u in zip(x, d)], [0] * len(x), [0] * len(x)]
            assert orders == expected
        else:
            check_by_differences(name, attrs, inputs, orders)
        if name == "conv2d":
            check_adjoints(attrs, *inputs)
        case = {
            "name": name,
            "attrs": attrs,
            "inputs": inputs,
            "output_shape": list(shape),
            "orders": [[nearest(e) for e in order] for order in orders],
        }
        lines.append(json.dumps(case, separators=(",", ":"), allow_nan=False))
        counts[name] += 1

    assert counts.keys() == PRIMITIVES.keys()
    path = Path(__file__).with_name("primitives.json")
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="ascii", newline="\n")
    for name, count in counts.items():
        print(f"{count:4} {name}")
    print(f"{len(lines):4} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
