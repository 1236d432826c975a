import { renameSync, writeFileSync } from 'node:fs'
import { appendFile, copyFile, open, rename, rm, stat, truncate, writeFile } from 'node:fs/promises'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { FollowedPath } from '../../../agent/logs/files/followed-path.ts'
import { ReadMemory } from '../../../agent/logs/events/text-slab.ts'
import { fileTime, FollowedLogs } from './followed-logs.ts'
import { useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

test('nothing is lost or mixed up when a file is copied, truncated and written anew between a look and a read', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'old 1\n')
  await logs.look()
  await appendFile(logs.path('app.log'), 'old 2\nold 3\n')
  logs.beforeRead = async () => {
    logs.beforeRead = () => Promise.resolve()
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), 'new 1\nnew 2\nnew 3\nnew 4\n')
  }
  await logs.look()
  await logs.pass(3_000)
  expect(logs.messages('app')).toEqual(['old 1', 'old 2', 'old 3', 'new 1', 'new 2', 'new 3', 'new 4'])
  expect(logs.gaps).toEqual([])
})

test('a file that moves on, and one that came after it, while others are looked for, are both read, in order', async () => {
  await using logs = await FollowedLogs.open()
  const at = (suffix: string): string => logs.path(`app.log${suffix}`)
  let whileLooking = (): void => undefined
  await using path = new FollowedPath({
    path: at(''),
    target: { group: 'group', stream: 'app' },
    format: logs.format,
    cursors: [],
    cursorOf: () => undefined,
    isFollowed: () => {
      whileLooking()
      return false
    },
    isAwaited: () => false,
    originals: () => [],
    onGap: (gap) => logs.gaps.push(gap),
    cloudNow: () => Date.now(),
  })
  await writeFile(at(''), 'one\n')
  await path.look()
  renameSync(at(''), at('.1'))
  fileTime()
  writeFileSync(at(''), 'two\n')
  whileLooking = () => {
    whileLooking = () => undefined
    renameSync(at('.1'), at('.3'))
    renameSync(at(''), at('.2'))
    fileTime()
    writeFileSync(at('.1'), 'three\n')
    fileTime()
    writeFileSync(at(''), 'four\n')
  }
  for (let look = 0; look < 3; look += 1) await path.look()
  const messages: string[] = []
  for (let file = path.nextFile(); file !== undefined; file = path.nextFile()) {
    await file.read(new ReadMemory(1_024), ({ message }) => messages.push(message))
  }
  expect(messages).toEqual(['one', 'two', 'three', 'four'])
  expect(logs.gaps).toEqual([])
})

