"""Prints the polynomial coefficients and split constants of autodiff/src/kernel/math/.

    python3 autodiff/tools/polynomials.py            needs mpmath

Each function f is fitted by interpolation at the Chebyshev nodes of its interval, in 60 digits: the error of that is
within a small factor of the best possible one (Trefethen, Approximation Theory and Approximation Practice, ch. 16), and
it needs no iteration. Rational fits P/Q (Q(0) = 1) solve the linear system P(z) - f(z) (Q(z) - 1) = f(z) at the nodes.
Coefficients are printed lowest order first, rounded to the format that uses them. The number after each name is the
largest error of the *whole* function the fit is used in, with rounded coefficients but exact arithmetic, in units of 2^-53
(f64) or 2^-24 (f32) relative to the function: anything below 0.1 is hidden by the rounding of the arithmetic. "f32 in f64"
is computed in f64 for an f32: divide by 2^29.
"""

import struct

from mpmath import atanh, cos, erf, erfc, exp, expm1, fabs, ldexp, linspace, log, lu_solve, matrix, mp, mpf, nstr, pi
from mpmath import sin, sqrt, tanh

mp.dps = 60


def to_f64(v):
    return mpf(float(v))


def to_f32(v):
    return mpf(struct.unpack("f", struct.pack("f", float(v)))[0])


def shortest_f32(v):
    """The shortest decimal that reads back as the same f32."""
    for digits in range(1, 12):
        text = f"{float(v):.{digits}g}"
        if to_f32(mpf(text)) == to_f32(v):
            return repr(float(text))
    raise ValueError(v)


def show(v, rounded):
    return shortest_f32(v) if rounded is to_f32 else repr(float(v))


def nodes(a, b, n):
    return [(a + b) / 2 + (b - a) / 2 * cos((2 * i + 1) * pi / (2 * n)) for i in range(n)]


def horner(c, z):
    y = mpf(0)
    for ci in reversed(c):
        y = y * z + ci
    return y


def fit(f, a, b, degree, q_degree=0):
    """Coefficients of P, and of Q where a rational function is asked for."""
    n = degree + 1 + q_degree
    rows, right = [], []
    for z in nodes(mpf(a), mpf(b), n):
        fz = f(z)
        rows.append([z**i for i in range(degree + 1)] + [-fz * z**i for i in range(1, q_degree + 1)])
        right.append(fz)
    c = list(lu_solve(matrix(rows), matrix(right)))
    return c[: degree + 1], [mpf(1)] + c[degree + 1 :]


def report(name, f, interval, degree, rounded, whole, argument=lambda z: z, q_degree=0):
    """Fits f(z) on the interval; `whole(x, value)` is the function computed from the fitted value, `exact` its truth."""
    a, b = interval
    p, q = fit(f, a, b, degree, q_degree)
    p, q = [rounded(c) for c in p], [rounded(c) for c in q]
    unit = mpf(2) ** (24 if rounded is to_f32 else 53)
    worst = mpf(0)
    for z in linspace(mpf(a), mpf(b), 800)[1:-1]:
        approximate, truth = whole(z, horner(p, z) / horner(q, z)), whole(z, f(z))
        worst = max(worst, fabs(approximate / truth - 1) * unit)
    print(f"{name}    {nstr(worst, 2)}")
    for part, c in [("P", p)] + ([("Q", q)] if q_degree else []):
        print(f"  {part}: " + ", ".join(show(ci, rounded) for ci in c))


def split(name, value, bits):
    """value = sum of parts, each but the last with `bits[i]` significant bits."""
    parts, rest = [], value
    for width, rounded in bits:
        if width:
            exponent = int(mp.floor(log(fabs(rest), 2)))
            part = mp.nint(ldexp(rest, width - 1 - exponent))
            part = ldexp(part, exponent + 1 - width)
        else:
            part = rounded(rest)
        parts.append(show(part, rounded))
        rest -= part
    print(f"{name}: " + ", ".join(parts))


def taylor_safe(f, limit):
    """f at 0 is a limit of 0/0: the nodes never touch 0 and 60 digits absorb the cancellation elsewhere."""
    return lambda z: f(z if fabs(z) > 1e-18 else limit)


