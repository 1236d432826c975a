import fc from 'fast-check'
import { expect, test } from 'vitest'

import { compareUtf8 } from '../../../cloud/s3/utf8-order.ts'

const text = fc.string({ unit: 'binary' })

test('orders any two strings as their UTF-8 bytes are ordered', () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
    }),
    { numRuns: 2000, examples: [['\u{1f4f7}', '\uffee']] },
  )
})
