import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { forgetOverdue, noteOverdue, reportLastRun } from '../../../agent/status/last-run.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

async function reportIn(folder: TempFolder): Promise<RecordingLog> {
  const log = new RecordingLog()
  await reportLastRun({ runtimeDirectory: folder.path, runtimeFolder: folder.path, log })
  return log
}

test('says that the event loop was stuck when the watchdog ended the run and no worker was overdue', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'last-exit'), 'watchdog dumped ABRT\n')
  const { entries } = await reportIn(folder)
  expect(entries).toMatchObject([
    {
      level: 'error',
      message: 'the run before was stuck and ended by the watchdog',
      fields: { stuck: 'event loop', result: 'watchdog' },
    },
  ])
})

test('names the workers that were stuck', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'last-exit'), 'watchdog killed ABRT\n')
  noteOverdue(folder.path, ['artifacts:model', 'logs'])
  const { entries } = await reportIn(folder)
  expect(entries).toMatchObject([{ level: 'error', fields: { stuck: 'worker artifacts:model, logs' } }])
})

test('does not lay at the door of the watchdog what somebody else ended', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'last-exit'), 'success exited 0\n')
  noteOverdue(folder.path, ['logs'])
  const { entries } = await reportIn(folder)
  expect(entries).toMatchObject([
    { message: 'the run before was stuck', fields: { stuck: 'worker logs', result: 'success', status: '0' } },
  ])
})

test('says nothing of a worker that went on by itself', async () => {
  await using folder = await tempFolder()
  noteOverdue(folder.path, ['logs'])
  forgetOverdue(folder.path)
  expect((await reportIn(folder)).entries).toEqual([])
})

test.each([
  ['oom-kill killed KILL', 'memory'],
  ['signal killed KILL', undefined],
  ['exit-code exited 1', undefined],
])('reports an end by "%s"', async (exit, hint) => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'last-exit'), `${exit}\n`)
  const [result, code, status] = exit.split(' ')
  const { entries } = await reportIn(folder)
  expect(entries).toMatchObject([
    { level: 'error', message: 'the run before ended unexpectedly', fields: { result, code, status } },
  ])
  if (hint === undefined) expect(entries[0]?.fields).not.toHaveProperty('hint')
  else expect(entries[0]?.fields['hint']).toContain(hint)
})

test('says nothing of an end as asked, nor where nothing is known', async () => {
  await using folder = await tempFolder()
  expect((await reportIn(folder)).entries).toEqual([])
  await writeFile(join(folder.path, 'last-exit'), 'success exited 0\n')
  expect((await reportIn(folder)).entries).toEqual([])
})

test('reports once', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'last-exit'), 'signal killed KILL\n')
  noteOverdue(folder.path, ['logs'])
  expect((await reportIn(folder)).entries).toHaveLength(1)
  expect((await reportIn(folder)).entries).toEqual([])
  expect(await readdir(folder.path)).toEqual([])
})

test('reports a note that was cut short', async () => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'overdue.json'), '{"workers":["lo')
  expect((await reportIn(folder)).entries).toMatchObject([{ fields: { stuck: 'worker unknown' } }])
})
