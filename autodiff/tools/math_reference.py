"""Writes autodiff/src/kernel/math/reference.csv: the truth about elementary functions of an f64.

    python3 autodiff/tools/math_reference.py > autodiff/src/kernel/math/reference.csv            needs mpmath

A row is `function,x,y,fraction`: the bits of x, the bits of f(x) rounded to nearest, and (f(x) - y) in ulps of y, all from
60 digits (more where sin and cos cancel). Arguments cover the range of each function at random (fixed seed) and crowd its
hard points: thresholds, cuts between two forms, zeros, subnormals.
"""

import random
import struct

from mpmath import cos, erf, erfc, exp, expm1, fabs, frexp, ldexp, log, log1p, mp, mpf, sin, tanh

mp.dps = 60
MAX = float.fromhex("0x1.fffffffffffffp1023")


def bits(x):
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def from_bits(b):
    return struct.unpack("<d", struct.pack("<Q", b))[0]


def near(x, count=3):
    """x and its neighbours, `count` on either side."""
    return [from_bits(bits(x) + i) for i in range(-count, count + 1) if bits(x) + i >= 0]


def sigmoid(x):
    return 1 / (1 + exp(-x))


def softplus(x):
    return log1p(exp(x)) if x < 0 else x + log1p(exp(-x))


def ulp_exponent(y):
    """Exponent of the ulp of the binade of |y|, as f64 has it."""
    return max(int(frexp(y)[1]) - 53, -1074)


def row(name, f, x):
    y = f(mpf(x))
    e = ulp_exponent(y)
    rounded = int(mp.nint(ldexp(y, -e)))
    if e > 971 or (e == 971 and abs(rounded) >> 53):
        return  # overflows: the tests of edge values have these
    value = float(ldexp(mpf(rounded), e))
    fraction = ldexp(y, -e) - rounded
    print(f"{name},{bits(x):016x},{bits(value):016x},{float(fraction):.3f}")


def main():
    rng = random.Random(20190910)

    def uniform(a, b, n):
        return [rng.uniform(a, b) for _ in range(n)]

    def scaled(a, b, n, signed=True):
        """Of random size: 2^a to 2^b."""
        return [2.0 ** rng.uniform(a, b) * (rng.choice([-1, 1]) if signed else 1) for _ in range(n)]

    both = lambda values: [v for x in values for v in (x, -x)]
    half_ln2 = 0.34657359027997264
    steps = near(half_ln2) + near(3 * half_ln2) + near(-half_ln2) + near(-3 * half_ln2) + near(5 * half_ln2)
    zeros = [v for k in (1, 2, 3, 4, 5, 22, 355, 710, 5217, 31416, 63661) for v in near(float(k * mp.pi / 2), 1)]
    # Numerators of good fractions for pi: their multiples of pi/2 lie nearest to integers.
    zeros += [v for k in (52174 * 2, 104348 * 2, 208341 * 2) for v in near(float(k * mp.pi / 2), 1)]
    functions = {
        "exp": (exp, uniform(-2, 2, 90) + uniform(-745, 709, 90) + uniform(-745, -708, 30) + scaled(-60, 0, 30) + steps
                + near(709.782712893384) + near(-745.1332191019411) + near(-708.3964185322641)),
        "expm1": (expm1, uniform(-2, 2, 120) + uniform(-40, 709, 60) + scaled(-60, 0, 60) + steps
                  + near(709.782712893384) + near(37.0) + near(-36.7) + [5e-324, -5e-324, 1e-310, 3e-17, 6e-17, 1e-16]),
        "ln": (log, uniform(0.4, 2.2, 120) + scaled(-1074, 1023, 90, False) + scaled(-1074, -1022, 20, False)
               + near(1.0, 8) + near(0.7071067811865476) + near(1.4142135623730951) + [MAX, 5e-324, 2.2250738585072014e-308]),
        "log1p": (log1p, uniform(-0.9, 2, 120) + scaled(-60, 0, 60) + scaled(0, 1023, 40, False) + near(-0.2928932188134524)
                  + near(0.41421356237309503) + [-1 + 2.0**-53, -1 + 2.0**-40, MAX, 5e-324, -5e-324, 1e-310, 3e-17, 6e-17, 1e-16]),
        "tanh": (tanh, uniform(-2, 2, 120) + uniform(-20, 20, 60) + scaled(-60, 0, 40) + near(0.625) + near(19.06)
                 + [5e-324, 1e-310, 25.0]),
        "sigmoid": (sigmoid, uniform(-4, 4, 120) + uniform(-745, 40, 60) + scaled(-60, 0, 20) + steps + near(-36.7)
                    + near(-708.4) + [-740.0, -745.0]),
        "softplus": (softplus, uniform(-4, 4, 120) + uniform(-745, 40, 60) + scaled(-60, 0, 20) + steps + near(-36.7)
                     + near(-708.4) + [-740.0, 1e5]),
        "sin": (sin, uniform(-4, 4, 90) + uniform(-1e5, 1e5, 90) + scaled(-60, 20, 60) + zeros + near(0.7853981633974483)),
        "cos": (cos, uniform(-4, 4, 90) + uniform(-1e5, 1e5, 90) + scaled(-60, 20, 60) + zeros + near(0.7853981633974483)),
        "erf": (erf, uniform(-1, 1, 80) + uniform(-6, 6, 120) + scaled(-60, 0, 30) + near(1.0) + both(near(5.86))
                + [5e-324, 1e-310, 7.0]),
        "erfc": (erfc, uniform(-1, 1, 80) + uniform(-6, 27, 120) + scaled(-60, 0, 30) + near(0.5) + near(-0.5) + near(26.54)
                 + [-7.0, 27.0, 27.2]),
    }
    for name, (f, arguments) in functions.items():
        for x in sorted(set(arguments)):
            if x != 0:
                row(name, f, x)


if __name__ == "__main__":
    main()
