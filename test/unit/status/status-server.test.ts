import { once } from 'node:events'
import { link, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'

import { expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { callAgent, socketPathIn, type AgentAnswer, type AgentCall } from '../../../agent/status/status-client.ts'
import { startStatusServer, type LocalRequests } from '../../../agent/status/status-server.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { configurationReport, statusDocument } from '../../support/status-document.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

const recent = {
  version: 1,
  run: 'r',
  now: '2027-01-01T00:00:00.000Z',
  lines: [],
  provisioned: true,
  streams: [],
} as const

function fakeRequests() {
  return {
    status: vi.fn<LocalRequests['status']>(() => statusDocument()),
    configuration: vi.fn<LocalRequests['configuration']>(() => configurationReport()),
    recentLogs: vi.fn<LocalRequests['recentLogs']>(() => recent),
    sync: vi.fn<LocalRequests['sync']>(() => Promise.resolve()),
    refresh: vi.fn<LocalRequests['refresh']>(() => Promise.resolve()),
    releases: vi.fn<LocalRequests['releases']>((name) => ({ version: 1, name, releases: [] })),
    verify: vi.fn<LocalRequests['verify']>((name) =>
      Promise.resolve({ version: 1, name, releaseId: 'r', files: 1, bytes: 2, damaged: [] }),
    ),
    rollBack: vi.fn<LocalRequests['rollBack']>(() => Promise.resolve()),
  }
}

async function serve({ path }: TempFolder, requests: LocalRequests = fakeRequests()): Promise<AsyncDisposable> {
  return await startStatusServer({ socketPath: socketPathIn(path), requests, log: new RecordingLog() })
}

async function call(folder: TempFolder, method: AgentCall['method'], path: string): Promise<AgentAnswer> {
  return await callAgent({ socketPath: socketPathIn(folder.path), method, path, withinMs: 5_000 })
}

/** A socket at which something other than an agent listens. */
async function listening(socketPath: string): Promise<Server> {
  const server = createServer()
  server.listen(socketPath)
  await once(server, 'listening')
  return server
}

test('answers the configuration in use', async () => {
  await using folder = await tempFolder()
  await using _ = await serve(folder)
  expect(await call(folder, 'GET', '/configuration')).toEqual({ status: 200, body: configurationReport() })
})

test('answers the last lines of the log after a number, and refuses what is none', async () => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  expect(await call(folder, 'GET', '/recent-logs')).toEqual({ status: 200, body: recent })
  expect(await call(folder, 'GET', '/recent-logs/17')).toEqual({ status: 200, body: recent })
  expect(requests.recentLogs.mock.calls).toEqual([[0], [17]])
  expect((await call(folder, 'GET', '/recent-logs/-1')).status).toBe(400)
})

test('answers the status', async () => {
  await using folder = await tempFolder()
  await using _ = await serve(folder)
  expect(await call(folder, 'GET', '/status')).toEqual({ status: 200, body: statusDocument() })
})

test('lets its user and group use the socket, and nobody else', async () => {
  await using folder = await tempFolder()
  const umask = process.umask(0)
  try {
    await using _ = await serve(folder)
    const { mode } = await stat(socketPathIn(folder.path))
    expect(mode & 0o7777).toBe(0o660)
  } finally {
    process.umask(umask)
  }
})

test.each([
  ['/sync', undefined],
  ['/sync/people-counter', 'people-counter'],
  ['/sync/a%20b%2Fc', 'a b/c'],
])('hands POST %s on with the name %s and answers the status after it', async (path, name) => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  expect(await call(folder, 'POST', path)).toMatchObject({ status: 200, body: { version: 1 } })
  expect(requests.sync.mock.calls).toEqual([[name]])
})

test.each([
  ['/refresh', undefined],
  ['/refresh/dock-3', 'dock-3'],
])('hands POST %s on with the name %s', async (path, name) => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  expect(await call(folder, 'POST', path)).toMatchObject({ status: 200 })
  expect(requests.refresh.mock.calls).toEqual([[name]])
})

test.each([
  ['/rollback/a', ['a', undefined]],
  ['/rollback/a%2Fb/0123', ['a/b', '0123']],
])('hands POST %s on and answers the releases after it', async (path, called) => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  const body = { version: 1, name: called[0], releases: [] }
  expect(await call(folder, 'POST', path)).toEqual({ status: 200, body })
  expect(requests.rollBack.mock.calls).toEqual([called])
})

test.each([
  ['GET', '/releases'],
  ['POST', '/verify'],
  ['POST', '/rollback'],
  ['POST', '/rollback/'],
] as const)('refuses %s %s without a name', async (method, path) => {
  await using folder = await tempFolder()
  await using _ = await serve(folder)
  expect(await call(folder, method, path)).toMatchObject({ status: 400 })
})

