import { expect, it } from 'vitest'

import { explainDiskError } from '../../../agent/artifacts/disk-error.ts'

it.each(['ENOSPC', 'EDQUOT', 'EROFS'])('says what to do about %s', (code) => {
  const cause = Object.assign(new Error(code), { code })
  expect(explainDiskError(new Error('write failed', { cause }), '/state')).toMatchObject({
    retryable: false,
    message: expect.stringContaining('/state') as unknown,
    hint: expect.stringMatching(/free space|read-write/) as unknown,
  })
})

it('leaves every other error as it is', () => {
  const error = new Error('no network')
  expect(explainDiskError(error, '/state')).toBe(error)
  expect(explainDiskError('text', '/state')).toBe('text')
})
