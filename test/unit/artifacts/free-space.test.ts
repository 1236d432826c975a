import { link, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { bytesFreedBy, checkEverFits, NeverFitsError } from '../../../agent/artifacts/free-space.ts'
import { tempFolder } from './artifact-fixture.ts'

it('counts a file once, and only when none of its links stays', async () => {
  await using folder = await tempFolder()
  const at = (name: string): string => join(folder.path, name)
  for (const name of ['alone', 'twice', 'shared']) await writeFile(at(name), 'x'.repeat(10_000))
  await link(at('twice'), at('twice again'))
  await link(at('shared'), at('shared with one that stays'))
  const { blocks } = await stat(at('alone'))
  const paths = ['alone', 'twice', 'twice again', 'shared', 'gone'].map(at)
  expect(await bytesFreedBy(paths)).toBe(2 * blocks * 512)
  expect(await bytesFreedBy([])).toBe(0)
})

it('does not ask what could be freed when everything fits', async () => {
  await using folder = await tempFolder()
  await checkEverFits({ folder: folder.path, neededBytes: 1, minFreeBytes: 0 }, () =>
    Promise.reject(new Error('asked')),
  )
})

it('lets pass what fits once everything is freed, and says what is missing of anything else', async () => {
  await using folder = await tempFolder()
  const need = { folder: folder.path, neededBytes: 2 ** 50, minFreeBytes: 2 ** 51 }
  await checkEverFits(need, () => Promise.resolve(2 ** 52))
  const error = await checkEverFits(need, () => Promise.resolve(1000)).catch((thrown: unknown) => thrown)
  if (!(error instanceof NeverFitsError)) throw new Error('it fits', { cause: error })
  expect(error.message).toContain(folder.path)
  const [, free, missing] = /(\d+) are free.* (\d+) bytes would be missing/.exec(error.message)?.map(Number) ?? []
  expect(missing).toBe(2 ** 50 + 2 ** 51 - (free ?? 0) - 1000)
  expect(error.hint).toContain(`${missing ?? 0} bytes are missing`)
})
