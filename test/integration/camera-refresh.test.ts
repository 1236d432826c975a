import { expect, test } from 'vitest'

import { LocalAppliance, type LocalAgent } from '../support/local-agent.ts'

const secretId = 'panorama/shared/dock-1'
const password = 'correct-horse-battery'

test('writes the current version of every secret', async () => {
  await using appliance = await open(['dock-1', 'dock-2'])
  const { versionId } = appliance.cloud.secrets.createSecret(secretId, secretText(password))
  appliance.cloud.secrets.createSecret('panorama/shared/dock-2', secretText('other'))
  await using agent = await appliance.start()
  await agent.refresh()

  expect(await appliance.cameraFile('dock-1')).toEqual({
    username: 'viewer',
    password,
    streamUrl: 'rtsp://camera.example:554/1',
    streamUrlWithCredentials: `rtsp://viewer:${password}@camera.example:554/1`,
    versionId,
    changedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
  })
  expect(await appliance.cameraFile('dock-2')).toMatchObject({ password: 'other' })
  expect((await agent.status()).cameras).toMatchObject([
    { name: 'dock-1', state: 'ok', versionId },
    { name: 'dock-2', state: 'ok' },
  ])
})

test('follows a rotation, but not to a version that is only pending', async () => {
  await using appliance = await open(['dock-1'])
  const { secrets } = appliance.cloud
  const first = secrets.createSecret(secretId, secretText('one'))
  await using agent = await appliance.start()
  await agent.refresh()

  secrets.putSecretValue(secretId, secretText('two'), { stages: ['AWSPENDING'] })
  await agent.refresh()
  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password: 'one', versionId: first.versionId })

  const versionId = secrets.finishRotation(secretId)
  await agent.refresh('dock-1')
  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password: 'two', versionId })
})

const malformed = [
  { what: 'no JSON', value: `{"username":"a","password":"${password}"`, says: /it is not JSON/ },
  { what: 'a password alone', value: password, says: /neither a JSON object nor username:password/ },
  { what: 'a list', value: JSON.stringify([password]), says: /not a JSON object/ },
  { what: 'no password', value: JSON.stringify({ username: password }), says: /password is missing/ },
  {
    what: 'a number',
    value: JSON.stringify({ username: 'a', password: 123_456_789 }),
    says: /password is not a string/,
  },
  { what: 'binary data', value: Buffer.from(password), says: /binary/ },
] as const
test.each(malformed)('keeps the last good file when the secret holds $what, and shows no value', async (one) => {
  await using appliance = await open(['dock-1'])
  appliance.cloud.secrets.createSecret(secretId, secretText('good'))
  await using agent = await appliance.start({ level: 'debug' })
  await agent.refresh()
  const before = await appliance.cameraFile('dock-1')

  appliance.cloud.secrets.rotateSecret(secretId, typeof one.value === 'string' ? one.value : new Uint8Array(one.value))

  await expect(agent.refresh()).rejects.toThrow(one.says)
  await expect(agent.refresh()).rejects.toThrow(/hint: store JSON with the strings username, password and streamUrl/)
  expect(await appliance.cameraFile('dock-1')).toEqual(before)
  const [camera] = (await agent.status()).cameras
  expect(camera).toMatchObject({ state: 'failing', versionId: before?.['versionId'] })
  await expectNowhere(agent, [password, '123456789', Buffer.from(password).toString('base64')])
})

const refusals: readonly { what: string; refuse: (appliance: LocalAppliance) => void; says: RegExp }[] = [
  {
    what: 'is denied',
    refuse: ({ cloud }) => {
      cloud.roles.put({ name: cloud.names.role, trustPolicy: cloud.policies.applianceRoleTrust, policies: [] })
    },
    says: /AccessDeniedException.*hint: allow secretsmanager:GetSecretValue on panorama\/shared\/dock-1/,
  },
  {
    what: 'is deleted',
    refuse: ({ cloud }) => {
      cloud.secrets.deleteSecret(secretId, { atOnce: true })
    },
    says: /ResourceNotFoundException.*hint: check that panorama\/shared\/dock-1 exists/,
  },
  {
    what: 'is marked for deletion',
    refuse: ({ cloud }) => {
      cloud.secrets.deleteSecret(secretId)
    },
    says: /marked for deletion/,
  },
  {
    what: 'cannot be decrypted',
    refuse: ({ cloud }) => {
      cloud.secrets.setDecryptable(secretId, false)
    },
    says: /DecryptionFailure/,
  },
]
test.each(refusals)('keeps the last good file while the secret $what, and says so', async ({ refuse, says }) => {
  await using appliance = await open(['dock-1', 'dock-2'])
  appliance.cloud.secrets.createSecret(secretId, secretText(password))
  appliance.cloud.secrets.createSecret('panorama/shared/dock-2', secretText('other'))
  await using agent = await appliance.start({ level: 'debug' })
  await agent.refresh()
  const before = await appliance.cameraFile('dock-1')

  refuse(appliance)

  await expect(agent.refresh('dock-1')).rejects.toThrow(says)
  expect(await appliance.cameraFile('dock-1')).toEqual(before)
  expect((await agent.status()).cameras[0]).toMatchObject({ state: 'failing', versionId: before?.['versionId'] })
  await expectNowhere(agent, [password])
})