describe('rotation by renaming', () => {
  test('is followed through several rotations between two looks', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await appendFile(logs.path('app.log'), 'two\n')
    for (const [index, text] of ['three', 'four', 'five'].entries()) {
      await rename(logs.path('app.log'), logs.path(`app.log.${3 - index}`))
      fileTime()
      await writeFile(logs.path('app.log'), `${text}\n`)
    }
    await logs.look()
    expect(logs.messages('app')).toEqual(['one', 'two', 'three', 'four', 'five'])
    expect(logs.gaps).toEqual([])
  })

  test('is followed when nothing was at the path for long, and then several files came at once', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await rename(logs.path('app.log'), logs.path('app.log.2'))
    await logs.pass(35_000)
    logs.accept()
    await logs.pass(2_000)
    fileTime()
    await writeFile(logs.path('app.log.1'), 'two\n')
    fileTime()
    await writeFile(logs.path('app.log'), 'three\n')
    await logs.pass(11_000)
    expect(logs.messages('app')).toEqual(['one', 'two', 'three'])
  })

  test('is followed when a file came and was rotated before it was first seen', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('old.log.1'), 'from before\n')
    vi.setSystemTime(Math.ceil((await stat(logs.path('old.log.1'))).mtimeMs))
    await logs.look()
    fileTime()
    await writeFile(logs.path('app.log.1'), 'one\n')
    fileTime()
    await writeFile(logs.path('app.log'), 'two\n')
    await writeFile(logs.path('old.log'), 'new\n')
    await logs.look(11_000)
    expect(logs.messages('app')).toEqual(['one', 'two'])
    expect(logs.messages('old')).toEqual(['new'])
  })

  test('is followed when a file came and was rotated between two looks, and none is at the path since', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await rename(logs.path('app.log'), logs.path('app.log.2'))
    fileTime()
    await writeFile(logs.path('app.log.1'), 'two\n')
    await logs.look(1_000)
    expect(logs.messages('app')).toEqual(['one', 'two'])
  })

  test('does not bring up files that were rotated before the start', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log.1'), 'from before\n')
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await logs.pass(12_000)
    expect(logs.messages('app')).toEqual(['one'])
  })

  test('while it was away: says that a file is gone, and reads those that came after it', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log.4'), 'from before\n')
    fileTime()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    logs.accept()
    fileTime()
    await rename(logs.path('app.log'), logs.path('app.log.3.gz'))
    await writeFile(logs.path('app.log.2'), 'two\n')
    fileTime()
    await writeFile(logs.path('app.log.1'), 'three\n')
    await writeFile(logs.path('app.log.3.gz'), 'compressed')
    await rm(logs.path('app.log.3.gz'))
    await writeFile(logs.path('app.log.3.gz'), 'compressed')
    await writeFile(logs.path('app.log'), 'four\n')
    await logs.restart()
    await logs.look()
    expect(logs.messages('app')).toEqual(['two', 'three', 'four'])
    const target = { group: 'group', stream: 'app' }
    expect(logs.gaps).toEqual([{ target, source: logs.path('app.log'), reason: 'rotated' }])
  })
})

describe('rotation to names that are followed as well', () => {
  test('while it was away moves every file to the path of the next, and none is sent twice', async () => {
    await using logs = await FollowedLogs.open()
    logs.pattern = 'app.log*'
    await writeFile(logs.path('app.log.1'), 'one\n')
    fileTime()
    await writeFile(logs.path('app.log'), 'two\n')
    await logs.pass(2_000)
    logs.accept()
    await appendFile(logs.path('app.log'), 'three\n')
    await rename(logs.path('app.log.1'), logs.path('app.log.2'))
    await rename(logs.path('app.log'), logs.path('app.log.1'))
    fileTime()
    await writeFile(logs.path('app.log'), 'four\n')
    await logs.restart()
    await logs.pass(13_000)
    expect(logs.events.map(({ message }) => message)).toEqual(['three', 'four'])
    expect(logs.gaps).toEqual([])
  })

  test.for([1, 2])(
    'by copying and truncating sends nothing twice, whichever path has its turn first (%i)',
    async (looks) => {
      await using logs = await FollowedLogs.open()
      logs.pattern = 'app.log*'
      await writeFile(logs.path('app.log.1'), 'one\n')
      fileTime()
      await writeFile(logs.path('app.log'), 'two\n')
      await logs.pass(looks * 1_000)
      await appendFile(logs.path('app.log'), 'three\n')
      await rename(logs.path('app.log.1'), logs.path('app.log.2'))
      await copyFile(logs.path('app.log'), logs.path('app.log.1'))
      await truncate(logs.path('app.log'))
      await appendFile(logs.path('app.log'), 'four\n')
      await logs.pass(13_000)
      expect(logs.messages('app')).toEqual(['two', 'three', 'four'])
      expect(logs.messages('app.log')).toEqual(['one'])
      expect(logs.gaps).toEqual([])
    },
  )
})