def in_sqrt(f):
    """f as a function of z = x^2."""
    return lambda z: f(sqrt(fabs(z)) if fabs(z) > 1e-36 else mpf(1e-18))


LN2 = log(mpf(2))
split("ln 2  f64", LN2, [(40, to_f64), (0, to_f64)])
split("ln 2  f32", LN2, [(15, to_f32), (0, to_f32)])
split("pi/2  f64", pi / 2, [(33, to_f64)] * 3 + [(0, to_f64)])
split("pi/2  f32 in f64", pi / 2, [(33, to_f64), (0, to_f64)])

# e^r = 1 + r + r^2 q(r), |r| <= ln2/2
half = LN2 / 2 * mpf("1.0001")
q_exp = taylor_safe(lambda r: (expm1(r) - r) / r**2, mpf(1e-18))
for name, degree, rounded in [("exp f64", 10, to_f64), ("exp f32", 5, to_f32), ("exp f32 in f64", 5, to_f64)]:
    # Measured on e^r - 1 as expm1 needs it.
    report(name, q_exp, (-half, half), degree, rounded, lambda r, q: r + r * r * q)

# ln(1+f) = 2s + s z w(z), s = f/(2+f), z = s^2, sqrt(1/2) <= 1+f <= sqrt 2
s_max = (sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1) * mpf("1.0001")
w_ln = in_sqrt(lambda s: 2 * (atanh(s) - s) / s**3)
for name, degree, rounded in [("ln f64", 6, to_f64), ("ln f32", 3, to_f32)]:
    report(name, w_ln, (0, s_max**2), degree, rounded, lambda z, w: 2 + z * w)

# tanh x = x + x z P(z)/Q(z), z = x^2, |x| <= 5/8
t_small = in_sqrt(lambda x: (tanh(x) / x - 1) / x**2)
for name, p, q, rounded in [("tanh f64", 2, 3, to_f64), ("tanh f32", 1, 2, to_f32)]:
    report(name, t_small, (0, mpf("0.625") ** 2), p, rounded, lambda z, t: 1 + z * t, q_degree=q)

# sin r = r + r z S(z), cos r = 1 - z/2 + z^2 C(z), z = r^2, |r| <= pi/4
z_max = (pi / 4 * mpf("1.0001")) ** 2
s_sin = in_sqrt(lambda r: (sin(r) / r - 1) / r**2)
c_cos = in_sqrt(lambda r: (cos(r) - 1 + r**2 / 2) / r**4)
for name, degree, rounded in [("sin f64", 6, to_f64), ("sin f32 in f64", 3, to_f64)]:
    report(name, s_sin, (0, z_max), degree, rounded, lambda z, s: 1 + z * s)
for name, degree, rounded in [("cos f64", 5, to_f64), ("cos f32 in f64", 3, to_f64)]:
    report(name, c_cos, (0, z_max), degree, rounded, lambda z, c: 1 - z / 2 + z * z * c)

# erf x = x + x e(z), z = x^2, |x| <= 1
e_erf = in_sqrt(lambda x: erf(x) / x - 1)
for name, degree, rounded in [("erf f64", 13, to_f64), ("erf f32", 7, to_f32), ("erf f32 in f64", 6, to_f64)]:
    report(name, e_erf, (0, 1), degree, rounded, lambda z, e: 1 + e)

# erfc a = e^(-a^2) R(t) / (1 + 2a), t = (a - k)/(a + k), 1/2 <= a
def erfcx(k):
    def f(t):
        a = k * (1 + t) / (1 - t)
        return (1 + 2 * a) * exp(a * a) * erfc(a)

    return f


for name, k, top, degree, rounded in [
    ("erfc f64", mpf("3.5"), mpf("28"), 21, to_f64),
    ("erfc f32 in f64", mpf("2.5"), mpf("10.5"), 9, to_f64),
]:
    bounds = ((mpf("0.5") - k) / (mpf("0.5") + k), (top - k) / (top + k))
    report(f"{name} k={nstr(k)}", erfcx(k), bounds, degree, rounded, lambda t, r: r)

# ln erfc a = l(a - 1), 1 <= a <= 4: measured on 1 - e^l
report("ln erfc f32", lambda u: log(erfc(u + 1)), (0, 3), 9, to_f32, lambda u, l: 1 - exp(l))
