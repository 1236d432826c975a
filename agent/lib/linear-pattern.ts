import { setFlagsFromString } from 'node:v8'

/**
 * A regular expression that takes time in proportion to the text, whatever the text: V8 goes over to its engine
 * without backtracking when an attempt backtracks too often. Throws a SyntaxError for a pattern that is none, or has
 * what that engine cannot do: backreferences, lookahead, and counted repetition of much.
 */
export function linearPattern(source: string): RegExp {
  // Neither changes what an expression matches; the first is for the check, the second makes the promise true.
  setFlagsFromString('--enable-experimental-regexp-engine')
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
  const linear = 'l'
  new RegExp(source, linear)
  return new RegExp(source)
}
