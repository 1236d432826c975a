import fc from 'fast-check'
import { expect, it } from 'vitest'

import {
  ledgerHeaderLine,
  ledgerPartLine,
  parseLedger,
  type LedgerHeader,
} from '../../../../agent/artifacts/transfer/part-ledger.ts'

const header: LedgerHeader = { version: 1, key: 'app/model "1"\n', etag: '"e"', sizeBytes: 10_000, partBytes: 1_000 }
const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/)
const parts = fc.array(fc.tuple(fc.nat(9), sha256), { maxLength: 20 })

it('reads back what was written; the last word on a part counts', () => {
  fc.assert(
    fc.property(parts, (recorded) => {
      const text = textOf(recorded)
      expect(parseLedger(text)).toEqual({ header, parts: new Map(recorded), validBytes: Buffer.byteLength(text) })
    }),
  )
})

it('believes whole lines only, wherever a crash has cut it off, and says where they end', () => {
  fc.assert(
    fc.property(parts, fc.nat(), (recorded, cut) => {
      const text = textOf(recorded)
      const torn = text.slice(0, cut % (text.length + 1))
      const ledger = parseLedger(torn)
      const lines = torn.split('\n').length - 1
      if (lines === 0) {
        expect(ledger).toBeUndefined()
        return
      }
      expect(ledger?.parts).toEqual(new Map(recorded.slice(0, lines - 1)))
      expect(ledger?.validBytes).toBe(torn.lastIndexOf('\n') + 1)
    }),
  )
})

it('is never brought down by what is no ledger, and takes no part that the object does not have', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (garbage) => {
      expect(parseLedger(garbage)?.header).toBeUndefined()
      const ledger = parseLedger(`${ledgerHeaderLine(header)}${garbage}\n${ledgerPartLine(10, '0'.repeat(64))}`)
      expect([...(ledger?.parts.keys() ?? [])].filter((index) => index > 9)).toEqual([])
    }),
  )
})

function textOf(recorded: readonly (readonly [number, string])[]): string {
  return ledgerHeaderLine(header) + recorded.map(([index, digest]) => ledgerPartLine(index, digest)).join('')
}