describe('rotation by copying and truncating', () => {
  test('is followed through several rotations between two looks', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await appendFile(logs.path('app.log'), 'two\n')
    for (const [index, text] of ['three', 'four', 'five'].entries()) {
      await copyFile(logs.path('app.log'), logs.path(`app.log.${3 - index}`))
      fileTime()
      await truncate(logs.path('app.log'))
      await appendFile(logs.path('app.log'), `${text}\n`)
    }
    await logs.look()
    expect(logs.messages('app')).toEqual(['one', 'two', 'three', 'four', 'five'])
    expect(logs.gaps).toEqual([])
  })

  test.for(['between two looks', 'while it was away'])('is followed when the file was empty: %s', async (when) => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await copyFile(logs.path('app.log'), logs.path('app.log.2'))
    fileTime()
    await truncate(logs.path('app.log'))
    await logs.pass(35_000)
    logs.accept()
    await logs.pass(22_000)
    fileTime()
    await appendFile(logs.path('app.log'), 'two\n')
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), 'three\n')
    if (when === 'while it was away') await logs.restart()
    else logs.events.length = 0
    await logs.look(1_000)
    expect(logs.messages('app')).toEqual(['two', 'three'])
    expect(logs.gaps).toEqual([])
  })

  test('reads an event that waited for more lines from the copy', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, multiLine: { firstLine: '^\\S', maxLines: 500, waitSeconds: 2 } }
    await writeFile(logs.path('app.log'), 'one\n  a\n')
    await logs.look()
    await appendFile(logs.path('app.log'), '  b\n')
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), 'two\n')
    await logs.pass(3_000)
    expect(logs.messages('app')).toEqual(['one\n  a\n  b', 'two'])
  })

  test('does not take the copy for a file of its own, whenever it is found', async () => {
    await using logs = await FollowedLogs.open()
    logs.pattern = '*.log*'
    await writeFile(logs.path('app.log'), 'one\ntwo\n')
    await logs.look()
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await logs.pass(12_000)
    await appendFile(logs.path('app.log'), 'three\n')
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), '4\n')
    await logs.pass(60_000)
    logs.accept()
    await logs.pass(60_000)
    expect(logs.messages('app')).toEqual(['one', 'two', 'three', '4'])
    expect(logs.streams()).toEqual(['app'])
    await logs.restart()
    await logs.pass(60_000)
    expect(logs.events).toEqual([])
    expect(logs.gaps).toEqual([])
  })

  test('does not take a copy for a file of its own that was made and truncated before it is found', async () => {
    await using logs = await FollowedLogs.open()
    logs.pattern = '*.log*'
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await logs.pass(9_000)
    await appendFile(logs.path('app.log'), 'two\n')
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await logs.pass(2_000)
    expect(logs.messages('app')).toEqual(['one', 'two'])
    expect([logs.streams(), logs.gaps]).toEqual([['app'], []])
  })

  test('follows a file that only began like another one', async () => {
    await using logs = await FollowedLogs.open()
    const banner = 'the same banner\n'
    await writeFile(logs.path('camera.log'), `${banner}one\n`)
    await logs.look()
    await writeFile(logs.path('camera-1.log'), banner)
    await logs.pass(11_000)
    expect(logs.streams()).toEqual(['camera'])
    await appendFile(logs.path('camera-1.log'), 'two\n')
    await logs.pass(1_000)
    expect(logs.messages('camera-1')).toEqual([banner.trim(), 'two'])
  })

  test('shows the hole that a writer leaves which goes on where it was', async () => {
    await using logs = await FollowedLogs.open()
    await using writer = await open(logs.path('app.log'), 'w')
    await writer.write(`${'x'.repeat(9_999)}\n`)
    await logs.look()
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await writer.write('two\n')
    await logs.look()
    expect(logs.messages('app')).toEqual(['x'.repeat(9_999), '\u2400(10000 times)two'])
    expect(logs.gaps).toEqual([])
  })
})

