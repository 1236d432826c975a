import { expect, test } from 'vitest'

import { cameraOutcome, camerasCheck } from '../../../agent/doctor/camera-check.ts'
import type { Check, Outcome } from '../../../agent/doctor/doctor-check.ts'
import {
  applicationCheck,
  artifactCheck,
  credentialsCheck,
  logsCheck,
  secretsCheck,
  type Permissions,
} from '../../../agent/doctor/permission-check.ts'
import { AgentError } from '../../../agent/lib/errors.ts'

const allowed: Permissions = {
  credentials: () => Promise.resolve('2027-01-01T01:00:00.000Z'),
  ofApplication: () => Promise.resolve('2027-01-01T01:00:00.000Z'),
  list: () => Promise.resolve('app/model'),
  get: () => Promise.resolve('read'),
  secret: () => Promise.resolve('u:p'),
  secretBatch: () => Promise.resolve(),
  putLogEvents: () => Promise.resolve(),
  createLogStream: () => Promise.resolve('exists'),
  createLogGroup: () => Promise.resolve('exists'),
}
const artifact = {
  name: 'app',
  accessPoint: 'arn:aws:s3:us-west-2:123456789012:accesspoint/p',
  prefix: 'app/',
  isSigned: false,
}

function denied(): Promise<never> {
  return Promise.reject(new AgentError('denied', { hint: 'allow it' }))
}

async function levelsOf(check: Check): Promise<readonly string[]> {
  return (await outcomesOf(check)).map(({ level, about = '' }) => `${level} ${about}`.trim())
}

async function outcomesOf(check: Check): Promise<readonly Outcome[]> {
  return await check.run(new AbortController().signal)
}

function artifactWith(more: Partial<Permissions>, isSigned = false): Check {
  return artifactCheck({ ...artifact, isSigned }, { ...allowed, ...more }, { endpointKey: 's3.p' })
}

test('says until when credentials are valid, and lets through what keeps them away', async () => {
  expect(await outcomesOf(credentialsCheck(allowed, 'alias'))).toMatchObject([
    { level: 'pass', text: 'role alias alias gave some, valid until 2027-01-01T01:00:00.000Z' },
  ])
  await expect(outcomesOf(credentialsCheck({ credentials: denied }, 'alias'))).rejects.toThrow('denied')
})

test('asks for the credentials of each application by its own role alias', async () => {
  const asked: string[] = []
  const ofApplication: Permissions['ofApplication'] = (roleAlias) => {
    asked.push(roleAlias)
    return Promise.resolve('2027-01-01T01:00:00.000Z')
  }
  const check = applicationCheck({ name: 'counter', roleAlias: 'counter-alias' }, { ofApplication })
  expect([check.id, check.needs]).toEqual(['credentials.application.counter', ['credentials']])
  expect(await levelsOf(check)).toEqual(['pass'])
  expect(asked).toEqual(['counter-alias'])
})

test('reads of an artifact what it listed, or asks for the manifest where nothing is there', async () => {
  const keys: string[] = []
  const get: Permissions['get'] = (_artifact, key) => {
    keys.push(key)
    return Promise.resolve('not-there')
  }
  expect(await levelsOf(artifactWith({ get }))).toEqual(['pass list', 'pass get'])
  await outcomesOf(artifactWith({ get, list: () => Promise.resolve(undefined) }))
  expect(keys).toEqual(['app/model', 'app/release.jws'])
})

test('tells of listing and reading apart, as far as they can be told apart', async () => {
  expect(await levelsOf(artifactWith({ get: denied }))).toEqual(['pass list', 'fail get'])
  expect(await levelsOf(artifactWith({ list: denied }))).toEqual(['fail list', 'pass get'])
  expect(await levelsOf(artifactWith({ list: denied, get: denied }))).toEqual(['fail list', 'skip get'])
  expect(await levelsOf(artifactWith({ list: denied }, true))).toEqual(['warn list', 'pass get'])
})

test('asks for each log group whose name is known, and needs no leave to make a group that is there', async () => {
  const groups = { group: '/aws/panorama/devices/a', others: ['/aws/panorama/devices/b'] }
  expect(await levelsOf(logsCheck(groups, allowed))).toEqual([
    'pass group',
    'pass stream',
    'pass put',
    'pass put./aws/panorama/devices/b',
  ])
  const levels = async (more: Partial<Permissions>): Promise<readonly string[]> =>
    await levelsOf(logsCheck({ ...groups, others: [] }, { ...allowed, ...more }))
  expect(await levels({ createLogGroup: denied })).toEqual(['warn group', 'pass stream', 'pass put'])
  const createLogStream = (): Promise<'no-group'> => Promise.resolve('no-group')
  expect(await levels({ createLogGroup: denied, createLogStream })).toEqual(['fail group', 'pass stream', 'pass put'])
  expect(await levels({ putLogEvents: denied, createLogStream: denied })).toEqual([
    'pass group',
    'fail stream',
    'fail put',
  ])
})

test('reads each secret, hands it on, and shows nothing of it', async () => {
  const taken: unknown[] = []
  const cameras = ['one', 'two', 'bad'].map((name) => ({ name, secretId: `id-${name}` }))
  const onValue = (camera: string, _secretId: string, text: string | undefined): void => {
    if (camera === 'bad') throw new AgentError('it is no secret of a camera', { hint: 'store JSON' })
    taken.push([camera, text])
  }
  const outcomes = await outcomesOf(secretsCheck({ cameras, onValue }, { ...allowed, secretBatch: denied }))
  expect(outcomes.map(({ level, about }) => `${level} ${about ?? ''}`)).toEqual([
    'pass one',
    'pass two',
    'fail bad',
    'warn batches',
  ])
  expect(taken).toEqual([
    ['one', 'u:p'],
    ['two', 'u:p'],
  ])
  expect(JSON.stringify(outcomes)).not.toContain('u:p')
})

test('asks for a hundred secrets and two hundred cameras at most, and says so', async () => {
  const names = Array.from({ length: 300 }, (_, index) => `c${index}`)
  const cameras = names.map((name) => ({ name, secretId: name }))
  const secrets = await outcomesOf(secretsCheck({ cameras, onValue: () => undefined }, allowed))
  expect(secrets.find(({ about }) => about === 'others')?.text).toBe('200 more secrets were not asked for')
  const ask = () => Promise.resolve({ kind: 'no-rtsp' } as const)
  expect((await outcomesOf(camerasCheck({ cameras: names, ask, after: [] }))).at(-1)?.text).toBe(
    '100 more were not asked',
  )
})

test('judges what cameras answer', () => {
  expect(cameraOutcome({ kind: 'answers', asksForCredential: true }).level).toBe('pass')
  expect(cameraOutcome({ kind: 'answers', asksForCredential: false })).toMatchObject({
    level: 'warn',
    hint: expect.stringContaining('password') as unknown,
  })
  expect(cameraOutcome({ kind: 'unreachable', detail: 'it refuses connections' })).toMatchObject({
    level: 'fail',
    text: 'it refuses connections',
    hint: expect.stringContaining('cable') as unknown,
  })
  expect(cameraOutcome({ kind: 'unclear', detail: 'it answers 404' }).level).toBe('warn')
  expect([cameraOutcome({ kind: 'no-rtsp' }), cameraOutcome({ kind: 'unknown' })].map(({ level }) => level)).toEqual([
    'skip',
    'skip',
  ])
})
