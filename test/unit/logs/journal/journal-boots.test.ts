import { describe, expect, it } from 'vitest'

import { listBoots, orderBoots } from '../../../../agent/logs/journal/journal-boots.ts'
import { bootBefore, FakeJournalctl, thisBoot } from '../../../support/fake-journalctl.ts'

const signal = new AbortController().signal

describe('listBoots', () => {
  it('names the boots that the journal has', async () => {
    const journalctl = new FakeJournalctl()
    journalctl.write({ boot: bootBefore, fields: {} }, { boot: thisBoot, fields: {} })
    expect([...(await listBoots(journalctl.start, signal))].sort()).toEqual([bootBefore, thisBoot])
    expect(journalctl.runningCount).toBe(0)
  })

  it('fails where the journal is empty, with what journalctl says to it', async () => {
    const journalctl = new FakeJournalctl()
    journalctl.complaint = 'No journal files were found.'
    await expect(listBoots(journalctl.start, signal)).rejects.toThrow(
      'the journal shows no entries: No journal files were found.',
    )
  })
})

describe('orderBoots', () => {
  it('keeps the known order, puts new ones after it and this one last, and forgets those that are gone', () => {
    const [one = '', two = '', three = '', four = ''] = ['1', '2', '3', '4'].map((digit) => digit.repeat(32))
    const present = [four, three, two, thisBoot]
    expect(orderBoots({ known: [one, two, three], needed: [], present, current: thisBoot })).toEqual([
      two,
      three,
      four,
      thisBoot,
    ])
    expect(orderBoots({ known: [one, two], needed: [one], present: [two], current: thisBoot })).toEqual([
      one,
      two,
      thisBoot,
    ])
    expect(orderBoots({ known: [two], needed: [one], present: [two], current: thisBoot })).toEqual([one, two, thisBoot])
  })
})
