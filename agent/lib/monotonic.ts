/** Milliseconds of a clock that never jumps; only differences mean something. Lifetimes and intervals use it. */
export function monotonicMs(): number {
  return performance.now()
}
