import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { LeftOverCertificates, maxLeftOver } from '../../../agent/identity/left-over-certificates.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const ids = (list: LeftOverCertificates): readonly string[] =>
  list.certificates.map(({ certificateId }) => certificateId)

test('keeps why and when over a restart, and each certificate once', async () => {
  await using folder = await tempFolder()
  const options = { folder: folder.path, log: new RecordingLog(), now: () => 0 }
  const list = new LeftOverCertificates(options)
  expect(await list.load()).toBe(false)
  await list.note({ certificateId: 'a1', why: 'orphan' })
  await list.note({ certificateId: 'a1', why: 'deactivate' })
  const next = new LeftOverCertificates({ ...options, now: () => 1_000 })
  expect(await next.load()).toBe(true)
  await next.note({ certificateId: 'a2', why: 'deactivate' })
  expect(next.certificates).toEqual([
    { certificateId: 'a1', why: 'orphan', at: '1970-01-01T00:00:00.000Z' },
    { certificateId: 'a2', why: 'deactivate', at: '1970-01-01T00:00:01.000Z' },
  ])
})

test('drops the oldest when there are too many, and names it in the log', async () => {
  await using folder = await tempFolder()
  const log = new RecordingLog()
  const list = new LeftOverCertificates({ folder: folder.path, log, now: () => 0 })
  for (let count = 0; count <= maxLeftOver; count += 1) await list.note({ certificateId: `a${count}`, why: 'orphan' })
  expect(list.certificates).toHaveLength(maxLeftOver)
  expect(ids(list)).not.toContain('a0')
  expect(log.entries).toMatchObject([{ level: 'error', fields: { certificateId: 'a0', why: 'orphan' } }])
})

test('never lists the one that stays in use', async () => {
  await using folder = await tempFolder()
  const list = new LeftOverCertificates({ folder: folder.path, log: new RecordingLog(), now: () => 0 })
  await list.note({ certificateId: 'a1', why: 'orphan' })
  await list.note({ certificateId: 'a2', why: 'deactivate' }, 'a1')
  expect(ids(list)).toEqual(['a2'])
})

test('is begun anew where it is damaged, and keeps what it has where the disk does not take a change', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'left-over.json')
  await writeFile(path, '{"version":1,"certificates":[{}]}')
  const log = new RecordingLog()
  const disk = { isFull: false }
  const write = async (to: string, list: unknown): Promise<void> => {
    if (disk.isFull) throw new AgentError('the disk is full', { retryable: true })
    await writeFile(to, JSON.stringify(list))
  }
  const list = new LeftOverCertificates({ folder: folder.path, log, now: () => 0, write })
  await list.note({ certificateId: 'a1', why: 'orphan' })
  expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside'])
  disk.isFull = true
  await expect(list.note({ certificateId: 'a2', why: 'orphan' })).rejects.toThrow('the disk is full')
  await expect(list.forget(['a1'])).rejects.toThrow('the disk is full')
  expect(ids(list)).toEqual(['a1'])
  expect(await readFile(path, 'utf8')).toContain('a1')
})
