import { expect, test } from 'vitest'

import { renderStatus } from '../../../agent/status/render-status.ts'
import type { StatusDocument } from '../../../agent/status/status-document.ts'
import type { UpdatePart } from '../../../agent/status/update-part.ts'
import { statusDocument } from '../../support/status-document.ts'

const from = '0.1.0'
const to = '0.2.0~rc.1'
const at = '2027-01-01T00:30:00.000Z'
const reason = 'not confirmed within 600 s'

/** The notes above the parts, and the lines of the update, one blank between the columns. */
function shown(update: UpdatePart, version = from) {
  const agent = { ...statusDocument().agent, version }
  const change: Partial<StatusDocument> = { agent, update }
  const lines = renderStatus(statusDocument(change))
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
  const start = lines.findIndex((line) => line.startsWith('update '))
  return {
    notes: lines.slice(1, lines.indexOf('')),
    lines: [lines[start], ...lines.slice(start + 1).filter((line) => /^(error|hint) /.test(line))],
  }
}

test('shows a version on trial, from where, and until when it has to be confirmed', () => {
  const trial = { from, to, phase: 'watching', until: '2027-01-01T01:08:00.000Z' }
  expect(shown({ trial }, to)).toEqual({
    notes: ['Note: version 0.2.0~rc.1 of the agent is on trial, and 0.1.0 comes back unless it proves itself'],
    lines: ['update trial from version 0.1.0 to 0.2.0~rc.1, goes back in 8 min unless it is confirmed'],
  })
})

test.each([
  ['installing', 'is being installed'],
  ['watching', 'to be confirmed'],
  ['reverting', 'goes back'],
  ['ended', 'is about to end'],
])('shows how far an update is that is %s', (phase, text) => {
  const last = { outcome: 'confirmed', from: '0.0.9', to: from, at }
  expect(shown({ trial: { from, to, phase }, last }).lines).toEqual([
    `update trial from version 0.1.0 to 0.2.0~rc.1, ${text}`,
  ])
})

test('shows how the last update ended, and what to do about it', () => {
  expect(shown({ last: { outcome: 'confirmed', from, to, at } }, to)).toEqual({
    notes: [],
    lines: ['update ok from version 0.1.0 to 0.2.0~rc.1, confirmed on 2027-01-01 00:30 UTC'],
  })
  expect(shown({ last: { outcome: 'rolled-back', from, to, at, reason } })).toEqual({
    notes: [`Note: the update of the agent to version 0.2.0~rc.1 was taken back: ${reason}`],
    lines: ['update rolled-back from version 0.1.0 to 0.2.0~rc.1, given up on 2027-01-01 00:30 UTC', `error ${reason}`],
  })
  expect(shown({ last: { outcome: 'stuck', from, to, reason } })).toEqual({
    notes: [`Note: the last update of the agent failed, and so did the way back: ${reason}`],
    lines: [
      'update stuck from version 0.1.0 to 0.2.0~rc.1, given up',
      `error ${reason}`,
      'hint journalctl -u panorama-agent-update.service says why; install a package with dpkg',
    ],
  })
})

test.each([
  ['rolled-back', to],
  ['rolled-back', '0.3.0'],
  ['stuck', '0.3.0'],
])('notes no update that ended as %s where version %s was installed since', (outcome, version) => {
  expect(shown({ last: { outcome, from, to, at, reason } }, version).notes).toEqual([])
})
