import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'

import { describe, expect, test } from 'vitest'

import { newToken } from '../../agent/credentials/application-token.ts'
import { CredentialsServer, type ServedApplication } from '../../agent/credentials/credentials-server.ts'
import type { HeldCredentials } from '../../agent/credentials/role-credentials.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { httpGet, type HttpReply } from '../support/http-get.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { waitUntil } from '../support/wait-until.ts'

const hourMs = 3_600_000

function held(accessKeyId: string, leftMs = hourMs): HeldCredentials {
  const nowMs = performance.now()
  return {
    accessKeyId,
    secretAccessKey: `secret-of-${accessKeyId}`,
    sessionToken: `session-of-${accessKeyId}`,
    lifetimeMs: leftMs,
    fetchedMs: nowMs,
    expiresMs: nowMs + leftMs,
  }
}

function served(name: string, change: Partial<ServedApplication> = {}): ServedApplication {
  return { name, token: newToken(), credentials: async () => await Promise.resolve(held(`key-of-${name}`)), ...change }
}

interface Listening extends AsyncDisposable {
  readonly server: CredentialsServer
  readonly port: number
  readonly log: RecordingLog
}

async function listening(applications: readonly ServedApplication[], answerWithinMs?: number): Promise<Listening> {
  const log = new RecordingLog()
  const server = new CredentialsServer({ log, ...(answerWithinMs === undefined ? {} : { answerWithinMs }) })
  server.serve(applications)
  await server.listen(0)
  return { server, port: server.port ?? 0, log, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

async function get(port: number, name: string, authorization?: string): Promise<HttpReply> {
  const headers = authorization === undefined ? {} : { authorization }
  return await httpGet(port, { path: `/v1/applications/${name}`, headers })
}

/** Sends bytes and resolves with all that came until the other side closed. */
async function exchange(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    answer += chunk
  })
  socket.on('error', () => undefined)
  socket.write(text)
  await once(socket, 'close')
  return answer
}

describe('an application', () => {
  test('gets its credentials for its token, in the shape that SDKs read, and on a connection used once', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const { status, headers, body } = await get(here.port, 'people-counter', counter.token)
    expect(status).toBe(200)
    expect(Object.keys(body)).toEqual(['AccessKeyId', 'SecretAccessKey', 'Token', 'Expiration'])
    expect(body).toMatchObject({
      AccessKeyId: 'key-of-people-counter',
      SecretAccessKey: 'secret-of-key-of-people-counter',
      Token: 'session-of-key-of-people-counter',
      Expiration: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as unknown,
    })
    expect(Math.abs(Date.parse(String(body['Expiration'])) - Date.now() - hourMs)).toBeLessThan(60_000)
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      connection: 'close',
    })
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    expect(here.server.servedCount('people-counter')).toBe(1)
  })

  test('gets nothing for the token of another, for none, or for one that is nearly right', async () => {
    const [counter, gate] = [served('people-counter'), served('gate')]
    await using here = await listening([counter, gate])
    const wrong = [undefined, '', gate.token, `Bearer ${counter.token}`, counter.token.slice(1), `${counter.token}x`]
    for (const token of wrong) {
      const { status, body } = await get(here.port, 'people-counter', token)
      expect(status).toBe(401)
      expect(Object.keys(body)).toEqual(['code', 'message', 'Code', 'Message'])
      expect(body).toMatchObject({ code: 'WrongToken', message: expect.stringMatching(/aws\.env/) as unknown })
    }
    expect((await get(here.port, 'unknown', counter.token)).status).toBe(401)
    expect(here.server.servedCount('people-counter')).toBe(0)
    expect(here.log.messages('warn')).toContain('credentials were refused')
    const text = JSON.stringify(here.log.entries)
    for (const { token } of [counter, gate]) expect(text).not.toContain(token)
  })

  test('is told why there are none, by a status that SDKs try again after', async () => {
    const why = new AgentError('no credentials: the line is down', { retryable: true, hint: 'check the network' })
    const counter = served('people-counter', { credentials: async () => await Promise.reject(why) })
    await using here = await listening([counter])
    const { status, headers, body } = await get(here.port, 'people-counter', counter.token)
    expect(status).toBe(503)
    expect(headers['content-type']).toBe('application/json')
    expect(body).toMatchObject({
      code: 'CredentialsUnavailable',
      message:
        'the application people-counter has no credentials now: no credentials: the line is down (check the network)',
    })
  })

  test('is not kept waiting for credentials that are on their way for long', async () => {
    const counter = served('people-counter', { credentials: async () => await new Promise(() => undefined) })
    await using here = await listening([counter], 20)
    expect(await get(here.port, 'people-counter', counter.token)).toMatchObject({
      status: 503,
      body: { message: expect.stringMatching(/fetching the credentials did not finish/) as unknown },
    })
  })

  test('that asks without end is held up, and no other with it', async () => {
    const [counter, gate] = [served('people-counter'), served('gate')]
    await using here = await listening([counter, gate])
    const statuses = new Set<number>()
    for (let count = 0; count < 400 && !statuses.has(429); count += 1) {
      statuses.add((await get(here.port, 'people-counter', counter.token)).status)
    }
    expect([...statuses]).toEqual([200, 429])
    expect((await get(here.port, 'gate', gate.token)).status).toBe(200)
  })

  test('is served while wrong tokens are tried without end, which are held up', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const statuses: number[] = []
    for (let count = 0; count < 60; count += 1) statuses.push((await get(here.port, 'people-counter', 'wrong')).status)
    expect(new Set(statuses)).toEqual(new Set([401, 429]))
    expect((await get(here.port, 'people-counter', 'wrong')).headers['retry-after']).toBe('1')
    expect((await get(here.port, 'people-counter', counter.token)).status).toBe(200)
    expect(here.log.messages('warn')).toHaveLength(1)
  })
})

