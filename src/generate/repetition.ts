/** Penalties on what was already said, applied to the scores of all tokens before any filter. */

/**
 * Divides positive and multiplies negative scores of every token in `history` by `penalty`, each token once
 * (Keskar 2019, 1909.05858); `seen` holds zeros, one per token, before and after.
 */
export function penaliseRepetition(scores: Float32Array, history: readonly number[], penalty: number, seen: Uint8Array): void {
  for (const id of history) {
    const score = scores[id];
    if (score === undefined || seen[id]) continue;
    seen[id] = 1;
    scores[id] = score < 0 ? score * penalty : score / penalty;
  }
  for (const id of history) seen[id] = 0;
}

/** Forbids (−∞) every token that would complete an n-gram of `size` tokens that `history` already holds. */
export function forbidRepeatedNgrams(scores: Float32Array, history: readonly number[], size: number): void {
  const last = history.length - size + 1; // where the n-gram to come begins
  for (let start = 0; start < last; start++) {
    let same = true;
    for (let i = 0; same && i < size - 1; i++) same = history[start + i] === history[last + i];
    const next = history[start + size - 1]!;
    if (same && next < scores.length) scores[next] = -Infinity;
  }
}
