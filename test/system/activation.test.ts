import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Appliance, paths } from './support/appliance.ts'
import { pollUntil } from './support/poll-until.ts'

const hook =
  '#!/bin/sh\necho asked >>/run/asked\n! grep -q ^bad /var/lib/panorama-agent/artifacts/model/current/weights.bin\n'

const allowed = '/etc/panorama-agent/allowed/run-hook'

async function allowHook(image: string): Promise<void> {
  const folder = join(image, 'etc/panorama-agent')
  for (const part of ['allowed', 'hooks']) await mkdir(join(folder, part), { recursive: true })
  await writeFile(join(folder, 'allowed/run-hook'), 'check-model\n', { mode: 0o644 })
  await writeFile(join(folder, 'hooks/check-model'), hook, { mode: 0o755 })
}

describe('a release that a hook looks at', () => {
  const owned = new AsyncDisposableStack()
  let appliance: Appliance

  beforeAll(async () => {
    appliance = owned.use(
      await Appliance.working({
        prepare: allowHook,
        config: ({ names }) => ({
          artifacts: [
            {
              name: 'model',
              accessPoint: names.accessPointArn,
              prefix: 'model/',
              pollSeconds: 10,
              health: { hook: 'check-model', withinSeconds: 60 },
            },
          ],
        }),
      }),
    )
  })

  afterAll(async () => {
    await owned.disposeAsync()
  })

  it('stays when the hook succeeds', async () => {
    const before = await timesAsked()
    await follow('good weights')
    expect((await appliance.status()).artifacts).toMatchObject([{ health: 'healthy' }])
    expect(await timesAsked()).toBe(before + 1)
  })

  it('gives way to the one before when the hook fails, and stays away through a restart', async () => {
    await follow('weights before bad ones')
    const before = await timesAsked()
    await publish('bad weights')
    await appliance.until(({ artifacts: [model] }) => model?.state === 'failing' && model.phase === 'idle')
    expect(await weights()).toBe('weights before bad ones')
    await appliance.unit.restart()
    const { artifacts } = await appliance.until(({ artifacts: [model] }) => model?.state === 'failing')
    expect(artifacts[0]?.lastError?.message).toContain('hook check-model: failed')
    expect(await weights()).toBe('weights before bad ones')
    expect(await timesAsked()).toBe(before + 1)
  })

  it('is not believed when root does not allow the hook', async () => {
    await follow('weights before the ban')
    await appliance.write(allowed, '# nothing\n')
    await publish('weights under the ban')
    const { artifacts } = await appliance.until(({ artifacts: [model] }) => model?.state === 'failing')
    await appliance.write(allowed, 'check-model\n')
    expect(artifacts[0]?.lastError?.message).toContain('argument-not-allowed: list it in')
    expect(await weights()).toBe('weights before the ban')
  })

  it('can be left by the command line', async () => {
    await follow('weights to go back to')
    await follow('weights to leave')
    await appliance.container.run('panorama-agent', 'artifacts', 'rollback', 'model')
    expect(await weights()).toBe('weights to go back to')
  })

  /** Publishes a release, and waits until it is installed and said to be healthy. */
  async function follow(content: string): Promise<void> {
    await publish(content)
    await pollUntil(`${content} are installed`, async () => (await weights()) === content)
    await appliance.until(({ artifacts: [model] }) => model?.health === 'healthy' && model.state === 'ok')
  }

  async function publish(content: string): Promise<void> {
    await appliance.publish('weights.bin', content)
    await appliance.ask('sync')
  }

  async function weights(): Promise<string> {
    return await appliance.read(`${paths.current}/weights.bin`)
  }

  async function timesAsked(): Promise<number> {
    return (await appliance.read('/run/asked')).split('\n').length - 1
  }
})
