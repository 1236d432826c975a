import { symlink } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { findRotated, isCompressedName, isRotatedName } from '../../../agent/logs/rotated-files.ts'
import { tempFolder } from '../../support/temp-folder.ts'

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

test('takes a folder that is not there for empty, and throws for one that cannot be listed at the moment', async () => {
  await using folder = await tempFolder()
  expect(await findRotated(join(folder.path, 'missing', 'app.log'))).toEqual([])
  const loop = join(folder.path, 'loop')
  await symlink('loop', loop)
  await expect(findRotated(join(loop, 'app.log'))).rejects.toThrow('ELOOP')
})
