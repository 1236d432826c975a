import { readFile, rm } from 'node:fs/promises'

import { expect, it } from 'vitest'

import type { StatusDocument } from '../../agent/status/status-document.ts'
import { Appliance, isWell, paths } from './support/appliance.ts'

const credential = '/etc/credstore.encrypted/panorama-agent.sealing-key'
const keyFile = `${paths.state}/identity/sealing-key`
const sealingOf = ({ cameraSealing }: StatusDocument): string => `${cameraSealing?.state} ${cameraSealing?.key}`

it('serves cameras after a reboot without network, with a key of its own, then with one that systemd unseals', async () => {
  await using appliance = await Appliance.working()
  const { container, cloud, unit } = appliance
  expect(sealingOf(await appliance.status())).toBe('ok file')
  {
    using _ = cloud.faults.inject({ kind: 'reset' })
    await container.reboot()
    await isServed()
  }

  const make = `mkdir -p -m 700 /etc/credstore.encrypted && head -c 32 /dev/urandom |
    systemd-creds encrypt --with-key=host --name=panorama-agent.sealing-key - ${credential}`
  await container.run('sh', '-c', make)
  await unit.restart()
  const status = await appliance.until(isWell)
  expect(sealingOf(status)).toBe('ok systemd-credential')
  const { stdout } = await container.run('panorama-agent', 'status')
  expect(stdout).toMatch(/^cameras sealing +ok +key from the systemd credential panorama-agent\.sealing-key$/m)

  await rm(container.path(keyFile)) // the copies moved to the new key
  using _ = cloud.faults.inject({ kind: 'reset' })
  await container.reboot()
  await isServed()
  expect(sealingOf(await appliance.status())).toBe('ok systemd-credential')

  const sealed = await readFile(container.path(credential))
  await appliance.write(credential, 'what this machine cannot unseal')
  await unit.restart()
  const unsealable = await appliance.until(({ cameraSealing }) => cameraSealing?.state === 'failing')
  expect(unsealable.cameraSealing).toMatchObject({
    key: 'none',
    lastError: { message: expect.stringMatching(/cannot be unsealed on this machine$/) as string },
  })
  expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'first' })
  await appliance.write(credential, sealed)
  await unit.restart()
  await appliance.until((now) => sealingOf(now) === 'ok systemd-credential')

  async function isServed(): Promise<void> {
    await unit.untilActive()
    expect(JSON.parse(await appliance.read(paths.camera))).toMatchObject({ password: 'first' })
    expect(cloud.requests.count({ service: 'secretsmanager' })).toBeGreaterThan(0)
    await appliance.until(({ credentials: [role], cameras: [camera] }) => {
      return role?.state === 'failing' && camera?.versionId !== undefined
    })
  }
})
