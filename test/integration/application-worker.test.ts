import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { ApplicationFiles } from '../../agent/credentials/application-files.ts'
import { ApplicationRoles } from '../../agent/credentials/application-roles.ts'
import { ApplicationWorker } from '../../agent/credentials/application-worker.ts'
import { CredentialsServer } from '../../agent/credentials/credentials-server.ts'
import { RoleCredentials } from '../../agent/credentials/role-credentials.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { fakeCameraGroups } from '../support/fake-camera-groups.ts'
import { freePort } from '../support/free-port.ts'
import { httpGet } from '../support/http-get.ts'
import { RecordingLog } from '../support/recording-log.ts'
import { running } from '../support/running-worker.ts'
import { tempFolder } from '../support/temp-folder.ts'

const gid = process.getegid?.() ?? 0
const counter = { name: 'people-counter', roleAlias: 'counter-role', group: 'counter' }
const gate = { name: 'gate', roleAlias: 'gate-role', group: 'gate' }

interface Bench extends AsyncDisposable {
  readonly folder: string
  readonly server: CredentialsServer
  readonly log: RecordingLog
  readonly port: number
  /** What the system knows by name. */
  readonly groups: Record<string, number>
  /** Aliases that the credentials provider refuses. */
  readonly refused: Set<string>
  /** What files of applications fail with, by name. */
  readonly failures: Map<string, Error>
  /** The worker of a configuration, once its first pass ended, well or badly; it takes the place of the one before. */
  readonly take: (applications: readonly (typeof counter)[], port?: number) => Promise<ApplicationWorker>
  readonly statusFor: (name: string) => Promise<number | string>
}

function failingFiles(
  files: ApplicationFiles,
  failures: ReadonlyMap<string, Error>,
): Pick<ApplicationFiles, 'prepare' | 'write'> {
  const failIfTold = (name: string): void => {
    const failure = failures.get(name)
    if (failure !== undefined) throw failure
  }
  return {
    prepare: async (names) => {
      failIfTold('the folder')
      await files.prepare(names)
    },
    write: async (name, id) => {
      failIfTold(name)
      return await files.write(name, id)
    },
  }
}

