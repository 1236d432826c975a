import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { Appliance, cameraConfig, isWell, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const examples = 'usr/share/doc/panorama-agent/examples/consumers'
const units = ['camera-changed@.path', 'camera-changed@.service']
/** Which files hooks were told of. */
const toldFile = `${paths.runtime}/camera-hooks.json`
const reader = 'camera-reader@dock-1.service'
/** An application that reads its credentials once, when it starts. */
const readerUnit = '[Service]\nExecStart=/bin/sh /var/lib/read-camera %i\n'
const readerScript = `sed 's/.*"password":"\\([^"]*\\)".*/\\1/' "/run/panorama-agent/cameras/$1.json" >>"/run/read-$1"
exec sleep infinity
`

/** The examples as the package brings them, put where an operator would put them. */
async function furnish(image: string): Promise<void> {
  for (const unit of units) await cp(join(image, examples, unit), join(image, 'etc/systemd/system', unit))
  await writeFile(join(image, 'etc/systemd/system/camera-reader@.service'), readerUnit)
  await writeFile(join(image, 'var/lib/read-camera'), readerScript)
  const folder = join(image, 'etc/panorama-agent')
  for (const part of ['hooks', 'allowed']) await mkdir(join(folder, part), { recursive: true })
  await cp(join(image, examples, 'camera-hook'), join(folder, 'hooks/camera-hook'))
  await writeFile(join(folder, 'allowed/run-hook'), '')
}

describe('an application that reads its credentials when it starts', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance

  beforeAll(async () => {
    appliance = owned.use(await Appliance.working({ prepare: furnish }))
    await appliance.container.run('systemctl', 'start', reader)
    await untilRead('first')
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  // Whichever test was first: of two that watch, both would restart it at a change.
  beforeEach(async () => {
    await appliance.container.run('systemctl', 'disable', '--now', 'camera-changed@dock-1.path')
    await configureCameras({ hook: undefined })
    await appliance.until(({ cameraHooks = [] }) => cameraHooks.length === 0)
  })

  it('is restarted by a path unit at each change, and by nothing else', async () => {
    const { container } = appliance
    await container.run('systemctl', 'enable', '--now', 'camera-changed@dock-1.path')
    for (const password of ['second', 'third']) {
      await rotate(password)
      await untilRead(password)
    }
    const before = await readings()
    await appliance.unit.restart()
    await appliance.until(isWell)
    expect(await readings()).toEqual(before)
  })

  it('is restarted by a hook, which is tried again until root allows it', async () => {
    await configureCameras({ hook: 'camera-hook' })
    const refused = await appliance.until(({ cameraHooks: [hook] = [] }) => hook?.state === 'failing')
    expect(refused.cameraHooks).toMatchObject([
      { name: 'camera-hook', lastError: { message: expect.stringContaining('allowed/run-hook') as string } },
    ])
    await appliance.write('/etc/panorama-agent/allowed/run-hook', 'camera-hook\n')
    await appliance.until(({ cameraHooks: [hook] = [] }) => hook?.state === 'ok', 60_000)
    const toldBefore = await appliance.read(toldFile)
    await rotate('fourth')
    await untilRead('fourth')
    // a call that is cut off by a restart is made once more
    await pollUntil('the call is on record', async () => (await appliance.read(toldFile)) !== toldBefore)
    const before = await readings()
    await appliance.unit.restart()
    await appliance.until((status) => isWell(status) && status.cameraHooks?.[0]?.state === 'ok')
    expect(await readings()).toEqual(before)
  })

  async function configureCameras({ hook }: { readonly hook: string | undefined }): Promise<void> {
    await appliance.configure({ cameras: { refreshSeconds: 30, hook, streams: [cameraConfig()] } })
    await appliance.container.run('systemctl', 'reload', 'panorama-agent')
  }

  async function rotate(password: string): Promise<void> {
    appliance.setPassword(password)
    await appliance.ask('refresh')
  }

  async function readings(): Promise<readonly string[]> {
    return (await appliance.read('/run/read-dock-1')).trimEnd().split('\n')
  }

  async function untilRead(password: string): Promise<void> {
    await pollUntil(`${password} is read`, async () => (await readings().catch(() => [])).at(-1) === password)
  }
})
