import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { Trial } from '../../agent/request-handler/update/trial.ts'
import { UpdateFolder } from '../../agent/request-handler/update/update-folder.ts'
import { UpdateReports } from '../../agent/root-requests/update-reports.ts'
import { tempFolder } from '../support/temp-folder.ts'

/**
 * The documents that versions of the package leave for one another, to the letter; see "Documents between versions" in ARCHITECTURE.md.
 * A line may be added for what a new version writes. None is changed: appliances that wrote it are in the field.
 */
const trials = [
  // 0.1.0
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0~rc.1","confirmSeconds":600,"phase":"watching","begun":1}',
  // with until when it has to be confirmed
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0~rc.1","confirmSeconds":600,"phase":"watching","begun":1,"confirmByUptimeMs":700000}',
  // of a version to come
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0~rc.1","confirmSeconds":600,"phase":"watching","begun":1,"added":{"by":["whom"]}}',
]
const confirmations = [
  '{"id":"0123456789abcdef"}', // 0.1.0
  '{"version":1,"id":"0123456789abcdef"}',
  '{"version":1,"id":"0123456789abcdef","added":true}',
  '{"version":2,"id":"0123456789abcdef"}',
]
const endings = [
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0~rc.1","outcome":"rolled-back","reason":"it failed to start 3 times","endedAt":"2027-01-01T00:00:00.000Z"}',
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0~rc.1","outcome":"rolled-back","reason":"it failed to start 3 times","endedAt":"2027-01-01T00:00:00.000Z","added":7}',
]

const trial: Trial = {
  version: 1,
  id: '0123456789abcdef',
  from: '0.1.0',
  to: '0.2.0~rc.1',
  confirmSeconds: 600,
  phase: 'watching',
  begun: 1,
}
const ended = {
  outcome: 'rolled-back',
  reason: 'it failed to start 3 times',
} as const
const endedAt = '2027-01-01T00:00:00.000Z'

async function open() {
  const temporary = await tempFolder()
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()]
  return {
    folder: new UpdateFolder(temporary.path, { uid, gid }),
    reports: new UpdateReports(temporary.path),
    put: async (name: string, text: string) => {
      await writeFile(join(temporary.path, name), `${text}\n`)
    },
    read: async (name: string) => (await readFile(join(temporary.path, name), 'utf8')).trimEnd(),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

test('writes what other versions read', async () => {
  await using place = await open()
  const { folder, read } = place
  folder.save(trial)
  expect(await read('trial.json')).toBe(trials[0])
  folder.save(trial, 700_000)
  expect(await read('trial.json')).toBe(trials[1])
  folder.confirm(trial)
  expect(await read('confirmed')).toBe(confirmations[1])
  folder.settle({ ...trial, phase: 'ended', ...ended }, Date.parse(endedAt))
  expect(await read('last-update.json')).toBe(endings[0])
})

test.each(trials)('reads the trial %s, as root and as the agent', async (text) => {
  await using place = await open()
  await place.put('trial.json', text)
  expect(place.folder.trial()).toEqual(trial)
  expect(await place.reports.trial()).toMatchObject({
    id: trial.id,
    from: '0.1.0',
    to: '0.2.0~rc.1',
    phase: 'watching',
  })
})

test.each(confirmations)('takes the confirmation %s for one', async (text) => {
  await using place = await open()
  expect(place.folder.isConfirmed(trial)).toBe(false)
  await place.put('confirmed', text)
  expect(place.folder.isConfirmed(trial)).toBe(true)
  expect(place.folder.isConfirmed({ ...trial, id: 'another' })).toBe(false)
})

test.each(endings)('reads the end %s, as root and as the agent', async (text) => {
  await using place = await open()
  await place.put('last-update.json', text)
  expect(place.folder.lastId()).toBe(trial.id)
  expect(await place.reports.last()).toEqual({
    version: 1,
    id: trial.id,
    from: '0.1.0',
    to: '0.2.0~rc.1',
    ...ended,
    endedAt,
  })
})

test.each([
  '{"version":2,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0","confirmSeconds":600,"phase":"watching","begun":1}',
  '{"version":1,"id":"0123456789abcdef","from":"0.1.0","to":"0.2.0","confirmSeconds":600,"phase":"pausing","begun":1}',
])('does not guess what a trial is that breaks the rule, and knows that there is one: %s', async (text) => {
  await using place = await open()
  expect(place.folder.hasOtherTrial()).toBe(false)
  await place.put('trial.json', text)
  expect(place.folder.trial()).toBeUndefined()
  expect(place.folder.hasOtherTrial()).toBe(true)
  await expect(place.reports.trial()).rejects.toThrow('trial.json cannot be read')
})