test('refreshes the other cameras while the secret of one is missing', async () => {
  await using appliance = await open(['dock-1', 'dock-2'])
  appliance.cloud.secrets.createSecret('panorama/shared/dock-2', secretText('one'))
  await using agent = await appliance.start()
  await agent.refresh('dock-2')

  appliance.cloud.secrets.rotateSecret('panorama/shared/dock-2', secretText('two'))
  await agent.refresh('dock-2')

  expect(await appliance.cameraFile('dock-2')).toMatchObject({ password: 'two' })
  expect(await appliance.cameraFile('dock-1')).toBeUndefined()
  expect((await agent.status()).cameras).toMatchObject([{ state: 'failing' }, { state: 'ok' }])
})

test('takes a new version once readers see it', async () => {
  await using appliance = await open(['dock-1'])
  const { cloud } = appliance
  cloud.secrets.createSecret(secretId, secretText('one'))
  await using agent = await appliance.start()
  await agent.refresh()

  cloud.secrets.setVisibleAfterMs(60_000)
  cloud.secrets.rotateSecret(secretId, secretText('two'))
  await agent.refresh()
  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password: 'one' })

  await cloud.setTimeOffset(61_000)
  await agent.refresh()
  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password: 'two' })
})

test('waits for a secret that is created after the agent started', async () => {
  await using appliance = await open(['dock-1'])
  await using agent = await appliance.start()
  await expect(agent.refresh('dock-1')).rejects.toThrow(/ResourceNotFoundException/)

  appliance.cloud.secrets.createSecret(secretId, secretText(password))
  await agent.refresh('dock-1')

  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password })
})

test('keeps files and reports their versions after a start without network', async () => {
  await using appliance = await open(['dock-1'])
  const { versionId } = appliance.cloud.secrets.createSecret(secretId, secretText(password))
  {
    await using agent = await appliance.start()
    await agent.refresh()
  }
  await appliance.cloud.unreachable()

  await using agent = await appliance.start()
  await expect
    .poll(async () => (await agent.status()).cameras, { timeout: 15_000 })
    .toMatchObject([{ name: 'dock-1', state: 'failing', versionId }])
  expect(await appliance.cameraFile('dock-1')).toMatchObject({ password, versionId })

  await appliance.cloud.reachable()
  await expect.poll(async () => (await agent.status()).cameras[0]?.state, { timeout: 25_000 }).toBe('ok')
})

test('removes the file of a camera that left the configuration at the next start, and nothing else', async () => {
  await using appliance = await open(['dock-1', 'dock-2'])
  appliance.cloud.secrets.createSecret(secretId, secretText('one'))
  appliance.cloud.secrets.createSecret('panorama/shared/dock-2', secretText('two'))
  {
    await using agent = await appliance.start()
    await agent.refresh()
  }
  await appliance.configure({ cameras: cameras(['dock-2']) })
  await appliance.cloud.unreachable()

  await using _agent = await appliance.start()

  await expect.poll(() => appliance.cameraFile('dock-1'), { timeout: 10_000 }).toBeUndefined()
  expect(await appliance.cameraFile('dock-2')).toMatchObject({ password: 'two' })
})

test('asks once for a secret that two cameras share, and writes both files', async () => {
  await using appliance = await LocalAppliance.open({
    config: () => ({
      cameras: { streams: ['left', 'right'].map((name) => ({ name, secretId, probe: false })) },
    }),
  })
  appliance.cloud.secrets.createSecret(secretId, secretText(password))
  await using agent = await appliance.start()
  await agent.refresh()
  appliance.cloud.requests.clear()
  await agent.refresh()

  expect(appliance.cloud.requests.count({ service: 'secretsmanager' })).toBe(1)
  const [left, right] = [await appliance.cameraFile('left'), await appliance.cameraFile('right')]
  expect(left).toMatchObject({ password, versionId: right?.['versionId'] })
  expect(right).toMatchObject({ password })
})

async function open(names: readonly string[]): Promise<LocalAppliance> {
  return await LocalAppliance.open({ config: () => ({ cameras: cameras(names) }) })
}

function cameras(names: readonly string[]): Readonly<Record<string, unknown>> {
  const streams = names.map((name) => ({ name, secretId: `panorama/shared/${name}`, probe: false }))
  return { refreshSeconds: 86_400, streams }
}

function secretText(value: string): string {
  return JSON.stringify({ username: 'viewer', password: value, streamUrl: 'rtsp://camera.example:554/1' })
}

async function expectNowhere(agent: LocalAgent, values: readonly string[]): Promise<void> {
  const shown = `${agent.lines.join('\n')}\n${JSON.stringify(await agent.status())}`
  for (const value of values) expect(shown.includes(value)).toBe(false)
}
