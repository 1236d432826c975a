import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { globFiles, matchesGlob } from '../../../../agent/logs/files/glob-files.ts'

test('finds what fits * and ? in any segment, and nothing else', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'glob-files-'))
  for (const name of ['one', 'two', 'none']) await mkdir(join(folder.path, name))
  for (const name of ['one/a1.log', 'one/a12.log', 'two/a2.log', 'two/.a3.log', 'two/a2xlog']) {
    await writeFile(join(folder.path, name), '')
  }
  const found = async (pattern: string): Promise<readonly string[]> =>
    (await globFiles(join(folder.path, pattern))).paths.map((path) => path.slice(folder.path.length + 1))
  expect(await found('*/a?.log')).toEqual(['one/a1.log', 'two/a2.log'])
  expect(await found('one/*')).toEqual(['one/a1.log', 'one/a12.log'])
  expect(await found('one/a1.log')).toEqual(['one/a1.log'])
  expect(await found('missing/*.log')).toEqual([])
  expect(await found('one/a1.log/*')).toEqual([])
  expect(await found('[o]ne/*')).toEqual([])
})

test('says whether a path fits without looking for it', () => {
  expect(matchesGlob('/var/*/app.log', '/var/log/app.log')).toBe(true)
  expect(matchesGlob('/var/*/app.log', '/var/log/x/app.log')).toBe(false)
  expect(matchesGlob('/var/*', '/var/log/app.log')).toBe(false)
  expect(matchesGlob('/var/*.log', '/var/.log')).toBe(false)
})