describe('a request that no SDK makes', () => {
  test.each([
    { what: 'with the Host of a rebound name', headers: { host: 'attacker.example:9912' }, status: 403 },
    { what: 'with an Origin', headers: { origin: 'http://attacker.example' }, status: 403 },
    { what: 'with Sec-Fetch-Site', headers: { 'sec-fetch-site': 'cross-site' }, status: 403 },
    { what: 'by POST', method: 'POST', status: 405 },
    { what: 'by OPTIONS', method: 'OPTIONS', status: 405 },
  ])('is refused, right token or not: $what', async ({ headers = {}, method = 'GET', status }) => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const reply = await httpGet(here.port, {
      path: '/v1/applications/people-counter',
      method,
      headers: { authorization: counter.token, ...headers },
    })
    expect(reply.status).toBe(status)
    expect(Object.keys(reply.headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    expect(here.server.servedCount('people-counter')).toBe(0)
  })

  test('is refused when its headers or its URL are too long', async () => {
    await using here = await listening([])
    const long = 'x'.repeat(20_000)
    const head = `Host: 127.0.0.1:${here.port}\r\n`
    expect(
      await exchange(here.port, `GET /v1/applications/a HTTP/1.1\r\n${head}Authorization: ${long}\r\n\r\n`),
    ).toMatch(/^HTTP\/1.1 431 /)
    expect(await exchange(here.port, `GET /${long} HTTP/1.1\r\n${head}\r\n`)).toMatch(/^HTTP\/1.1 431 /)
  })

  test('is answered once, whatever follows it on the connection', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const one = `GET /v1/applications/people-counter HTTP/1.1\r\nHost: 127.0.0.1:${here.port}\r\nAuthorization: ${counter.token}\r\n\r\n`
    const answer = await exchange(here.port, one.repeat(3))
    expect(answer.match(/HTTP\/1.1 /g)).toHaveLength(1)
  })

  test.each(['garbage\r\n\r\n', '\0\0\0\0', 'GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x02\x00\x01\x00'])(
    'does no harm: %j',
    async (text) => {
      const counter = served('people-counter')
      await using here = await listening([counter])
      await exchange(here.port, text)
      expect((await get(here.port, 'people-counter', counter.token)).status).toBe(200)
    },
  )
})