test('ends the reading of a release for which nobody waits any more', async () => {
  await using folder = await tempFolder()
  const ended = Promise.withResolvers<unknown>()
  const verify: LocalRequests['verify'] = async (_, signal) => {
    signal.addEventListener('abort', () => {
      ended.resolve(signal.reason)
    })
    return await new Promise(() => undefined)
  }
  await using _ = await serve(folder, { ...fakeRequests(), verify })
  const caller = new AbortController()
  const asked = callAgent({
    socketPath: socketPathIn(folder.path),
    method: 'POST',
    path: '/verify/a',
    withinMs: 5_000,
    signal: caller.signal,
  })
  setTimeout(() => {
    caller.abort(new Error('gone'))
  }, 50)
  await expect(asked).rejects.toThrow('gone')
  expect(await ended.promise).toMatchObject({ message: 'nobody waits for the answer any more' })
})

test('answers what went wrong, with the hint', async () => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  requests.sync.mockRejectedValue(new AgentError('there is no artifact x', { hint: 'name one of: y' }))
  await using _ = await serve(folder, requests)
  expect(await call(folder, 'POST', '/sync/x')).toEqual({
    status: 500,
    body: { error: { name: 'AgentError', message: 'there is no artifact x', hint: 'name one of: y' } },
  })
})

test.each([
  ['GET', '/'],
  ['GET', '/nothing'],
  ['POST', '/status'],
  ['GET', '/sync'],
  ['GET', '/refresh/dock-3'],
] as const)('does not know %s %s', async (method, path) => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  expect(await call(folder, method, path)).toMatchObject({ status: 404, body: { error: { name: 'AgentError' } } })
  expect(requests.sync).not.toHaveBeenCalled()
  expect(requests.refresh).not.toHaveBeenCalled()
})

test('answers bad percent-encoding with an error, and goes on serving', async () => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  await using _ = await serve(folder, requests)
  expect(await call(folder, 'POST', '/sync/%zz')).toMatchObject({
    status: 400,
    body: { error: { message: 'the name is malformed' } },
  })
  expect(requests.sync).not.toHaveBeenCalled()
  expect(await call(folder, 'GET', '/status')).toMatchObject({ status: 200 })
})

test('refuses to start beside another agent, which stays reachable', async () => {
  await using folder = await tempFolder()
  await using _ = await serve(folder)
  await expect(serve(folder)).rejects.toMatchObject({
    name: 'AgentError',
    message: `another agent is at ${socketPathIn(folder.path)}`,
  })
  expect(await call(folder, 'GET', '/status')).toMatchObject({ status: 200 })
})

test('replaces what an agent that was killed left behind', async () => {
  await using folder = await tempFolder()
  const server = await listening(join(folder.path, 'other.sock'))
  await link(join(folder.path, 'other.sock'), socketPathIn(folder.path)) // outlives the server, as after a kill -9
  server.close()
  await once(server, 'close')
  await using _ = await serve(folder)
  expect(await call(folder, 'GET', '/status')).toMatchObject({ status: 200 })
})

test('removes its socket, and ends what is in flight, when it is disposed', async () => {
  await using folder = await tempFolder()
  const requests = fakeRequests()
  requests.sync.mockReturnValue(Promise.withResolvers<undefined>().promise)
  const server = await serve(folder, requests)
  const rejected = expect(call(folder, 'POST', '/sync')).rejects.toMatchObject({ retryable: true })
  await vi.waitFor(() => {
    expect(requests.sync).toHaveBeenCalledOnce()
  })
  await server[Symbol.asyncDispose]()
  await rejected
  await expect(stat(socketPathIn(folder.path))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('tells a caller that no agent runs, and what to do', async () => {
  await using folder = await tempFolder()
  await expect(call(folder, 'GET', '/status')).rejects.toMatchObject({
    message: `no agent answers at ${socketPathIn(folder.path)}`,
    hint: expect.stringContaining('start it') as string,
  })
})

test('gives up on an agent that does not answer in time', async () => {
  await using folder = await tempFolder()
  const socketPath = socketPathIn(folder.path)
  const server = await listening(socketPath)
  try {
    await expect(callAgent({ socketPath, method: 'GET', path: '/status', withinMs: 50 })).rejects.toMatchObject({
      message: `the agent at ${socketPath} did not answer within 0.05 s`,
      hint: expect.stringContaining('it hangs') as string,
      retryable: true,
    })
  } finally {
    server.close()
  }
})
