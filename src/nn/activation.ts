/** The activation functions of config.json, by the names transformers gives them (activations.py). */
import { withGradient } from "../core/gradient.ts";
import { add, erf, mul, reciprocal, scalar, scale, sigmoid, silu, sub, tanh, where, lessOrEqual, exp, neg } from "../core/operations.ts";
import type { Tensor } from "../core/tensor.ts";

/** ½x(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks & Gimpel 2016, arXiv 1606.08415). */
function geluTanh(x: Tensor): Tensor {
  const inner = scale(mul(x, add(scalar(1), scale(mul(x, x), 0.044715))), Math.sqrt(2 / Math.PI));
  return mul(scale(x, 0.5), add(scalar(1), tanh(inner)));
}

/** ½x(1 + erf(x/√2)): the exact form. */
const gelu = (x: Tensor): Tensor => mul(scale(x, 0.5), add(scalar(1), erf(scale(x, Math.SQRT1_2))));

/** x for x > 0, else 0. */
const relu = (x: Tensor): Tensor => where(lessOrEqual(x, scalar(0)), scalar(0), x);

/** x·sigmoid(1.702x). */
const quickGelu = (x: Tensor): Tensor => mul(x, sigmoid(scale(x, 1.702)));

const activations: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  silu,
  swish: silu,
  gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_python: gelu,
  quick_gelu: quickGelu,
  relu,
  relu2: (x) => mul(relu(x), relu(x)),
  tanh,
  sigmoid: (x) => reciprocal(add(scalar(1), exp(neg(x)))),
};

/**
 * act(gate) ⊙ up (Shazeer 2020, arXiv 2002.05202). For SiLU with a derivative that keeps nothing but gate and up:
 *   s = σ(gate), t = dy ⊙ s:  dup = t ⊙ gate,  dgate = up ⊙ (t + dup − dup ⊙ s)
 */
export function gated(act: (x: Tensor) => Tensor, gate: Tensor, up: Tensor): Tensor {
  const y = mul(act(gate), up);
  if (act !== silu) return y;
  return withGradient(y, [gate, up], (dy) => {
    const s = sigmoid(gate);
    const t = mul(dy, s);
    const dup = mul(t, gate);
    return [mul(up, sub(add(t, dup), mul(dup, s))), dup];
  });
}

export const activationNames: readonly string[] = Object.keys(activations).toSorted();

/** The function of that name, or undefined. */
export function activation(name: string): ((x: Tensor) => Tensor) | undefined {
  return Object.hasOwn(activations, name) ? activations[name] : undefined;
}
