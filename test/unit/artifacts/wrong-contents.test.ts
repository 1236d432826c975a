import { afterEach, beforeEach, expect, it, vi } from 'vitest'

import { ChecksumMismatchError, WrongContentError } from '../../../agent/artifacts/received-object.ts'
import { WrongContents } from '../../../agent/artifacts/wrong-contents.ts'

const error = new WrongContentError('wrong')
const hourMs = 3_600_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

it('knows an object that was wrong as long as it is the same version', () => {
  const wrong = new WrongContents()
  const object = { key: 'a', etag: '"1"', sizeBytes: 1 }
  wrong.note(object, error)
  vi.advanceTimersByTime(100 * hourMs)
  expect(wrong.errorOf(object)).toBe(error)
  expect(wrong.errorOf({ ...object, etag: '"2"' })).toBeUndefined()
  expect(wrong.errorOf({ ...object, versionId: 'v2' })).toBeUndefined()
  expect(wrong.errorOf({ ...object, key: 'b' })).toBeUndefined()
})

it('has an object without a known version fetched again after an hour: it may have been mended', () => {
  const wrong = new WrongContents()
  const object = { key: 'a', sizeBytes: 1 }
  wrong.note(object, error)
  vi.advanceTimersByTime(hourMs)
  expect(wrong.errorOf(object)).toBe(error)
  vi.advanceTimersByTime(1)
  expect(wrong.errorOf(object)).toBeUndefined()
})

it('has an object fetched again after an hour that differed from the checksum of its source: it may be damage on the way', () => {
  const wrong = new WrongContents()
  const object = { key: 'a', etag: '"1"', sizeBytes: 1 }
  const mismatch = new ChecksumMismatchError('wrong')
  wrong.note(object, mismatch)
  vi.advanceTimersByTime(hourMs)
  expect(wrong.errorOf(object)).toBe(mismatch)
  vi.advanceTimersByTime(1)
  expect(wrong.errorOf(object)).toBeUndefined()
})

it('forgets all when everything was fetched', () => {
  const wrong = new WrongContents()
  const object = { key: 'a', versionId: 'v1', sizeBytes: 1 }
  wrong.note(object, error)
  wrong.clear()
  expect(wrong.errorOf(object)).toBeUndefined()
})