describe('connections', () => {
  test('that say nothing, or speak slowly, are closed', async () => {
    await using here = await listening([])
    const silent = exchange(here.port, '')
    const slow = exchange(here.port, `GET /v1/applications/a HTTP/1.1\r\nHost: 127.0.0.1:${here.port}\r\nX-`)
    const body = exchange(
      here.port,
      `GET /v1/applications/a HTTP/1.1\r\nHost: 127.0.0.1:${here.port}\r\nContent-Length: 1000000\r\n\r\nx`,
    )
    await Promise.all([silent, slow])
    expect(await body).toMatch(/^HTTP\/1.1 401 /)
  })

  test('are taken up to a bound, and again once some are gone', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const sockets: Socket[] = Array.from({ length: 64 }, () => connect(here.port, '127.0.0.1'))
    for (const socket of sockets) await once(socket, 'connect')
    await expect(get(here.port, 'people-counter', counter.token)).rejects.toThrow()
    for (const socket of sockets) socket.destroy()
    await waitUntil('it is served again', async () => {
      const status = await get(here.port, 'people-counter', counter.token).then((reply) => reply.status, String)
      return status === 200
    })
  })

  test('come from this machine alone', async () => {
    await using here = await listening([])
    const others = Object.values(networkInterfaces())
      .flat()
      .filter((each) => each?.family === 'IPv4' && !each.internal)
    const addresses = ['127.0.0.2', ...others.map((each) => each?.address ?? '')]
    for (const address of addresses) {
      const socket = connect(here.port, address)
      const { promise, resolve } = Promise.withResolvers<string | undefined>()
      socket.once('connect', () => {
        resolve('connected')
      })
      socket.once('error', (error) => {
        resolve('code' in error ? String(error.code) : error.message)
      })
      expect(await promise, address).toBe('ECONNREFUSED')
      socket.destroy()
    }
  })
})

describe('the listener', () => {
  test('takes up a change of what it serves on the same socket, counts included', async () => {
    const [counter, gate] = [served('people-counter'), served('gate')]
    await using here = await listening([counter, gate])
    await get(here.port, 'people-counter', counter.token)
    const renewed = { ...counter, token: newToken() }
    here.server.serve([renewed])
    expect((await get(here.port, 'people-counter', counter.token)).status).toBe(401)
    expect((await get(here.port, 'people-counter', renewed.token)).status).toBe(200)
    expect((await get(here.port, 'gate', gate.token)).status).toBe(401)
    expect(here.server.servedCount('people-counter')).toBe(2)
  })

  test('stays where it is when it is told the same port again', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    await here.server.listen(here.port)
    expect((await get(here.port, 'people-counter', counter.token)).status).toBe(200)
    expect(here.log.messages('info')).toHaveLength(1)
  })

  test('moves to another port, and keeps the old one when that is taken', async () => {
    const counter = served('people-counter')
    await using here = await listening([counter])
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo // not a pipe
    await expect(here.server.listen(port)).rejects.toMatchObject({
      retryable: true,
      message: `credentials cannot be served to applications on 127.0.0.1:${port}: another process has it`,
      hint: expect.stringMatching(/ss -ltnp.*applicationCredentials\.port/) as unknown,
    })
    expect((await get(here.port, 'people-counter', counter.token)).status).toBe(200)
    other.close()
    await once(other, 'close')
    await here.server.listen(port)
    expect((await get(port, 'people-counter', counter.token)).status).toBe(200)
    await expect(get(here.port, 'people-counter', counter.token)).rejects.toThrow('ECONNREFUSED')
  })

  test('ends what is being answered before it closes', async () => {
    const ready = Promise.withResolvers<HeldCredentials>()
    const asked = Promise.withResolvers<undefined>()
    const counter = served('people-counter', {
      credentials: async () => {
        asked.resolve(undefined)
        return await ready.promise
      },
    })
    await using here = await listening([counter])
    const reply = get(here.port, 'people-counter', counter.token)
    await asked.promise
    const closed = here.server.close()
    ready.resolve(held('key'))
    expect((await reply).status).toBe(200)
    await closed
    await expect(get(here.port, 'people-counter', counter.token)).rejects.toThrow('ECONNREFUSED')
  })
})
