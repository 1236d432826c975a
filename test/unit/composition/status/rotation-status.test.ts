import { expect, test } from 'vitest'

import type { RotationRecord } from '../../../../agent/identity/rotation-record.ts'
import { rotationParts } from '../../../../agent/composition/status/rotation-status.ts'

const at = '2027-01-01T00:00:00.000Z'
const [oldId, newId, olderId] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string]
const base = { version: 1, id: 'job-1 1', at, previousCertificateId: oldId, confirmSeconds: 300 } as const
const trial: RotationRecord = { ...base, state: 'trial', certificateId: newId, starts: 0 }
const rotated: RotationRecord = { ...base, state: 'rotated', certificateId: newId }
const listed = (certificateId: string) => ({ certificateId, why: 'deactivate', at }) as const

test('names what is left over, and of the last rotation only what is on the list', () => {
  expect(rotationParts({ record: rotated, leftOver: [listed(olderId), listed(oldId)] })).toEqual({
    rotation: { state: 'rotated', at, deactivate: oldId },
    leftOver: [listed(olderId), listed(oldId)],
  })
  expect(rotationParts({ record: rotated, leftOver: [] })).toEqual({ rotation: { state: 'rotated', at } })
  expect(rotationParts({ record: undefined, leftOver: [listed(olderId)] })).toEqual({ leftOver: [listed(olderId)] })
})

test('names no certificate that is in use, or comes back if the trial fails, whatever the list was left with', () => {
  expect(rotationParts({ record: trial, leftOver: [listed(oldId), listed(newId), listed(olderId)] })).toEqual({
    rotation: { state: 'trial', at },
    leftOver: [listed(olderId)],
  })
})

test('says why the one under way does not get on', () => {
  const record: RotationRecord = { ...base, state: 'under-way' }
  const trouble = { name: 'AgentError', message: 'no answer', hint: 'allow it' }
  const sources = { record, trouble, leftOver: [] }
  expect(rotationParts(sources)).toEqual({ rotation: { state: 'under-way', at, reason: 'no answer (allow it)' } })
})
