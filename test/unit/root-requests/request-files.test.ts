import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { RequestFiles, type RequestFilesOptions } from '../../../agent/root-requests/request-files.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'
import { until } from '../../support/wait-until.ts'

const never = new AbortController().signal

function make(folder: TempFolder, options: Partial<RequestFilesOptions> = {}): RequestFiles {
  return new RequestFiles({ runtimeFolder: folder.path, withinMs: 10_000, ...options })
}

async function namesOf(folder: TempFolder, kind: 'requests' | 'answers'): Promise<readonly string[]> {
  const names = await readdir(join(folder.path, kind)).catch(() => [])
  return names.filter((name) => name.endsWith('.json'))
}

/** Waits for a request and takes it, as root does. */
async function take(folder: TempFolder): Promise<{ name: string; text: string }> {
  await until(async () => (await namesOf(folder, 'requests')).length > 0)
  const [name = ''] = await namesOf(folder, 'requests')
  const taken = join(folder.path, 'taken')
  await rename(join(folder.path, 'requests', name), taken)
  return { name, text: await readFile(taken, 'utf8') }
}

async function answer(folder: TempFolder, name: string, text: string): Promise<void> {
  await writeFile(join(folder.path, 'made'), text)
  await rename(join(folder.path, 'made'), join(folder.path, 'answers', name))
}

test.each([
  { result: 'done', code: 'ok' },
  { result: 'refused', code: 'argument-not-allowed' },
  { result: 'failed', code: 'timed-out' },
])('brings back the answer $result, and leaves nothing behind', async (given) => {
  await using folder = await tempFolder()
  const asked = make(folder).request({ verb: 'restart-unit', argument: 'app@1.service' }, never)
  const { name, text } = await take(folder)
  expect(name).toMatch(/^[A-Za-z0-9-]{1,64}\.json$/)
  expect(text).toBe('{"verb":"restart-unit","argument":"app@1.service"}')
  await answer(folder, name, JSON.stringify(given))
  expect(await asked).toEqual(given)
  expect([await namesOf(folder, 'requests'), await namesOf(folder, 'answers')]).toEqual([[], []])
})

test('sees an answer as soon as it is there', async () => {
  await using folder = await tempFolder()
  const asked = make(folder, { pollMs: 3_600_000, withinMs: 3_600_000 }).request({ verb: 'reboot' }, never)
  const { name, text } = await take(folder)
  expect(JSON.parse(text)).toEqual({ verb: 'reboot', argument: '' })
  await answer(folder, name, '{"result":"done","code":"ok"}')
  expect(await asked).toEqual({ result: 'done', code: 'ok' })
})

test('keeps its folders to itself', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'requests'), { mode: 0o755 })
  await chmod(join(folder.path, 'requests'), 0o755)
  await make(folder, { withinMs: 1 }).request({ verb: 'reboot' }, never)
  for (const kind of ['requests', 'answers']) {
    expect((await stat(join(folder.path, kind))).mode & 0o7777).toBe(0o700)
  }
})

test('withdraws a request that nobody took, and says so', async () => {
  await using folder = await tempFolder()
  const told = await make(folder, { withinMs: 20 }).request({ verb: 'reboot' }, never)
  expect(told).toEqual({ result: 'no answer', code: 'not-taken' })
  expect(await namesOf(folder, 'requests')).toEqual([])
})

test('says when a request was taken and not answered in time', async () => {
  await using folder = await tempFolder()
  const asked = make(folder, { withinMs: 500 }).request({ verb: 'reboot' }, never)
  await take(folder)
  expect(await asked).toEqual({ result: 'no answer', code: 'taken' })
})

test('clears away what answers nobody any more, and what was asked by an earlier run', async () => {
  await using folder = await tempFolder()
  for (const kind of ['requests', 'answers']) {
    await mkdir(join(folder.path, kind))
    await writeFile(join(folder.path, kind, 'old.json'), '{}')
  }
  await make(folder, { withinMs: 1 }).request({ verb: 'reboot' }, never)
  expect([await namesOf(folder, 'requests'), await namesOf(folder, 'answers')]).toEqual([[], []])
})