async function bench(): Promise<Bench> {
  await using resources = new AsyncDisposableStack()
  const { path } = resources.use(await tempFolder())
  const folder = join(path, 'applications')
  const log = new RecordingLog()
  const port = await freePort()
  const groups: Record<string, number> = { counter: gid, gate: gid }
  const refused = new Set<string>()
  const failures = new Map<string, Error>()
  const server = resources.use(new CredentialsServer({ log }))
  const roles = resources.use(
    new ApplicationRoles(({ name, roleAlias }) => {
      const fetch = async () => {
        if (refused.has(roleAlias)) throw new AgentError(`${roleAlias} is refused`, { hint: 'allow it' })
        const key = { accessKeyId: `key of ${roleAlias}`, secretAccessKey: 's', sessionToken: 't' }
        return await Promise.resolve({ ...key, lifetimeMs: 3_600_000 })
      }
      return new RoleCredentials({ name, source: { fetch }, log })
    }),
  )
  const workers = resources.use(new AsyncDisposableStack())
  let last: AsyncDisposable | undefined
  const owned = resources.move()
  return {
    folder,
    server,
    log,
    port,
    groups,
    refused,
    failures,
    take: async (applications, at = port) => {
      await last?.[Symbol.asyncDispose]()
      const files = new ApplicationFiles({ folder, port: at, region: 'us-west-2' })
      const idOf = async (name: string): Promise<number> => await fakeCameraGroups(groups).idOf(name)
      const worker = new ApplicationWorker({
        applications,
        port: at,
        files: failingFiles(files, failures),
        groups: { idOf },
        roles,
        server,
        log,
      })
      const first = worker.worker.requestPass().catch(() => undefined)
      last = workers.use(running(worker.worker))
      await first
      return worker
    },
    statusFor: async (name) => {
      const token = await readFile(join(folder, name, 'token'), 'utf8').catch(() => '')
      const asked = httpGet(port, { path: `/v1/applications/${name}`, headers: { authorization: token } })
      return await asked.then(
        ({ status }) => status,
        (error: unknown) => String(error),
      )
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

test('serves every application once its first pass has ended', async () => {
  await using here = await bench()
  const worker = await here.take([counter, gate])
  expect(await here.statusFor('people-counter')).toBe(200)
  expect(await here.statusFor('gate')).toBe(200)
  expect(worker.status()).toMatchObject([
    { name: 'people-counter', state: 'ok', served: 1, lastError: undefined },
    { name: 'gate', state: 'ok', served: 1 },
  ])
})

test('opens no port and leaves no folder where no application is configured', async () => {
  await using here = await bench()
  await here.take([])
  expect(here.server.port).toBeUndefined()
  await here.take([counter])
  expect(here.server.port).toBe(here.port)
  await here.take([])
  expect(here.server.port).toBeUndefined()
  await expect(readFile(join(here.folder, 'people-counter', 'token'))).rejects.toThrow('ENOENT')
})

test('reports a group that cannot be had with what to do, and serves the others', async () => {
  await using here = await bench()
  const worker = await here.take([{ ...counter, group: 'viewers' }, gate])
  expect(worker.status()).toMatchObject([
    {
      name: 'people-counter',
      state: 'failing',
      lastError: { message: 'the group viewers is missing', hint: 'join viewers' },
    },
    { name: 'gate', state: 'ok' },
  ])
  expect(await here.statusFor('people-counter')).toBe(401)
  expect(await here.statusFor('gate')).toBe(200)
  here.groups['viewers'] = gid
  await worker.worker.requestPass()
  expect(worker.status()[0]).toMatchObject({ state: 'ok', lastError: undefined })
  expect(await here.statusFor('people-counter')).toBe(200)
})

test('ends serving an application whose new group cannot be had', async () => {
  await using here = await bench()
  await here.take([counter])
  const authorization = await readFile(join(here.folder, 'people-counter', 'token'), 'utf8')
  await here.take([{ ...counter, group: 'viewers' }])
  const headers = { authorization }
  expect((await httpGet(here.port, { path: '/v1/applications/people-counter', headers })).status).toBe(401)
})

test('goes on serving an application whose files cannot be had at the moment, with the token that it had', async () => {
  await using here = await bench()
  const worker = await here.take([counter, gate])
  here.failures.set('people-counter', new AgentError('no descriptor is left', { retryable: true }))
  await worker.worker.requestPass().catch(() => undefined)
  expect(worker.status()).toMatchObject([
    { state: 'failing', lastError: { message: 'no descriptor is left' } },
    { state: 'ok' },
  ])
  expect(await here.statusFor('people-counter')).toBe(200)
})

test('goes on serving all when the folder cannot be had at the moment, and says so', async () => {
  await using here = await bench()
  const worker = await here.take([counter, gate])
  here.failures.set('the folder', new Error('EROFS'))
  await worker.worker.requestPass().catch(() => undefined)
  expect(worker.status()).toMatchObject([{ state: 'failing', lastError: { message: 'EROFS' } }, { state: 'failing' }])
  expect(await here.statusFor('people-counter')).toBe(200)
  here.failures.clear()
  await worker.worker.requestPass()
  expect(worker.status()).toMatchObject([{ state: 'ok' }, { state: 'ok' }])
})

test('names a port that another process has, for every application, and takes it once it is free', async () => {
  await using here = await bench()
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo // not a pipe
  const worker = await here.take([counter, gate], port)
  for (const status of worker.status()) {
    expect(status).toMatchObject({
      state: 'failing',
      lastError: {
        message: `credentials cannot be served to applications on 127.0.0.1:${port}: another process has it`,
        hint: expect.stringMatching(/applicationCredentials\.port/) as unknown,
      },
    })
  }
  expect(await readFile(join(here.folder, 'gate', 'aws.env'), 'utf8')).toContain(`127.0.0.1:${port}/`)
  other.close()
  await once(other, 'close')
  await worker.worker.requestPass()
  expect(worker.status()).toMatchObject([{ state: 'ok' }, { state: 'ok' }])
  expect(here.server.port).toBe(port)
})

test('tells of a role that is refused as the fault of its application alone', async () => {
  await using here = await bench()
  here.refused.add('counter-role')
  const worker = await here.take([counter, gate])
  expect(await here.statusFor('people-counter')).toBe(503)
  expect(await here.statusFor('gate')).toBe(200)
  expect(worker.status()).toMatchObject([
    { state: 'failing', lastError: { message: 'counter-role is refused', hint: 'allow it' }, served: 0 },
    { state: 'ok' },
  ])
})

test('takes a changed role alias into use with the same token', async () => {
  await using here = await bench()
  await here.take([counter])
  const authorization = await readFile(join(here.folder, 'people-counter', 'token'), 'utf8')
  const key = async (): Promise<unknown> => {
    const path = '/v1/applications/people-counter'
    return (await httpGet(here.port, { path, headers: { authorization } })).body['AccessKeyId']
  }
  expect(await key()).toBe('key of counter-role')
  await here.take([{ ...counter, roleAlias: 'other-role' }])
  expect(await key()).toBe('key of other-role')
})

test('puts files back that somebody removed', async () => {
  await using here = await bench()
  const worker = await here.take([counter])
  await rm(here.folder, { recursive: true })
  await worker.worker.requestPass()
  expect(await here.statusFor('people-counter')).toBe(200)
})

test('serves nothing to an application that left the configuration, also while its files cannot be removed', async () => {
  await using at = await bench()
  await at.take([counter, gate])
  expect(await at.statusFor('gate')).toBe(200)
  at.failures.set('the folder', new Error('EACCES'))
  await at.take([counter])
  expect(await at.statusFor('gate')).toBe(401)
  expect(await at.statusFor('people-counter')).toBe(200)
})