describe('what is lost', () => {
  test('when a file is truncated under its writer is told without a number of bytes', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    const readAtMs = Date.now()
    vi.advanceTimersByTime(1_000)
    await truncate(logs.path('app.log'))
    await logs.look()
    expect(logs.gaps).toEqual([
      {
        target: { group: 'group', stream: 'app' },
        source: logs.path('app.log'),
        reason: 'rotated',
        firstMs: expect.closeTo(readAtMs, -1) as number,
        lastMs: expect.closeTo(readAtMs + 1_000, -1) as number,
      },
    ])
  })

  test('is nothing when a file without a writer is truncated', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await logs.pass(15_000)
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), '2\n')
    await logs.look()
    expect(logs.messages('app')).toEqual(['one', '2'])
    expect(logs.gaps).toEqual([])
  })

  test('of a deleted file that could not be sent for ten minutes is counted, once', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    logs.isHeldBack = true
    await appendFile(logs.path('app.log'), 'two\n')
    await logs.look(1_000)
    await rm(logs.path('app.log'))
    await logs.pass(590_000)
    expect(logs.gaps).toEqual([])
    await logs.pass(20_000)
    expect(logs.gaps).toMatchObject([{ reason: 'rotated', bytes: 4 }])
    logs.isHeldBack = false
    await logs.pass(2_000)
    expect(logs.messages('app')).toEqual(['one'])
    await logs.restart()
    await logs.look()
    expect(logs.gaps).toMatchObject([{ bytes: 4 }])
  })

  test('is counted in the record or in the cursor, never in both', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\ntwo\n')
    await logs.look()
    logs.accept(1)
    logs.isHeldBack = true
    await appendFile(logs.path('app.log'), 'never read\n')
    await logs.look(1_000)
    await truncate(logs.path('app.log'))
    await logs.look(1_000)
    expect(logs.gaps).toMatchObject([{ bytes: 11 }])
    const [cursor] = logs.cursors
    expect(cursor).toMatchObject({ positionBytes: 4, sizeBytes: 8 })
    await logs.restart()
    await logs.look()
    expect(logs.gaps).toMatchObject([{ bytes: 4 }])
  })

  test('is nothing of a file that was read to its end and deleted', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    logs.accept()
    await rm(logs.path('app.log'))
    await logs.restart()
    await logs.look()
    expect(logs.gaps).toEqual([])
  })
})

describe('no gap is told', () => {
  test('of a truncated file whose copy is read, when a restart comes before what was read of it is accepted', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await appendFile(logs.path('app.log'), 'two\n')
    await logs.look(1_000)
    await logs.restart()
    await logs.look()
    expect(logs.messages('app')).toEqual(['one', 'two'])
    expect(logs.gaps).toEqual([])
  })

  test('of a rotated file that was found again by its new name, when a restart follows', async () => {
    await using logs = await FollowedLogs.open()
    logs.pattern = 'app.log*'
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    logs.accept()
    await rename(logs.path('app.log'), logs.path('app.log.1'))
    await logs.pass(33_000)
    await logs.restart()
    await logs.look()
    expect(logs.events).toEqual([])
    expect(logs.gaps).toEqual([])
  })
})

test('a file that was born anew on an old inode is read from its first byte, though it begins alike', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'starting\n')
  await logs.look()
  logs.accept()
  const cursors = logs.cursors.map((cursor) => ({ ...cursor, bornMs: (cursor.bornMs ?? 0) - 60_000 }))
  await appendFile(logs.path('app.log'), 'one\n')
  await logs.restart(cursors)
  await logs.look()
  expect(logs.messages('app')).toEqual(['starting', 'one'])
})

test('a file on the inode of one that was read, deleted and not accepted yet is followed', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'one\n')
  await logs.look()
  await rename(logs.path('app.log'), logs.path('app.log.1'))
  await writeFile(logs.path('app.log'), 'two\n')
  await logs.pass(35_000)
  await rm(logs.path('app.log.1'))
  fileTime()
  await rename(logs.path('app.log'), logs.path('app.log.1'))
  await writeFile(logs.path('app.log'), 'three\n') // where ext4 has the inode of the first one free
  await logs.pass(2_000)
  expect(logs.messages('app')).toEqual(['one', 'two', 'three'])
})

test('compressed files are no sources', async () => {
  await using logs = await FollowedLogs.open()
  logs.pattern = '*'
  for (const ending of ['gz', 'xz', 'zst', 'bz2', 'lz4', 'zip', 'GZ']) {
    await writeFile(logs.path(`app.log.1.${ending}`), 'compressed\n')
  }
  await writeFile(logs.path('app.log'), 'one\n')
  await logs.look()
  expect(logs.streams()).toEqual(['app'])
})
