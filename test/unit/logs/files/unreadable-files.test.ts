import { appendFile, chmod, copyFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { fileTime, FollowedLogs } from '../followed-logs.ts'
import { useFakeClock } from '../log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

describe('a rotated file that may not be read', () => {
  test('does not hold up the live file, is told of, and is read once it may be', async () => {
    await using logs = await open()
    await writeFile(logs.path('app.log'), 'one\n')
    await looks(logs)
    await rotateUnread(logs)
    await looks(logs)
    expect(logs.messages('app')).toEqual(['one', 'three'])
    await looks(logs)
    expect(logs.failures()).toMatchObject([{ what: logs.path('app.log.1'), error: { code: 'EACCES' } }])
    await chmod(logs.path('app.log.1'), 0o644)
    await looks(logs)
    expect(logs.messages('app')).toEqual(['one', 'three', 'two'])
    expect(logs.failures()).toEqual([])
    expect(logs.gaps).toEqual([])
  })

  test('is a gap when it goes away unread', async () => {
    await using logs = await open()
    await writeFile(logs.path('app.log'), 'one\n')
    await looks(logs)
    await rotateUnread(logs)
    await looks(logs)
    await rm(logs.path('app.log.1'))
    await looks(logs)
    await looks(logs)
    expect(logs.failures()).toEqual([])
    expect(logs.gaps).toMatchObject([{ reason: 'rotated', bytes: 4 }])
  })

  test('is a gap at once, and told of, when it may be the copy of what was truncated', async () => {
    await using logs = await open()
    await writeFile(logs.path('app.log'), 'one\n')
    await looks(logs)
    logs.isHeldBack = true
    await appendFile(logs.path('app.log'), 'two\n')
    await looks(logs)
    await copyFile(logs.path('app.log'), logs.path('app.log.old'))
    await chmod(logs.path('app.log.old'), 0)
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), 'n\n')
    logs.isHeldBack = false
    await looks(logs)
    expect(logs.messages('app')).toEqual(['one', 'n'])
    expect(logs.failures()).toMatchObject([{ what: logs.path('app.log.old') }])
    expect(logs.gaps).toMatchObject([{ reason: 'rotated', bytes: 4 }])
  })

  test('keeps its cursor across a restart', async () => {
    await using logs = await open()
    await writeFile(logs.path('app.log'), 'one\n')
    await looks(logs)
    logs.accept()
    await appendFile(logs.path('app.log'), 'two\n')
    await rename(logs.path('app.log'), logs.path('app.log.1'))
    await chmod(logs.path('app.log.1'), 0)
    fileTime()
    await writeFile(logs.path('app.log'), 'three\n')
    await logs.restart()
    await looks(logs)
    expect(logs.messages('app')).toEqual(['three'])
    expect(logs.cursors).toHaveLength(2)
    expect(logs.failures()).toMatchObject([{ what: logs.path('app.log.1') }])
    await chmod(logs.path('app.log.1'), 0o644)
    await looks(logs)
    expect(logs.messages('app')).toEqual(['three', 'two'])
    expect(logs.gaps).toEqual([])
  })
})

async function open(): Promise<FollowedLogs> {
  const logs = await FollowedLogs.open()
  await chmod(dirname(logs.path('')), 0o755)
  await chmod(dirname(dirname(logs.path('app.log'))), 0o755)
  return logs
}

/** Between two looks, a file comes and is rotated that may not be read, and the next one comes. */
async function rotateUnread(logs: FollowedLogs): Promise<void> {
  await rename(logs.path('app.log'), logs.path('app.log.2'))
  fileTime()
  await writeFile(logs.path('app.log.1'), 'two\n', { mode: 0 })
  fileTime()
  await writeFile(logs.path('app.log'), 'three\n')
}

/** As somebody who is bound by the modes of files, which root is not. */
async function looks(logs: FollowedLogs): Promise<void> {
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    await logs.look(1_000)
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
}
