import fc from 'fast-check'
import { expect, test } from 'vitest'

import { jobDetails } from '../../../agent/jobs/job-details.ts'

test('leaves what the service takes as it is', () => {
  expect(jobDetails({ reason: 'denied', version: 7 })).toEqual({ reason: 'denied', version: '7' })
})

test('leaves out what has no value', () => {
  expect(jobDetails({ hint: undefined, text: '', blank: ' \n' })).toEqual({})
})

test('makes spaces of line breaks and other control characters', () => {
  expect(jobDetails({ reason: 'one\n\ttwo\u0000three\u200Bfour' })).toEqual({ reason: 'one two three four' })
})

test('cuts what is too long, and shows it', () => {
  const { reason = '' } = jobDetails({ reason: 'é'.repeat(2_000) })
  expect(reason).toHaveLength(1_024)
  expect(reason.endsWith('é...')).toBe(true)
})

test('takes out what gives a secret away', () => {
  const key = `-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----`
  const details = jobDetails({ reason: `rtsp://admin:hunter2@10.0.0.5/live: ${'x'.repeat(900)} ${key}`, other: key })
  expect(JSON.stringify(details)).not.toMatch(/hunter2|MIIEvQ/)
  expect(details['reason']).toContain('rtsp://[redacted]@10.0.0.5/live')
})

test('keeps the rules of the service for anything', () => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 3_000 }), fc.string({ unit: 'grapheme' }))
  fc.assert(
    fc.property(fc.dictionary(text, fc.oneof(text, fc.double())), (pairs) => {
      const entries = Object.entries(jobDetails(pairs))
      expect(entries.length).toBeLessThanOrEqual(10)
      for (const [key, value] of entries) {
        expect(key).toMatch(/^[a-zA-Z0-9:_-]{1,128}$/)
        expect(value).toMatch(/^[^\p{C}]{1,1024}$/u)
      }
    }),
  )
})
