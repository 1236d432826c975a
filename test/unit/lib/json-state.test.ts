import { readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as z from 'zod'

import { readJsonState, writeJsonState } from '../../../agent/lib/json-state.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

function parseCount(json: unknown): number {
  if (typeof json !== 'number') throw new Error('not a number')
  return json
}

test('reads what was written, and keeps it from all other users', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'count.json')
  const log = new RecordingLog()
  await writeJsonState(path, 7)
  expect(await readJsonState({ path, log, parse: parseCount })).toBe(7)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(log.entries).toEqual([])
})

test('answers undefined without a word when there is no file', async () => {
  await using folder = await tempFolder()
  const log = new RecordingLog()
  expect(await readJsonState({ path: join(folder.path, 'count.json'), log, parse: parseCount })).toBeUndefined()
  expect(log.entries).toEqual([])
})

test.each([
  ['cut off', '{"a":'],
  ['empty', ''],
  ['of another shape', '"text"'],
])('sets a file that is %s aside with its content, and reports it', async (_, content) => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'count.json')
  await writeFile(path, content)
  const log = new RecordingLog()
  expect(await readJsonState({ path, log, parse: parseCount })).toBeUndefined()
  expect(await readFile(`${path}.unreadable`, 'utf8')).toBe(content)
  expect(await readdir(folder.path)).toEqual(['count.json.unreadable'])
  expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside'])
})

test('says in short where a file is at fault', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'count.json')
  const schema = z.object({ entries: z.array(z.object({ at: z.string() })) })
  const faults: string[] = []
  for (const content of ['{"entries":[{}]}', '7']) {
    const log = new RecordingLog()
    await writeFile(path, content)
    await readJsonState({ path, log, parse: (json) => schema.parse(json) })
    const error = log.entries[0]?.fields['error']
    faults.push(error instanceof Error ? error.message : '')
  }
  expect(faults).toEqual(['it is at fault at entries[0].at', 'it is at fault at the whole of it'])
})

test('starts from nothing when the file can neither be read nor set aside', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'count.json')
  await writeFile(path, 'broken')
  await writeFile(join(folder.path, 'blocker'), '')
  const log = new RecordingLog()
  const below = join(folder.path, 'blocker', 'count.json')
  expect(await readJsonState({ path: below, log, parse: parseCount })).toBeUndefined()
  expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside', 'state file cannot be set aside'])
})

test('leaves a vital file alone that cannot be read at all, and sets aside one that makes no sense', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'count.json')
  const log = new RecordingLog()
  await symlink(path, path) // reading it fails with ELOOP
  const vital = { path, log, parse: parseCount, isVital: () => true }
  await expect(readJsonState(vital)).rejects.toMatchObject({ retryable: true })
  expect(await readdir(folder.path)).toEqual(['count.json'])
  expect(await readJsonState({ path, log, parse: parseCount })).toBeUndefined()
  await writeFile(path, '"seven"')
  expect(await readJsonState(vital)).toBeUndefined()
  expect(await readdir(folder.path)).toEqual(['count.json.unreadable'])
})
