import { join } from 'node:path'

import { expect, test } from 'vitest'

import {
  findByFileId,
  findRotated,
  isCompressedName,
  isRotatedName,
} from '../../../../agent/logs/files/rotated-files.ts'

test('knows the names that rotation gives, and leaves other logs and compressed files alone', () => {
  for (const name of [
    'app.log.1',
    'app.log-20260101',
    'app.log.old',
    'app-2026-01-01.log',
    'app.1.log',
    'app.log.1.2',
  ]) {
    expect(isRotatedName('app.log', name), name).toBe(true)
  }
  for (const name of ['app.log', 'app.log.1.gz', 'app-errors.log', 'application.log', 'app.log.lock', 'other.log.1']) {
    expect(isRotatedName('app.log', name), name).toBe(false)
  }
})

test.each(['app.log.gz', 'app.log.1.XZ', 'app.zst', 'old.zip', 'a.tgz', 'a.log.7z'])(
  'takes %s for compressed',
  (name) => {
    expect([isCompressedName(name), isCompressedName(`${name}.log`)]).toEqual([true, false])
  },
)

test('does not take a folder that cannot be listed for the moment for one in which nothing was rotated', async () => {
  const path = join('/', 'x'.repeat(300), 'app.log') // no file system can look for that name
  await expect(findRotated(path)).rejects.toThrow('ENAMETOOLONG')
  await expect(findByFileId(path, '1:2')).rejects.toThrow('ENAMETOOLONG')
  expect(await findRotated('/nowhere/app.log')).toEqual([])
})
