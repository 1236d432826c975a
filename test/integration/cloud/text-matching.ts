import { expect } from 'vitest'

/** `expect.stringMatching` without its `any`, for use inside an expected object. */
export function textMatching(pattern: RegExp | string): unknown {
  return expect.stringMatching(pattern)
}
