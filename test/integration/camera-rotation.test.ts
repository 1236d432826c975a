import { expect, test } from 'vitest'

import { LocalAppliance, type LocalAgent } from '../support/local-agent.ts'
import { startRtspCamera, type RtspCamera } from '../support/rtsp-camera.ts'

const secretId = 'panorama/shared/dock-1'
const username = 'viewer'

interface Site extends AsyncDisposable {
  readonly appliance: LocalAppliance
  readonly camera: RtspCamera
  /** Rotates the secret, or makes it, with the URL of the camera. Answers the version. */
  readonly rotate: (password: string) => string
}

async function open(section: Readonly<Record<string, unknown>> = {}, names = ['dock-1']): Promise<Site> {
  await using owned = new AsyncDisposableStack()
  const camera = owned.use(await startRtspCamera({ username, password: 'one', lockOutAfter: 5 }))
  const streams = names.map((name) => ({ name, secretId }))
  const cameras = { refreshSeconds: 86_400, streams, ...section }
  const appliance = owned.use(await LocalAppliance.open({ config: () => ({ cameras }) }))
  const { secrets } = appliance.cloud
  const textOf = (password: string): string => JSON.stringify({ username, password, streamUrl: camera.streamUrl })
  secrets.createSecret(secretId, textOf('one'))
  const rotate = (password: string): string => secrets.rotateSecret(secretId, textOf(password))
  const all = owned.move()
  return { appliance, camera, rotate, [Symbol.asyncDispose]: () => all.disposeAsync() }
}

async function stateOf(agent: LocalAgent): Promise<unknown> {
  return (await agent.status()).cameras[0]
}

test('swaps after the camera has taken the new credential, when that has it first', async () => {
  await using site = await open()
  await using agent = await site.appliance.start()
  await agent.refresh()
  const asked = site.camera.requests()
  site.camera.setCredential(username, 'two')
  await agent.refresh()
  expect(site.camera.requests()).toBe(asked) // at rest no camera is asked
  const versionId = site.rotate('two')
  await agent.refresh()
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'two', versionId })
  expect(await stateOf(agent)).toMatchObject({ state: 'ok', versionId })
  expect(site.camera.attempts()).toEqual({ accepted: 2, refused: 0 })
})

test('keeps the old credential until the camera has the new one, when the secret has it first, also over a restart', async () => {
  await using site = await open()
  {
    await using agent = await site.appliance.start()
    await agent.refresh()
    site.rotate('two')
    await expect(agent.refresh('dock-1')).rejects.toThrow(
      /^rotation pending on camera: .*takes the one in the file; the next attempt is at \d{4}-/,
    )
    expect(await stateOf(agent)).toMatchObject({ state: 'pending', detail: expect.stringContaining('401') as unknown })
    expect(agent.lines.filter((line) => /WARN .*rotation pending on camera/.test(line))).toHaveLength(1)
  }
  await using agent = await site.appliance.start()
  await agent.refresh().catch(() => undefined)
  await agent.refresh().catch(() => undefined)
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'one' })
  expect(await stateOf(agent)).toMatchObject({ state: 'pending' })
  expect(site.camera.attempts()).toEqual({ accepted: 2, refused: 1 })

  site.camera.setCredential(username, 'two')
  await site.appliance.cloud.setTimeOffset(11 * 60_000)
  await agent.stop()
  await using later = await site.appliance.start()
  await later.refresh()
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'two' })
})

test('keeps a good credential while the secret has a wrong one, without locking itself out', async () => {
  await using site = await open()
  await using agent = await site.appliance.start()
  await agent.refresh()
  for (const wrong of ['wrong-1', 'wrong-2', 'wrong-3', 'wrong-4', 'wrong-5', 'wrong-6']) {
    site.rotate(wrong)
    await expect(agent.refresh()).rejects.toThrow('rotation pending on camera')
  }
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'one' })
  expect([site.camera.attempts().refused, site.camera.isLocked()]).toEqual([2, false])
})

test('uses AWSPREVIOUS where the camera takes that alone, and says so', async () => {
  await using site = await open()
  site.rotate('two') // before the first start, so that there is no file to keep
  await using agent = await site.appliance.start()
  await agent.refresh().catch(() => undefined)
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'one' })
  expect(await stateOf(agent)).toMatchObject({
    state: 'pending',
    detail: expect.stringContaining('takes AWSPREVIOUS') as unknown,
  })
})

test('writes no credential at all that the camera refuses, and fails', async () => {
  await using site = await open()
  site.camera.setCredential(username, 'of somebody else')
  await using agent = await site.appliance.start()
  await expect(agent.refresh('dock-1')).rejects.toThrow(
    /the camera refuses the credential of the secret.*hint: set this/,
  )
  expect(await site.appliance.cameraFile('dock-1')).toBeUndefined()
  expect(await stateOf(agent)).toMatchObject({ state: 'failing' })
})

test.each([
  ['waits', 'wait', 'one', 'pending'],
  ['swaps where told to', 'swap', 'two', 'unproven'],
])('%s while the camera cannot be reached', async (_, whenUnreachable, password, state) => {
  await using site = await open({ whenUnreachable })
  await using agent = await site.appliance.start()
  await agent.refresh()
  await site.camera.setReach('down')
  site.rotate('two')
  await agent.refresh().catch(() => undefined)
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password })
  expect(await stateOf(agent)).toMatchObject({ state })

  site.camera.setCredential(username, 'two')
  await site.camera.setReach('up')
  await agent.refresh()
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'two' })
  expect(await stateOf(agent)).toMatchObject({ state: 'ok' })
})

test('gives a first credential to a camera that cannot be reached, and says that it is unproven until it is', async () => {
  await using site = await open()
  await site.camera.setReach('down')
  await using agent = await site.appliance.start()
  await agent.refresh()
  expect(await site.appliance.cameraFile('dock-1')).toMatchObject({ password: 'one' })
  expect(await stateOf(agent)).toMatchObject({ state: 'unproven' })
  await site.camera.setReach('up')
  await agent.refresh()
  expect(await stateOf(agent)).toMatchObject({ state: 'ok' })
})

test('shows a wrong password once to a recorder with many cameras, and is sure about each of them', async () => {
  const names = Array.from({ length: 12 }, (_, index) => `channel-${index}`)
  await using site = await open({}, names)
  await using agent = await site.appliance.start()
  await agent.refresh()
  site.rotate('wrong')
  await agent.refresh().catch(() => undefined)
  expect(site.camera.attempts().refused).toBe(1)
  const { cameras } = await agent.status()
  for (const { state, detail } of cameras) expect([state, detail]).toEqual(['pending', cameras[0]?.detail])
  expect(cameras[0]?.detail).toContain('takes the one in the file')
})