test('tells requests in parallel apart', async () => {
  await using folder = await tempFolder()
  const files = make(folder)
  const first = files.request({ verb: 'run-hook', argument: 'first' }, never)
  const one = await take(folder)
  const second = files.request({ verb: 'run-hook', argument: 'second' }, never)
  const two = await take(folder)
  await answer(folder, two.name, '{"result":"refused","code":"two"}')
  expect(await second).toEqual({ result: 'refused', code: 'two' })
  await answer(folder, one.name, '{"result":"done","code":"one"}')
  expect(await first).toEqual({ result: 'done', code: 'one' })
})

test('leaves alone what is in flight when another request is made', async () => {
  await using folder = await tempFolder()
  const stop = new AbortController()
  const files = make(folder)
  const asked: Promise<unknown>[] = []
  for (const argument of ['first', 'second']) {
    asked.push(files.request({ verb: 'run-hook', argument }, stop.signal))
    await until(async () => (await namesOf(folder, 'requests')).length === asked.length)
  }
  stop.abort(new Error('enough'))
  await Promise.allSettled(asked)
  expect(await namesOf(folder, 'requests')).toEqual([])
})

test('withdraws the request when it is told to stop', async () => {
  await using folder = await tempFolder()
  const stop = new AbortController()
  const asked = make(folder).request({ verb: 'reboot' }, stop.signal)
  await until(async () => (await namesOf(folder, 'requests')).length > 0)
  stop.abort(new Error('enough'))
  await expect(asked).rejects.toThrow('enough')
  expect(await namesOf(folder, 'requests')).toEqual([])
})

test.each(['', '{', '{"result":"maybe","code":"ok"}', '{"result":"done"}', '{"result":"done","code":"ok","more":1}'])(
  'takes %j for no good answer',
  async (text) => {
    await using folder = await tempFolder()
    const asked = make(folder).request({ verb: 'reboot' }, never)
    const { name } = await take(folder)
    await answer(folder, name, text)
    expect(await asked).toEqual({ result: 'failed', code: 'unreadable-answer' })
  },
)

test.each(['a b', '../x', 'é', 'a'.repeat(129), '"', 'a~', 'a+'])(
  'does not even ask with the argument %j',
  async (argument) => {
    await using folder = await tempFolder()
    await expect(make(folder).request({ verb: 'run-hook', argument }, never)).rejects.toThrow('that argument')
    expect(await namesOf(folder, 'requests')).toEqual([])
  },
)

test('asks about updates with versions as dpkg has them', async () => {
  await using folder = await tempFolder()
  const asked = make(folder).request({ verb: 'confirm-update', argument: '1.1.0~rc.1+b7' }, never)
  const { name, text } = await take(folder)
  expect(JSON.parse(text)).toEqual({ verb: 'confirm-update', argument: '1.1.0~rc.1+b7' })
  await answer(folder, name, '{"result":"done","code":"ok"}')
  expect(await asked).toEqual({ result: 'done', code: 'ok' })
})

test('asks for no more than 8 things at a time', async () => {
  await using folder = await tempFolder()
  const stop = new AbortController()
  const files = make(folder)
  const asked = Array.from({ length: 8 }, async () => await files.request({ verb: 'reboot' }, stop.signal))
  await expect(files.request({ verb: 'reboot' }, stop.signal)).rejects.toThrow('too many requests')
  stop.abort(new Error('enough'))
  const ends = await Promise.allSettled(asked)
  expect(ends.every(({ status }) => status === 'rejected')).toBe(true)
})

test('throws where no request can be made', async () => {
  await using folder = await tempFolder()
  await rm(folder.path, { recursive: true })
  await expect(make(folder).request({ verb: 'reboot' }, never)).rejects.toThrow('ENOENT')
})
