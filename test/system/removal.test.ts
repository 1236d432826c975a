import { access, readdir } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { Appliance, paths } from './support/appliance.ts'
import { unitName } from './support/service-unit.ts'

it('stops at a removal and keeps its state; a purge wipes identity, secrets and everything else of it', async () => {
  await using appliance = await Appliance.working()
  const { container, unit } = appliance
  const { root } = container

  await container.run('dpkg', '--remove', 'panorama-agent')

  expect(await unit.property('ActiveState')).toBe('inactive')
  expect(await isThere(join(root, paths.state))).toBe(true)
  expect(await appliance.read('/etc/panorama-agent/identity/private.key')).toContain('PRIVATE KEY')

  await container.run('dpkg', '--purge', 'panorama-agent')

  for (const path of ['/etc/panorama-agent', paths.state, paths.runtime, '/run/panorama-agent-root'])
    expect(await isThere(container.path(path)), path).toBe(false)
  expect(await unit.property('LoadState')).toBe('not-found')
  const { stdout } = await container.attempt('systemctl', 'list-unit-files', '--no-legend', 'panorama-agent*')
  expect(stdout).toBe('')
  const enabled = await readdir(join(root, 'etc/systemd/system'), { recursive: true })
  expect(enabled.filter((path) => path.includes('panorama') && !path.includes(`${unitName}.d`))).toEqual([])
  const left = await container.run('find', '/usr', '/var/lib', '/opt', '-xdev', '-name', '*panorama-agent*')
  expect(left.stdout).toBe('')
})

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}
