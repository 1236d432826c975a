import { join } from 'node:path'

import { expect, test } from 'vitest'

import { lockFile } from '../../../agent/lib/file-lock.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('gives a lock to one holder at a time, and again after its disposal', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'lock')
  const first = await lockFile(path)
  if (first === 'taken') throw new Error('the lock of a new file is taken')
  expect(await lockFile(path)).toBe('taken')
  await first[Symbol.asyncDispose]()
  const second = await lockFile(path)
  if (second === 'taken') throw new Error('the lock is taken after its disposal')
  await second[Symbol.asyncDispose]()
})

test('throws when the file cannot be opened', async () => {
  await using folder = await tempFolder()
  await expect(lockFile(join(folder.path, 'missing', 'lock'))).rejects.toThrow('ENOENT')
})
